"""Searches by a metric: what it chooses, and what is refused before anything starts."""

import importlib.util
import re

import pytest
import torch

import archsieve as av
from archsieve.results.database.store import open_store
from archsieve.search.api.searching import _metric_name
from archsieve.search.config.schema import SearchFile
from archsieve.search.experiment.experiment import Experiment, experiment
from archsieve.search.runs.warm_start import learn_from
from archsieve.search.trials.metrics import summary
from archsieve.spaces.metrics.registry import custom_metrics
from archsieve.spaces.metrics.selection import Selection

from ..conftest import ONE_WORKER, small


def noisy(n, base, rng):
    """Return ``n`` images of noise around the brightness ``base``."""
    return base + torch.randint(0, 60, (n, 1, 8, 8), dtype=torch.uint8, generator=rng)


def split(n_dark, n_bright, n_minority, rng):
    """Return images of which the dark ones are of class 0, the bright ones of class 0 or of class 1, the minority."""
    images = torch.cat([noisy(n_dark, 0, rng), noisy(n_bright + n_minority, 150, rng)])
    return av.Split(images, torch.tensor([0] * (n_dark + n_bright) + [1] * n_minority))


@av.register_dataset("nine-to-one", input_shape=(1, 8, 8), classes=2)
def load_nine_to_one(request):
    """90% of class 0. In training, nearly all bright images are of the minority; in validation, fewer than half are.

    A network that never predicts the minority has the validation accuracy 0.9 and a macro F1 of 0.47. One that predicts
    it for bright images has 0.88 and 0.78.
    """
    rng = torch.Generator().manual_seed(0)
    parts = [split(*counts, rng) for counts in ((264, 6, 30), (156, 24, 20), (156, 24, 20))]
    return av.Source(("often", "rare"), *parts)


@av.register_dataset("one-class-in-validation", input_shape=(1, 8, 8), classes=2)
def load_one_class(request):
    rng = torch.Generator().manual_seed(0)
    return av.Source(("often", "rare"), split(40, 0, 40, rng), split(20, 0, 0, rng))


def by(metric, tmp_path, name, **more):
    return av.run_search(
        data="nine-to-one",
        space=av.Space((1, 8, 8), [av.Conv(8), av.GlobalAverage()], classes=2),
        recipe={"epochs": 2, "batch_size": 30, "lr": 0.1, "l1": [0.0, 10.0]},
        searcher="grid",
        trials=2,
        metric=metric,
        settings=ONE_WORKER,
        runs=tmp_path / "runs",
        name=name,
        **more,
    )


def test_accuracy_and_macro_f1_choose_different_trials(ray_running, tmp_path):
    by_f1 = by("f1_macro", tmp_path, "by-f1", record_metrics=["balanced_accuracy", "log_loss"])
    by_accuracy = by("accuracy", tmp_path, "by-accuracy", record_metrics=["f1_macro"])
    careful, majority = by_f1.best
    assert careful.metrics["f1_macro"] > 0.7 > 0.5 > majority.metrics["f1_macro"]
    assert majority.val_accuracy == pytest.approx(0.9)
    assert careful.recipe["l1"] == 0
    assert by_accuracy.best[0].recipe["l1"] == 10
    assert (careful.metric, by_accuracy.best[0].metric) == ("f1_macro", "accuracy")
    with av.open_results(by_f1.database) as results:
        assert results.best(run="by-f1")[0] == careful
        assert results.best(run="by-f1", metric="accuracy")[0] == majority
        assert list(results.best(run="by-f1", metric="log_loss", top=2)) == sorted(
            by_f1.best, key=lambda trial: trial.metrics["log_loss"]
        )
        assert set(results.query("f1_macro > 0.7")) >= {careful}
        curves = results.curves("by-f1").loc[careful.trial]
        assert {"f1_macro", "balanced_accuracy", "log_loss"} <= set(curves.columns)
        assert curves["f1_macro"].max() == curves["f1_macro"][careful.best_epoch] == careful.score
    with open_store(by_f1.database, read_only=True) as store:
        assert store.run("by-f1").config["search"]["metric"] == "f1_macro"
        tests = store.test_metrics(careful.trial)
        assert sorted(tests) == ["test_balanced_accuracy", "test_f1_macro", "test_log_loss"]
    selected = av.ensemble("by-f1", top=2, database=by_f1.database)
    assert (selected.metric, {member.metric for member in selected.members}) == ("f1_macro", {"f1_macro"})
    assert selected.metrics["f1_macro"] >= max(member.metrics["f1_macro"] for member in selected.members)
    for one in (selected, *selected.members):
        assert sorted(one.metrics) == sorted(one.test_metrics) == ["balanced_accuracy", "f1_macro", "log_loss"]
    page = by_f1.report.read_text(encoding="utf-8")
    assert "validation macro F1" in page
    assert f"{careful.metrics['f1_macro']:.4f}" in page


