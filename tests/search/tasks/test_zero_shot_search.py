"""A complete zero-shot search: the usual command and database, and no test class before the search has ended."""

import html
import json
import random
import shutil

import pytest
import torch

from archsieve.models.zero_shot.baselines import BASELINES, Baseline
from archsieve.models.zero_shot.combination import load_combination
from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.artifacts import verified_path
from archsieve.results.database.records import History, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import (
    CALIBRATED_H,
    METRIC_NOTES,
    MODEL_TESTED,
    SELECTION_NOTE,
    TESTED,
    better_baselines,
    failed_baselines,
    latest_test_table,
)
from archsieve.results.maintenance.backup import back_up
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.post.integrity import check_runs
from archsieve.search.runs.session import is_finalized, resume, search
from archsieve.search.runs.zero_shot_jobs import JobContext, run_part
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.tasks.zero_shot import ZeroShotTrialContext
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.constrained.zero_shot_head import last_feature_map, zero_shot_cost
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recipe_from_json

pytestmark = pytest.mark.usefixtures("ray_running")

TINY = {
    "data": {"name": "glyphs", "image_size": 12, "limit": 480},
    "budget": {"params": "20k", "macs": "600k"},
    "space": {"stages": [{"block": ["conv-pool", "residual"], "width": [8, 16]}] * 2, "features": 24},
    "recipe": {
        "epochs": 2,
        "batch_size": 64,
        "form": ["fc", "conv", "fc+conv"],
        "text": ["tfidf", "tfidf-stop", "names"],
        "k": [8, 16],
        "hidden": [16, 32],
        "filters": [2, 4],
        "filter_size": [1, 3],
        "loss": ["softmax", "bce", "hinge", "euclidean"],
        "optimizer": ["adam", "adamw"],
        "similarity": "cosine",
        "lr": {"low": 1e-3, "high": 1e-2, "log": True},
        "calibration": ["none", "posterior"],
    },
    "search": {"trials": 4, "searcher": "random", "cache": False},
    "zero_shot": {"baselines": ["random", "ridge"], "explained": 2},
    "resources": {"max_concurrent": 1},
}


def tiny(**tables):
    """Return the tiny zero-shot experiment, with some keys of its tables replaced."""
    return experiment(parse({name: {**TINY.get(name, {}), **tables.get(name, {})} for name in {*TINY, *tables}}))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, ray_running):
    return search(tiny(zero_shot={"combine": 2}), name="first", runs=tmp_path_factory.mktemp("runs"))


def test_every_trial_with_its_head_is_inside_the_budget(outcome):
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 4
    for trial in outcome.trials:
        recipe = recipe_from_json(trial.recipe)
        assert isinstance(recipe, ZeroShotRecipe)
        architecture = Architecture.from_json(trial.architecture)
        assert (trial.params, trial.macs) == (cost(architecture).params, cost(architecture).macs)
        head = zero_shot_cost(recipe, 0, architecture.classes, last_feature_map(architecture))
        assert trial.params + head.image.params <= 20_000
        assert trial.macs + head.image.macs <= 600_000
        assert trial.test_accuracy is None


@pytest.mark.parametrize("kind", ["none", "shift"])
def test_the_cost_of_augmentation_is_a_start_metric(kind):
    experiment = tiny(recipe={"augmentation": kind})
    data, _ = experiment.task.load(experiment.file)
    context = ZeroShotTrialContext(experiment.task.for_trials(data), "fp32", torch.device("cpu"))
    proposal = experiment.searcher(experiment.constrained).ask(History(), random.Random(0))
    metrics = context.start_metrics(context.fit(proposal.architecture, proposal.recipe, seed=0))
    assert metrics.lrs_found == ()
    assert (metrics.augmentation_cost is None) == (kind == "none")
    if metrics.augmentation_cost:
        assert metrics.augmentation_cost["batch_ms"] > 0
        assert (metrics.augmentation_cost["batch_size"], metrics.augmentation_cost["device"]) == (64, "cpu")


def test_the_store_has_h_and_roc_auc_of_every_epoch(outcome):
    with open_store(outcome.database, read_only=True) as store:
        for trial in outcome.trials:
            curve = store.curve(trial.trial)
            for name in ("val_accuracy", "val_roc_auc", "val_h", "gamma"):
                assert [step for step, _ in curve[name]] == [1, 2]
            assert all(h <= best for (_, h), (_, best) in zip(curve["val_h"], curve["val_accuracy"], strict=True))
            assert trial.val_accuracy == max(value for _, value in curve["val_accuracy"])


