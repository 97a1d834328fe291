"""Bad input of a zero-shot search: one clear error, exit code 2, before Ray starts, and no files are written."""

import gc
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from archsieve.search.cli.main import main
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.spaces.constrained.constrained_space import BudgetError
from archsieve.spaces.constrained.feasibility import cheapest

FILE = """
[data]
name = "imagefolder"
path = "images"
texts = "texts"
image_size = 8

[space]
features = 8
[[space.stages]]
block = "conv-pool"
width = [4, 8]

[recipe]
epochs = 1
k = 4
hidden = 8

[search]
trials = 1
"""
CLASSES = {"red fox": (200, 40, 30), "red panda": (180, 60, 60), "blue jay": (40, 60, 200), "blue whale": (30, 40, 120)}


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """Create four classes with five images and a text each, and a search file for them."""
    for name, colour in CLASSES.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(5):
            Image.new("RGB", (9, 7), tuple(c + k for c in colour)).save(tmp_path / "images" / name / f"{k}.png")
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(f"The {name} is an animal.")
    (tmp_path / "search.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_of_search(monkeypatch, capsys, *settings: str) -> str:
    """Return the error line of ``archsieve search``; it must exit with 2, print nothing else and not start Ray."""
    import ray

    monkeypatch.setattr(sys, "argv", ["archsieve", "search", "search.toml", *(x for s in settings for x in ("-s", s))])
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    with pytest.raises(SystemExit) as exit_:
        main()
    gc.enable()  # the command line turns it off
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    assert "Traceback" not in err
    (error,) = [line for line in err.splitlines() if line.startswith("archsieve: ")]
    return error


@pytest.mark.parametrize(
    ("break_data", "settings", "facts"),
    [
        (lambda folder: (folder / "texts/red fox.txt").unlink(), (), ("text", "1 of 4")),
        (lambda folder: (folder / "texts/red fox.txt").write_text(" \n"), (), ("texts/red fox.txt", "empty")),
        (lambda folder: (folder / "texts/red fox.txt").write_text("..."), (), ("'red fox'", "'...'")),
        (
            lambda folder: shutil.copy(folder / "texts/red fox.txt", folder / "texts/red panda.txt"),
            (),
            ("'red fox' and 'red panda'", "equal"),
        ),
        (
            lambda folder: None,
            ('data.seen=["red fox", "blue jay"]', 'data.unseen=["red fox"]'),
            ("'red fox'", "unseen"),
        ),
        (lambda folder: None, ("search.folds=4",), ("fold", "3", "4")),
        (
            lambda folder: (
                [shutil.rmtree(folder / "images" / name) for name in list(CLASSES)[1:]]
                + [(folder / "texts" / f"{name}.txt").unlink() for name in list(CLASSES)[1:]]
            ),
            (),
            ("classes", "images"),
        ),
        (lambda folder: None, ('data.unseen=["dodo"]',), ("'dodo'",)),
        (lambda folder: None, ("data.limit=10",), ("data.limit", "glyphs", "10", "'imagefolder'")),
        (lambda folder: None, ("data.test_fraction=0.5",), ("data.test_fraction", "0.5", "data.unseen_fraction")),
        (lambda folder: None, ("recipe.hiden=3",), ("'hidden'",)),
        (lambda folder: None, ('recipe.loss="triplet"',), ("recipe.loss", "bce, hinge, euclidean, softmax")),
        (lambda folder: None, ("recipe.label_smoothing=0.1",), ("recipe.label_smoothing must be 0",)),
        (lambda folder: None, ("recipe.l1=1e-4",), ("recipe.l1 must be 0.0",)),
        (lambda folder: None, ('recipe.lr="auto"',), ("recipe.find_lr must be False",)),
        (lambda folder: None, ("recipe.filter_size={low=1,high=5}",), ("recipe.filter_size", "[1, 3, 5]")),
        (lambda folder: None, ('search.proxies=["grad_norm"]',), ("search.proxies", "grad_norm", "synflow")),
        (lambda folder: None, ('zero_shot.baselines=["rigde"]',), ("zero_shot.baselines", "'ridge'")),
        (lambda folder: None, ("budget.params=30",), ("largest head",)),
        (lambda folder: None, ('device.run="ssh board {model}"',), ("device.run", "zero-shot", "ssh board")),
        (lambda folder: None, ('budget.flash="1MB"',), ("flash_bytes <= 1.00M", "zero-shot")),
    ],
)
def test_each_has_one_clear_error(birds, monkeypatch, capsys, break_data, settings, facts):
    break_data(birds)
    error = error_of_search(monkeypatch, capsys, *settings)
    assert [fact for fact in facts if fact not in error] == [], error
    assert not (birds / "runs").exists()


def test_a_missing_sentence_encoder_is_an_error_before_ray_starts(birds, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert "pip install 'archsieve[sentence]'" in error_of_search(monkeypatch, capsys, 'recipe.text="sentence:any"')


def test_a_classifier_has_no_zero_shot_keys():
    for tables, message in (
        ({"data": {"unseen_fraction": 0.5}}, "data.unseen_fraction.*'digits'"),
        ({"space": {"features": 12}}, "space.features.*'digits'"),
        ({"zero_shot": {"explained": 3}}, r"\[zero_shot\].*'digits'"),
        ({"recipe": {"form": "fc"}}, "recipe.form"),
    ):
        with pytest.raises(ValueError, match=message):
            experiment(parse(tables))


@pytest.fixture
def features(tmp_path):
    """Six classes of ten features each, with attributes."""
    rng, names = np.random.default_rng(0), np.array(["ant", "bee", "cat", "dog", "elk", "fox"])
    arrays = {"features": rng.normal(size=(60, 5)), "labels": np.arange(60) % 6, "attributes": rng.random((6, 3))}
    np.savez(tmp_path / "f.npz", classes=names, **arrays)
    return {"name": "features", "path": str(tmp_path / "f.npz")}


@pytest.mark.parametrize(
    ("space", "recipe", "message"),
    [
        ({"backbone": "timm:resnet18"}, {"text": "vectors"}, "space.backbone is for images"),
        ({"image_size": 8}, {"text": "vectors"}, "space.image_size is for images"),
        ({}, {"text": "vectors", "augmentation": "shift"}, "recipe.augmentation changes images.*'shift'"),
        ({}, {"text": "vectors", "jitter": {"low": 0.1, "high": 0.2}}, "recipe.jitter changes images"),
        ({}, {}, "recipe.text 'tfidf' is for words.*set recipe.text = 'vectors'"),
        ({}, {"text": ["vectors", "tfidf-stem"]}, "recipe.text 'tfidf-stem' is for words"),
    ],
)
def test_settings_that_own_features_do_not_support(features, space, recipe, message):
    with pytest.raises(ValueError, match=message):
        load_data({"data": features, "space": space, "recipe": recipe})


def load_data(tables):
    checked = experiment(parse(tables))
    return checked.task.load(checked.file)


def test_a_budget_that_only_the_network_without_its_head_would_meet_is_refused():
    space = {"features": 8, "stages": [{"block": "conv-pool", "width": 8}]}
    tables = {"data": {"name": "glyphs", "image_size": 8}, "space": space, "recipe": {"k": 4}}
    least = cheapest(experiment(parse(tables)).constrained, "params")[1].params
    head = 8 * 4 + 4
    assert experiment(parse({**tables, "budget": {"params": least + head}})).constrained.size == 1
    with pytest.raises(BudgetError, match=f"largest head.*params {head}"):
        experiment(parse({**tables, "budget": {"params": least + head - 1}}))