@pytest.mark.slow  # needs the extra devices; torchao takes a few seconds for each trial
def test_the_accuracy_in_int8_selects_trials(ray_running, tmp_path):
    pytest.importorskip("torchao")
    pytest.importorskip("executorch")
    outcome = by("int8_val_accuracy", tmp_path, "by-int8", record_metrics=["f1_macro"])
    first, second = outcome.best
    assert first.metrics["int8_val_accuracy"] == first.score >= second.score == second.metrics["int8_val_accuracy"]
    assert {"int8_f1_macro", "f1_macro"} <= set(first.metrics)
    with open_store(outcome.database, read_only=True) as store:
        accuracies = dict(store.curve(first.trial)["val_accuracy"])
    assert accuracies[first.best_epoch] == max(accuracies.values())  # epochs are selected in float32
    assert "accuracy in int8" in outcome.report.read_text(encoding="utf-8")
    model = av.train(first, database=outcome.database)  # the same seed: the same network
    assert model.about["int8_val_accuracy"] == first.score
    assert model.about["int8_f1_macro"] == first.metrics["int8_f1_macro"]
    again = by("int8_val_accuracy", tmp_path, "cached", record_metrics=["f1_macro"], database=outcome.database)
    assert [(trial.source, trial.score) for trial in again.best] == [(t.trial, t.score) for t in outcome.best]


