"""A zero-shot search from the file to the answer: the same command, the same store, and no test class looked at."""

import html
import json
import random

import pytest
import torch

from archsieve.models.zero_shot.saved_model import ZeroShotModel
from archsieve.results.database.artifacts import checked
from archsieve.results.database.records import History, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.database.zero_shot_records import MEASURES, SELECTED_BY, TESTED, table_of
from archsieve.results.maintenance.backup import back_up
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.post.integrity import check_runs
from archsieve.search.runs.session import is_finalized, search
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.tasks.zero_shot import ZeroShotTrialContext
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.constrained.zero_shot_head import last_map, zero_shot_cost
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recorded_recipe

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
}


def tiny(**tables):
    """The tiny zero-shot search with keys of tables overridden."""
    return experiment(parse({name: {**TINY.get(name, {}), **tables.get(name, {})} for name in {*TINY, *tables}}))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, ray_running):
    return search(tiny(), name="first", runs=tmp_path_factory.mktemp("runs"))


def test_every_trial_is_a_zero_shot_model_inside_the_budget_with_its_head(outcome):
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 4
    for trial in outcome.trials:
        recipe = recorded_recipe(trial.recipe)
        assert isinstance(recipe, ZeroShotRecipe)
        architecture = Architecture.from_json(trial.architecture)
        assert (trial.params, trial.macs) == (cost(architecture).params, cost(architecture).macs)
        head = zero_shot_cost(recipe, 0, architecture.classes, last_map(architecture))
        assert trial.params + head.image.params <= 20_000
        assert trial.macs + head.image.macs <= 600_000
        assert trial.test_accuracy is None


@pytest.mark.parametrize("kind", ["none", "shift"])
def test_what_augmentation_costs_is_told_with_the_first_epoch(kind):
    found = tiny(recipe={"augmentation": kind})
    data, _ = found.task.load(found.file)
    context = ZeroShotTrialContext(found.task.for_trials(data), "fp32", torch.device("cpu"))
    proposal = found.searcher(found.sieve).ask(History(), random.Random(0))
    metrics = context.start_metrics(context.fit(proposal.architecture, proposal.recipe, seed=0))
    assert metrics.lrs_found == ()
    assert (metrics.augmentation_cost is None) == (kind == "none")
    if metrics.augmentation_cost:
        assert metrics.augmentation_cost["batch_ms"] > 0
        assert (metrics.augmentation_cost["batch_size"], metrics.augmentation_cost["device"]) == (64, "cpu")


def test_the_store_holds_h_and_roc_auc_of_every_epoch(outcome):
    with open_store(outcome.database, read_only=True) as store:
        for trial in outcome.trials:
            curve = store.curve(trial.trial)
            for name in ("val_accuracy", "val_roc_auc", "val_h", "gamma"):
                assert [step for step, _ in curve[name]] == [1, 2]
            assert all(h <= best for (_, h), (_, best) in zip(curve["val_h"], curve["val_accuracy"], strict=True))
            assert trial.val_accuracy == max(value for _, value in curve["val_accuracy"])


def test_the_chosen_one_is_tested_once_beside_the_baselines(outcome):
    with open_store(outcome.database, read_only=True) as store:
        (event,) = [event for event in store.events("first") if event["kind"] == TESTED]
        table = table_of(store, "first")
        best = store.history("first").best()
        (row,) = store.artifacts(best.trial)
    assert table == event["detail"]
    assert [row["method"] for row in table["rows"]] == [f"trial {best.trial}", "random", "ridge"]
    for row_of_table in table["rows"]:
        assert {"roc_unseen", "pr_mean", "top1_unseen", "u", "s", "h", "h_calibrated", "ausuc"} <= set(row_of_table)
        assert row_of_table["roc_unseen"] != 0.5 or row_of_table["method"] == "random"
    assert [part["part"] for part in table["costs"]] == ["image network", "image head", "text network", "a class"]
    model = ZeroShotModel.load(checked(outcome.report.parent.parent, row))
    assert (len(model.seen), model.gamma) == (
        table["seen"],
        table["rows"][0]["gamma"],
    )  # all seen classes, none held back
    counted = [
        sum(p.numel() for p in model.network.body.parameters()),
        sum(p.numel() for p in model.network.image_head.parameters()) + 2 * (model.network.recipe.loss != "euclidean"),
        sum(p.numel() for p in model.network.text_head.parameters()),
    ]
    assert [part["params"] for part in table["costs"][:3]] == counted


def test_the_report_has_the_table_and_the_pictures_that_explain(outcome):
    page = outcome.report.read_text(encoding="utf-8")
    assert "Zero-shot test on unseen classes" in page
    assert "calibrated H on validation classes" in page
    assert SELECTED_BY in html.unescape(page)
    assert MEASURES in html.unescape(page)
    assert page.count('<img src="data:image/png;base64,') >= 2 * 4
    assert "an accuracy of" not in page  # which says how sure a share of images is: H is none