def test_the_selected_trial_is_tested_once_with_the_baselines(outcome):
    with open_store(outcome.database, read_only=True) as store:
        (event,) = [event for event in store.events("first") if event["kind"] == TESTED]
        table = latest_test_table(store, "first")
        best = store.history("first").best()
        row, combined = store.artifacts(best.trial)
    assert table == event["detail"]
    assert [row["method"] for row in table["rows"]] == [f"trial {best.trial}", "combination of 2", "random", "ridge"]
    runs = outcome.report.parent.parent
    assert combined["uri"] == table["rows"][1]["model"] == f"first/combination-{best.trial}.safetensors"
    assert len(load_combination(verified_path(runs, combined))[1]) == 2
    for row_of_table in table["rows"]:
        assert {"roc_unseen", "pr_mean", "top1_unseen", "u", "s", "h", "h_calibrated", "ausuc"} <= set(row_of_table)
        assert row_of_table["roc_unseen"] != 0.5 or row_of_table["method"] == "random"
    assert [part["part"] for part in table["costs"]] == ["image network", "image head", "text network", "a class"]
    model = ZeroShotModel.load(verified_path(outcome.report.parent.parent, row))
    # the final model is trained on all seen classes, without validation classes
    assert (len(model.seen), model.gamma) == (table["seen"], table["rows"][0]["gamma"])
    expected_params = [
        sum(p.numel() for p in model.network.body.parameters()),
        sum(p.numel() for p in model.network.image_head.parameters()) + 2 * (model.network.recipe.loss != "euclidean"),
        sum(p.numel() for p in model.network.text_head.parameters()),
    ]
    assert [part["params"] for part in table["costs"][:3]] == expected_params


def test_the_report_has_the_test_table_and_the_explanations(outcome):
    page = outcome.report.read_text(encoding="utf-8")
    assert CALIBRATED_H in page
    assert "Zero-shot test on unseen classes" in page
    assert "image head" in page  # a row of the table of costs
    assert SELECTION_NOTE in html.unescape(page)
    assert METRIC_NOTES in html.unescape(page)
    assert page.count('<img src="data:image/png;base64,') >= 2 * 4
    # the confidence interval of an accuracy is wrong for H, which is not a fraction of images
    assert "an accuracy of" not in page
    assert "confused_share" in page