def test_a_metric_in_int8_without_its_packages_is_refused_before_anything_starts(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchao" else find_spec(name))
    message = r'search.metric = "int8_f1_macro" needs .*torchao.* is not installed.*archsieve\[devices\]'
    with pytest.raises(ValueError, match=message):
        by("int8_f1_macro", tmp_path, "by-int8")
    assert not (tmp_path / "runs").exists()


def test_a_metric_in_int8_selects_epochs_in_float32():
    selection = small(search={"metric": "int8_log_loss", "record_metrics": ["f1_macro"]}).selection
    assert (selection.stored_name, selection.of_epochs.metric) == ("int8_log_loss", "log_loss")
    assert selection.recorded == ("log_loss", "f1_macro")
    assert not selection.higher_is_better
    assert Selection.from_config({"search": selection.to_json()}) == selection
    curve = {"val_accuracy": [(1, 0.5), (2, 0.5)], "log_loss": [(1, 0.7), (2, 0.6)], "int8_log_loss": [(1, 0.1)]}
    assert summary(curve, selection=selection)["best_epoch"] == 2
    aware = {"epochs": 3, "qat_epochs": 2}
    earlier = {"val_accuracy": [(1, 0.9), (2, 0.5)], "log_loss": [(1, 0.1), (2, 0.6)]}
    assert summary(earlier, selection=selection, recipe=aware)["best_epoch"] == 2  # of those that round
    assert summary({name: points[:1] for name, points in earlier.items()}, recipe=aware)["best_epoch"] == 1
    assert selection.score({"log_loss": 0.6, "int8_log_loss": 0.8}) == -0.8
    assert small(search={"metric": "int8_val_accuracy"}).selection.recorded == ()


@pytest.mark.parametrize("metric", ["f1_macro", "roc_auc"])
def test_a_metric_that_the_data_do_not_allow_is_refused_before_anything_starts(metric, tmp_path):
    with pytest.raises(ValueError, match=f"{metric} needs validation images of at least two classes"):
        av.run_search(
            data="one-class-in-validation",
            space=av.Space((1, 8, 8), [av.Conv(8), av.GlobalAverage()], classes=2),
            metric=metric,
            runs=tmp_path / "runs",
            name="one",
        )
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("*.db"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": lambda labels, scores: 0.0}, "lambda.*def"),
        ({"metric": load_one_class}, r"\(labels, scores\).*\(request\)"),
        (
            {"metric": "f1_macro", "direction": "minimize"},
            "search.metric: .*f1_macro is 'maximize', but got 'minimize'",
        ),
        ({"metric": "miou", "direction": "maximize"}, r"search.metric: .*'miou'.*train\.function"),
        (
            {"metric": "params", "direction": "minimize", "train": "os:getenv"},
            "'params'.*'cost_of_errors'",
        ),
        ({"metric": "predictions", "direction": "minimize", "train": "os:getenv"}, "report.*'predictions'"),
        (
            {"metric": "a", "direction": "maximize", "record_metrics": ["a", "f1_makro"], "train": "os:getenv"},
            "search.record_metrics: .*'f1_makro'.*'f1_macro'",
        ),
        ({"metric": "int8_miou"}, "'miou'"),
        (
            {"metric": "int8_val_accuracy", "settings": {"search.scheduler": "asha"}},
            "int8_val_accuracy is measured once.*'asha'",
        ),
        ({"metric": "int8_miou", "direction": "maximize", "train": "os:getenv"}, "'miou' is reported by train.func"),
        ({"metric": "miou", "train": "os:getenv"}, "'miou'.*search.direction"),
        ({"metric": "test_miou", "direction": "maximize"}, "test_miou cannot select trials"),
        ({"metric": noisy, "direction": "up"}, "'maximize' or 'minimize', but got 'up'"),
        ({"direction": "minimize"}, "search.metric: .*accuracy is 'maximize', but got 'minimize'"),
    ],
)
def test_a_function_that_is_no_metric_is_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        av.run_search(data="digits", **options)


def test_a_registered_function_keeps_its_name_and_direction():
    @av.register_metric("cost_by_name", higher_is_better=False)
    def another_name(labels, scores):
        return 0.0

    for direction in (None, "minimize"):
        assert _metric_name(another_name, direction) == "cost_by_name"
    with pytest.raises(ValueError, match=r"(?s)cost_by_name.*minimize.*maximize"):
        _metric_name(another_name, "maximize")
    assert custom_metrics()["cost_by_name"].higher_is_better is False
    assert "another_name" not in custom_metrics()


def test_a_resume_with_the_other_direction_is_refused():
    def gain(labels, scores):
        return 0.0

    av.register_metric("gain")(gain)
    stored = small(search={"metric": "gain"}).to_json()
    assert stored["search"]["minimized"] == []
    av.register_metric("gain", higher_is_better=False)(gain)
    with pytest.raises(ValueError, match=r"search.minimized must be .*\['gain'\], but got \[\]"):
        experiment(SearchFile.model_validate(stored))


def test_a_warm_start_by_another_metric_needs_enough_trials(tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        data = {"content_hash": "d", "name": "digits"}
        earlier = small(search={"metric": "balanced_accuracy"})
        store.create_run("earlier", earlier.to_json(), "random", 0, data, {})
        now: Experiment = small(search={"warm_start": ["earlier"]})
        created = store.run("earlier").created_at
        message = r"at least 4 finished trials .* 'earlier' has none .* by this metric"
        with pytest.raises(ValueError, match=re.compile(message)):
            learn_from(store, now, "d", created)
        same = small(search={"warm_start": ["earlier"], "metric": "balanced_accuracy"})
        with pytest.raises(ValueError, match="0 of 0 that fit"):  # the metric is no reason
            learn_from(store, same, "d", created)
