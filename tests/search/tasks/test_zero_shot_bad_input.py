"""Bad input of a zero-shot search: one clear error each, exit 2, before Ray starts, nothing written."""

import gc
import shutil
import sys

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
    """Four classes of five pictures and an article each, and a search file for them."""
    for name, colour in CLASSES.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(5):
            Image.new("RGB", (9, 7), tuple(c + k for c in colour)).save(tmp_path / "images" / name / f"{k}.png")
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(f"The {name} is an animal.")
    (tmp_path / "search.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(monkeypatch, capsys, *settings: str) -> str:
    """What ``archsieve search`` says; it must exit with 2, write nothing and start no Ray."""
    import ray

    monkeypatch.setattr(sys, "argv", ["archsieve", "search", "search.toml", *(x for s in settings for x in ("-s", s))])
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    with pytest.raises(SystemExit) as exit_:
        main()
    gc.enable()  # which the command line turns off
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    assert "Traceback" not in err
    (said,) = [line for line in err.splitlines() if line.startswith("archsieve: ")]
    return said


@pytest.mark.parametrize(
    ("break_it", "settings", "said"),
    [
        (lambda at: (at / "texts/red fox.txt").unlink(), (), "1 of 4 have none, the first is 'red fox'"),
        (lambda at: (at / "texts/red fox.txt").write_text(" \n"), (), "texts/red fox.txt is empty; write one"),
        (lambda at: (at / "texts/red fox.txt").write_text("..."), (), "'red fox' is '...'"),
        (lambda at: (at / "texts/bear.txt").write_text("a bear"), (), "texts/bear.txt"),
        (
            lambda at: None,
            ('data.seen=["red fox", "blue jay"]', 'data.unseen=["red fox"]'),
            "'red fox' is in both",
        ),
        (lambda at: None, ("search.folds=4",), "there are 3 classes for 4 folds"),
        (
            lambda at: (
                [shutil.rmtree(at / "images" / name) for name in list(CLASSES)[1:]]
                + [(at / "texts" / f"{name}.txt").unlink() for name in list(CLASSES)[1:]]
            ),
            (),
            "at least two classes, but images has one",
        ),
        (lambda at: None, ('data.unseen=["dodo"]',), "'dodo' has none"),
        (lambda at: None, ("data.limit=10",), "data.limit: of zero-shot data only glyphs can be limited"),
        (lambda at: None, ("data.test_fraction=0.5",), "set data.unseen_fraction"),
        (lambda at: None, ("recipe.hiden=3",), "did you mean 'hidden'?"),
        (lambda at: None, ('recipe.loss="triplet"',), "recipe.loss must be one of bce, hinge, euclidean, softmax"),
        (lambda at: None, ("recipe.label_smoothing=0.1",), "recipe.label_smoothing must be 0"),
        (lambda at: None, ("recipe.l1=1e-4",), "recipe.l1 must be 0.0: zero-shot models are trained without it"),
        (
            lambda at: None,
            ('recipe.lr="auto"',),
            "recipe.find_lr must be False: zero-shot models are trained without it",
        ),
        (lambda at: None, ("recipe.filter_size={low=1,high=5}",), "give a list, as in [1, 3, 5]"),
        (lambda at: None, ('search.proxies=["grad_norm"]',), "take synflow, naswot or jacob_cov"),
        (lambda at: None, ('zero_shot.baselines=["rigde"]',), "did you mean 'ridge'?"),
        (lambda at: None, ("budget.params=30",), "the largest head that the recipe allows takes"),
    ],
)
def test_each_has_one_clear_error(birds, monkeypatch, capsys, break_it, settings, said):
    break_it(birds)
    assert said in refused(monkeypatch, capsys, *settings)
    assert not (birds / "runs").exists()


def test_a_sentence_encoder_that_is_not_installed_is_said_before_ray_starts(birds, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert "pip install 'archsieve[sentence]'" in refused(monkeypatch, capsys, 'recipe.text="sentence:any"')


def test_a_classifier_has_no_zero_shot_keys():
    for tables, said in (
        ({"data": {"unseen_fraction": 0.5}}, "data.unseen_fraction is for classes with texts"),
        ({"space": {"features": 12}}, "space.features is for zero-shot data"),
        ({"space": {"backbone": "timm:resnet18"}}, "space.backbone is for zero-shot data"),
        ({"zero_shot": {"explained": 3}}, r"\[zero_shot\] is for zero-shot data"),
        ({"recipe": {"form": "fc"}}, "recipe.form"),
    ):
        with pytest.raises(ValueError, match=said):
            experiment(parse(tables))


def test_a_budget_that_only_the_network_without_its_head_would_meet_is_refused():
    space = {"features": 8, "stages": [{"block": "conv-pool", "width": 8}]}
    tables = {"data": {"name": "glyphs", "image_size": 8}, "space": space, "recipe": {"k": 4}}
    least = cheapest(experiment(parse(tables)).sieve, "params")[1].params
    head = 8 * 4 + 4
    assert experiment(parse({**tables, "budget": {"params": least + head}})).sieve.size == 1
    with pytest.raises(BudgetError, match=f"without the largest head of the recipe: params {head}"):
        experiment(parse({**tables, "budget": {"params": least + head - 1}}))