@pytest.mark.slow
def test_only_the_selected_trial_can_be_explained(outcome, line, tmp_path):
    with open_store(outcome.database, read_only=True) as store:
        table = latest_test_table(store, "first")
    database = ("--db", str(outcome.database))
    code, out, err = line("explain", str(table["trial"]), *database, "-o", "page.html")
    assert (code, err) == (0, "")
    assert out.count("PR-AUC") == table["unseen"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<h3>") == table["unseen"]
    assert page.count('<img src="data:image/png;base64,') >= 4 * table["unseen"]
    other = next(trial.trial for trial in outcome.trials if trial.trial != table["trial"])
    code, out, err = line("explain", str(other), *database)
    assert (code, out) == (2, "")
    assert f"trial {other}" in err
    assert f"explain trial {table['trial']}" in err
    code, out, err = line("explain", str(table["trial"]), *database, "--class", "LATIN SMALL LETTR")
    assert code == 2
    assert "'LATIN SMALL LETTR'" in err


def test_results_show_names_the_zero_shot_metrics(outcome, line):
    database = ("--db", str(outcome.database))
    selected, other = outcome.best[0], outcome.best[-1]
    _, out, _ = line("results", "show", str(selected.trial), *database)
    for text in ("val_roc_auc: ", "val_h: ", "gamma: ", METRIC_NOTES, SELECTION_NOTE):
        assert text in out
    assert f"first/model-{selected.trial}.safetensors" in out
    _, out, _ = line("results", "show", str(other.trial), *database)
    for text in ("val_roc_auc: ", SELECTION_NOTE):
        assert text in out
    assert METRIC_NOTES not in out
    with open_store(outcome.database, read_only=True) as store:
        value = dict(store.curve(selected.trial)["val_roc_auc"])[selected.best_epoch]
    code, out, _ = line("results", "query", f"val_roc_auc >= {value - 1e-9} and val_h >= 0", *database, "--json")
    assert code == 0
    assert selected.trial in [row["trial"] for row in json.loads(out)]


def test_the_trial_cache_copies_the_calibration_too(outcome):
    experiment = tiny(search={"cache": True, "trials": 1}, zero_shot={"baselines": [], "explained": 0})
    again = search(experiment, name="again", runs=outcome.database.parent)
    (trial,) = again.trials
    assert trial.source == outcome.trials[0].trial
    assert again.zero_shot["trial"] == trial.trial
    with open_store(outcome.database, read_only=True) as store:
        gammas = [dict(store.curve(t)["gamma"])[trial.best_epoch] for t in (trial.trial, trial.source)]
    assert again.zero_shot["rows"][0]["gamma"] == gammas[0] == gammas[1]


def test_a_run_is_finalized_if_its_best_trial_inside_the_budget_was_tested(outcome, tmp_path):
    """A test of an earlier best trial is not enough. Without a trial inside the budget there is nothing to test."""
    copy = tmp_path / "archsieve.db"
    back_up(outcome.database, copy)
    experiment = tiny()
    best = outcome.best[0]
    with open_store(copy) as store:
        run_id = store.run("first").run_id
        assert is_finalized(experiment, store, run_id)
        with store.write_transaction() as connection:  # a resumed run with more trials can find a better one
            statement = f"UPDATE trial SET val_accuracy = {best.val_accuracy + 0.01} WHERE trial_id = "
            connection.exec_driver_sql(f"{statement}{next(t.trial for t in outcome.trials if t.trial != best.trial)}")
        assert not is_finalized(experiment, store, run_id)
        no_trial_fits = tiny(budget={"latency_ms": 1e-6})  # the latency of no trial was measured
        assert is_finalized(no_trial_fits, store, run_id)


def test_a_driver_that_dies_while_baselines_run_keeps_the_model(outcome, tmp_path):
    shutil.copytree(outcome.database.parent, tmp_path / "runs")
    with open_store(tmp_path / "runs" / "archsieve.db") as store:
        before = latest_test_table(store, "first")
        with store.write_transaction() as connection:
            connection.exec_driver_sql(f"DELETE FROM event WHERE kind = '{TESTED}'")
    resumed = resume("first", runs=tmp_path / "runs")
    assert resumed.zero_shot["rows"] == before["rows"]
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        events = [event["kind"] for event in store.events("first")]
    assert events.count(MODEL_TESTED) == 1  # the model was not trained again
    assert events.count(TESTED) == 1


def test_a_baseline_that_fails_leaves_the_others(monkeypatch):
    def no_memory(training, **values):
        raise MemoryError("Unable to allocate 169. GiB")

    monkeypatch.setitem(BASELINES, "ridge", Baseline(no_memory, "a test"))
    experiment = tiny()
    data, folds = experiment.task.load(experiment.file)[0]
    architecture = experiment.searcher(experiment.constrained).ask(History(), random.Random(0)).architecture
    context = JobContext(data, folds, ("tfidf",), 1, 0, "fp32", 0, False, architecture.to_json(), 0)
    rows = run_part({"baselines": ["ridge", "random"]}, context)
    assert [row["method"] for row in rows] == ["ridge", "random"]
    (sentence,) = failed_baselines({"failed": rows[:1]})
    assert sentence == "baseline ridge could not be tested: MemoryError: Unable to allocate 169. GiB"
    assert rows[1]["roc_unseen"] > 0
    better = better_baselines({"rows": [{**rows[1], "method": "trial 1", "ausuc": -1.0}, rows[1]]})
    assert better == [f"random has a better ausuc than trial 1: {rows[1]['ausuc']:.3f} against -1.000"]


def test_the_content_hash_depends_on_the_validation_classes():
    hashes = {
        name: experiment.task.load(experiment.file)[1].content_hash
        for name, experiment in (
            ("one", tiny()),
            ("same", tiny(recipe={"epochs": 9})),
            ("share", tiny(data={"val_fraction": 0.5})),
            ("folds", tiny(search={"folds": 3})),
            ("unseen", tiny(data={"unseen_fraction": 0.4})),
        )
    }
    assert hashes["one"] == hashes["same"]
    assert len(set(hashes.values())) == 4


def test_the_invariants_of_the_run_hold(outcome):
    with open_store(outcome.database, read_only=True) as store:
        assert check_runs(store, outcome.database.parent, deep=True) == []


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_proposes_zero_shot_models_inside_the_budget(outcome, name):
    experiment = tiny(search={"searcher": name}, recipe={"lr": [1e-3, 1e-2]} if name == "grid" else {})
    with open_store(outcome.database, read_only=True) as store:
        history = store.history("first")
    first = experiment.searcher(experiment.constrained).ask(History(), random.Random(0))
    later = experiment.searcher(experiment.constrained).ask(history, random.Random(0))
    for proposal in (first, later):
        assert isinstance(proposal.recipe, ZeroShotRecipe)
        head = zero_shot_cost(proposal.recipe, 0, 24, last_feature_map(proposal.architecture))
        assert proposal.architecture.cost.params + head.image.params <= 20_000
    assert later.key not in {(t.fingerprint, recipe_from_json(t.recipe)) for t in history}