def test_the_chosen_trial_is_explained_and_no_other(outcome, command, tmp_path):
    with open_store(outcome.database, read_only=True) as store:
        table = table_of(store, "first")
    database = ("--db", str(outcome.database))
    code, out, err = command("explain", str(table["trial"]), *database, "-o", "page.html")
    assert (code, err) == (0, "")
    assert out.count("PR-AUC") == table["unseen"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<h3>") == table["unseen"]
    assert page.count('<img src="data:image/png;base64,') >= 4 * table["unseen"]
    other = next(trial.trial for trial in outcome.trials if trial.trial != table["trial"])
    code, out, err = command("explain", str(other), *database)
    assert (code, out) == (2, "")
    assert f"trial {other} has none; explain trial {table['trial']}, the chosen one" in err
    code, out, err = command("explain", str(table["trial"]), *database, "--class", "LATIN SMALL LETTR")
    assert code == 2
    assert "unknown unseen class 'LATIN SMALL LETTR'" in err


def test_what_a_trial_says_of_itself_is_named(outcome, command):
    database = ("--db", str(outcome.database))
    chosen, other = outcome.best[0], outcome.best[-1]
    _, out, _ = command("results", "show", str(chosen.trial), *database)
    for said in ("val_roc_auc: ", "val_h: ", "gamma: ", "the two, which the budget limits", MEASURES, SELECTED_BY):
        assert said in out
    assert f"the model: first/model-{chosen.trial}.safetensors" in out
    _, out, _ = command("results", "show", str(other.trial), *database)
    for said in ("val_roc_auc: ", "which the budget limits", SELECTED_BY):
        assert said in out
    assert MEASURES not in out
    with open_store(outcome.database, read_only=True) as store:
        value = dict(store.curve(chosen.trial)["val_roc_auc"])[chosen.best_epoch]
    code, out, _ = command("results", "query", f"val_roc_auc >= {value - 1e-9} and val_h >= 0", *database, "--json")
    assert code == 0
    assert chosen.trial in [row["trial"] for row in json.loads(out)]


def test_what_an_earlier_run_has_trained_is_taken_over_with_its_calibration(outcome):
    found = tiny(search={"cache": True, "trials": 1}, zero_shot={"baselines": [], "explained": 0})
    again = search(found, name="again", runs=outcome.database.parent)
    (trial,) = again.trials
    assert trial.source == outcome.trials[0].trial
    assert again.zero_shot["trial"] == trial.trial
    with open_store(outcome.database, read_only=True) as store:
        gammas = [dict(store.curve(t)["gamma"])[trial.best_epoch] for t in (trial.trial, trial.source)]
    assert again.zero_shot["rows"][0]["gamma"] == gammas[0] == gammas[1]


def test_what_is_left_to_be_done_is_told_of_the_best_inside_the_budget(outcome, tmp_path):
    """A table of an earlier best is not enough; where no trial is inside the budget there is nothing to do."""
    copy = tmp_path / "archsieve.db"
    back_up(outcome.database, copy)
    found = tiny()
    best = outcome.best[0]
    with open_store(copy) as store:
        run_id = store.run("first").run_id
        assert is_finalized(found, store, run_id)
        with store.writing() as connection:  # as where a resumed run with more trials finds a better one
            better = f"UPDATE trial SET val_accuracy = {best.val_accuracy + 0.01} WHERE trial_id = "
            connection.exec_driver_sql(f"{better}{next(t.trial for t in outcome.trials if t.trial != best.trial)}")
        assert not is_finalized(found, store, run_id)
        nothing = tiny(budget={"latency_ms": 1e-6})  # no trial was timed
        assert is_finalized(nothing, store, run_id)


def test_other_validation_classes_are_other_data():
    hashes = {
        name: found.task.load(found.file)[1].content_hash
        for name, found in (
            ("one", tiny()),
            ("same", tiny(recipe={"epochs": 9})),
            ("share", tiny(data={"val_fraction": 0.5})),
            ("folds", tiny(search={"folds": 3})),
            ("unseen", tiny(data={"unseen_fraction": 0.4})),
        )
    }
    assert hashes["one"] == hashes["same"]
    assert len(set(hashes.values())) == 4


def test_what_must_hold_of_a_run_holds(outcome):
    with open_store(outcome.database, read_only=True) as store:
        assert check_runs(store, outcome.database.parent, deep=True) == []


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_proposes_zero_shot_models_inside_the_budget(outcome, name):
    found = tiny(search={"searcher": name}, recipe={"lr": [1e-3, 1e-2]} if name == "grid" else {})
    with open_store(outcome.database, read_only=True) as store:
        history = store.history("first")
    first, then = (found.searcher(found.sieve).ask(seen, random.Random(0)) for seen in (History(), history))
    for proposal in (first, then):
        assert isinstance(proposal.recipe, ZeroShotRecipe)
        head = zero_shot_cost(proposal.recipe, 0, 24, last_map(proposal.architecture))
        assert proposal.architecture.cost.params + head.image.params <= 20_000
    assert then.key not in {(t.fingerprint, recorded_recipe(t.recipe)) for t in history}
