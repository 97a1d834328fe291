"""Searches on images with several labels, with weights: from the manifest to predictions of the exported model."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import archsieve as av
from archsieve.models.data.dataset import ImageData
from archsieve.models.data.registry import load_data
from archsieve.models.diagnostics.run_checks import CHECKS, DiagnosticContext, diagnose
from archsieve.models.diagnostics.zero_cost_proxies import PROXIES, probe, proxy_scores
from archsieve.models.networks.build import build
from archsieve.models.training.ensemble import select_members
from archsieve.results.database.prediction_records import LabelPredictions, predictions_of
from archsieve.results.database.store import open_store
from archsieve.search.config.schema import SearchFile
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import load_experiment
from archsieve.search.experiment.stored_settings import search_file_of, stored_settings
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Linear
from archsieve.spaces.metrics.selection import Selection
from archsieve.spaces.recipes.recipe import Recipe

from ..conftest import ONE_WORKER, small

CLASSES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """180 images whose colours are their labels, as a manifest with a separator and weights."""
    root, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    (root / "photos").mkdir()
    lines = ["path,label,weight"]
    for k in range(180):
        has = rng.random(3) < [0.6, 0.4, 0.25]
        pixels = rng.integers(0, 90, (8, 8, 3)) + 140 * has[::-1]
        Image.fromarray(pixels.astype(np.uint8)).save(root / "photos" / f"{k:03}.png")
        names = "; ".join(name for name, is_there in zip(CLASSES, has, strict=True) if is_there)
        lines.append(f"photos/{k:03}.png,{names},{0.5 + k % 2}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def table(folder, **more):
    return {"name": "images", "path": str(folder / "labels.csv"), "image_size": 8, "label_separator": ";", **more}


RECIPE = {"epochs": 6, "batch_size": 16, "lr": 0.1, "class_weights": ["balanced", {"red": 2, "green": 1, "blue": 1}]}
SPACE = av.Space((3, 8, 8), [av.Conv(8), av.GlobalAverage()], classes=3)


@pytest.fixture(scope="module")
def found(ray_running, folder):
    """Two trials of one network with two recipes, and the network trained."""
    result = av.run_search(
        data=table(folder),
        space=SPACE,
        recipe={**RECIPE, "sampling": "balanced"},
        searcher="grid",
        trials=2,
        record_metrics=["f1_micro", "roc_auc"],
        settings={"search.proxies": ["grad_norm"], "search.seed": 1, **ONE_WORKER},
        runs=folder / "runs",
        name="colours",
    )
    return result, av.train(result.best[0], runs=folder / "runs")


def test_a_search_selects_by_average_precision(found, folder, line):
    result, _ = found
    best = result.best[0]
    assert best.metric == "average_precision"
    assert sorted(best.metrics) == ["average_precision", "f1_micro", "roc_auc"]
    assert best.metrics["average_precision"] > 0.9
    assert {trial.recipe["class_weights"] for trial in result.trials} == {
        "balanced",
        '{"blue": 1.0, "green": 1.0, "red": 2.0}',
    }
    with open_store(result.database, read_only=True) as store:
        file = search_file_of(store.run("colours"))
        assert (file.search.metric, file.data.label_separator) == ("average_precision", ";")
        tests, kept = store.test_metrics(best.trial), predictions_of(store, best)
    assert isinstance(kept, LabelPredictions)
    assert kept.hits().mean() == pytest.approx(best.val_accuracy)
    assert (result.measured.metric, result.winner.n_compared) == ("average_precision", 1)
    assert result.measured.interval.low <= best.metrics["average_precision"] <= result.measured.interval.high
    with av.open_results(result.database) as results:
        assert [one.support for one in results.classes(best).classes] == kept.labels.sum(0).tolist()
        assert results.compare(*(trial.trial for trial in result.best), "f1_micro").n == len(kept)
    code, out, err = line("results", "show", str(best.trial), "--classes", "--db", str(result.database))
    assert code == 0, err
    assert all(name in out for name in (*CLASSES, "image-class pairs"))
    assert sorted(tests) == ["test_average_precision", "test_f1_micro", "test_roc_auc"]
    assert "validation average precision" in result.report.read_text(encoding="utf-8")
    ensemble = av.ensemble("colours", top=2, database=result.database)
    assert ensemble.metric == "average_precision"
    assert ensemble.metrics["average_precision"] >= max(one.metrics["average_precision"] for one in ensemble.members)


def test_the_trained_model_predicts_sets_of_labels_also_as_onnx(found, folder):
    _, model = found
    assert (model.classes, model.multi_label) == (CLASSES, True)
    data = load_data(**table(folder))
    probabilities = model.predict_proba(data.test.images[:])
    assert ((probabilities > 0.5) == data.test.labels).float().mean() > 0.75
    files = folder / "photos"
    every, few = model.predict(files, threshold=0.0), model.predict(files, threshold=1.0)
    assert (set(every), set(few)) == ({CLASSES}, {()})
    sets = model.predict(files)
    assert len(set(sets)) > 4
    ranked = model.predict(files, top=3)
    assert [{name for name, p in ranking if p > 0.5} for ranking in ranked] == [set(labels) for labels in sets]
    header = json.loads(json.dumps(model._trained.header()))
    assert (header["task"], header["threshold"]) == ("multi-label", 0.5)
    for suffix in ("safetensors", "onnx", "pt2"):
        path = folder / f"model.{suffix}"
        model.export(path)
        if suffix != "pt2":
            loaded = av.load_model(path)
            assert loaded.multi_label
            assert loaded.predict(files) == sets
            assert torch.allclose(loaded.predict_proba(files), model.predict_proba(files), atol=1e-5)


def test_predict_gives_labels_and_the_probability_of_each_class(found, folder, line):
    path = found[1].save(folder / "saved.safetensors")
    code, out, err = line("predict", str(path), str(folder / "photos"), "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert len(rows) == 180
    for row in rows:
        assert set(row) == {"image", "labels", "probabilities"}
        assert row["labels"] == [name for name in CLASSES if row["probabilities"][name] > 0.5]
    assert line("predict", str(path), str(folder / "photos"), "-o", "all.csv", "--threshold", "0.9")[0] == 0
    with Path("all.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == ["image", "labels", *CLASSES, "error"]
    for row in written:
        assert row["labels"] == "; ".join(name for name in CLASSES if float(row[name]) > 0.9)
    assert line("predict", str(path), str(folder / "photos" / "000.png"))[0] == 0
    with pytest.raises(ValueError, match=r"threshold must be a probability.*2"):
        found[1].predict(folder / "photos", threshold=2)


@pytest.mark.slow
def test_each_fold_is_trained(ray_running, folder):
    result = av.run_search(
        data=table(folder, limit=120),
        space=SPACE,
        recipe={"epochs": 2, "batch_size": 16, "lr": 0.1, "find_lr": True},
        trials=1,
        metric="accuracy",
        settings={"search.folds": 3},
        runs=folder / "runs",
        name="folds",
    )
    assert result.best[0].metric == "accuracy"


def test_a_named_metric_is_recorded_also_if_it_is_the_accuracy(folder):
    for metric in ("accuracy", "f1_micro"):
        named = small(data=table(folder), search={"metric": metric})
        # so that a resumed run does not select by the default of several labels
        assert named.to_json()["search"]["metric"] == named.selection.metric == metric
        resumed = experiment(SearchFile.model_validate(stored_settings(named.to_json())))
        assert resumed.selection == named.selection
    assert small(data=table(folder)).selection.metric == "average_precision"
    assert "metric" not in small().to_json()["search"]


def test_init_names_the_default_metric(folder, line):
    code, _, err = line(
        "init", str(folder / "labels.csv"), "--image-size", "8", "--label-separator", ";", "-o", "x.toml"
    )
    assert code == 0, err
    made = load_experiment("x.toml")
    assert made.multi_label
    assert made.selection.metric == "average_precision"
    assert made.file.data.label_separator == ";"


@pytest.fixture(scope="module")
def images(folder) -> ImageData:
    torch.set_num_threads(1)
    return load_data(**table(folder))


def test_doctor_finds_nothing_wrong(images):
    network = Architecture((3, 8, 8), (Conv(12), GlobalAverage(), Linear(32)), 3)
    recipe = Recipe(lr=0.1, batch_size=32, class_weights="balanced")
    context = DiagnosticContext(lambda seed: build(network, seed=seed), images, recipe)
    assert 0 < context.chance < 0.5
    findings = {finding.check: finding for finding in diagnose(context)}
    assert list(findings) == list(CHECKS)
    assert findings["gradients"].rating == findings["rate"].rating == findings["labels"].rating == "good"
    assert findings["overfit"].metrics["losses"][1] < findings["overfit"].metrics["losses"][0]


def test_proxies_have_scores(images):
    network = Architecture((3, 8, 8), (Conv(12), GlobalAverage()), 3)
    scores = proxy_scores(PROXIES, network, probe(images, 0))
    assert all(isinstance(score, float) for score in scores.values()), scores


def test_the_better_network_is_chosen_for_an_ensemble(images):
    labels = images.val.labels
    good, bad = torch.where(labels, 0.8, 0.1), torch.full(labels.shape, 0.4)
    for metric in ("accuracy", "average_precision", "log_loss"):
        assert select_members(torch.stack([bad, good]), labels, 3, Selection.of(metric)) == [0, 1]


@pytest.mark.parametrize(
    ("search", "recipe", "message"),
    [
        ({"metric": "cohen_kappa"}, {}, "cohen_kappa is for images with one label"),
        ({"record_metrics": ["balanced_accuracy"]}, {}, "balanced_accuracy is for images with one label"),
        ({}, {"class_weights": {"red": 1, "green": 1}}, "recipe.class_weights must name each class.*'blue'"),
        ({}, {"class_weights": {"red": -1, "green": 1}}, r"recipe\.class_weights must be none, balanced, or a table"),
        ({}, {"sampling": "balance"}, r"recipe\.sampling must be one of shuffle, balanced"),
    ],
)
def test_what_several_labels_do_not_allow_is_refused(folder, search, recipe, message):
    with pytest.raises(ValueError, match=message):
        av.run_search(
            data=table(folder),
            space=SPACE,
            recipe=recipe,
            settings={f"search.{key}": value for key, value in search.items()},
            runs=folder / "none",
            name="refused",
        )
    assert not list(folder.glob("none/*.db"))


def test_a_metric_of_several_labels_is_refused_for_one_label(folder):
    for metric, other in (("f1_micro", "accuracy"), ("f1_samples", "f1_macro")):
        with pytest.raises(ValueError, match=f"{metric} is for images with several labels.*use {other}"):
            av.run_search(data="digits", metric=metric, runs=folder / "none", name="refused")


def test_data_shows_labels_and_their_sets(folder, line):
    code, out, err = line("data", str(folder / "labels.csv"), "--label-separator", ";", "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["classes"].keys() == set(CLASSES)
    assert sum(shown["label_sets"]["per_image"].values()) == 180
    assert sum(shown["label_sets"]["sets"].values()) == 180
    assert shown["label_sets"]["n_sets"] == 8
    assert shown["imbalance"] == max(shown["classes"].values()) / min(shown["classes"].values())
    code, out, err = line("data", str(folder / "labels.csv"), "--label-separator", ";", "-o", "sheet.png")
    assert code == 0, err
    assert "label sets: 8: " in out
    assert "imbalance:" in out
    code, out, err = line("data", str(folder / "labels.csv"), "--label-separator", "|")
    assert code == 2
    assert "'|'" in err
