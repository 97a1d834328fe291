"""What one run learns from another: trials taken over, searchers informed."""

import json
import random
import shutil
from dataclasses import replace

import pytest

from archsieve.results.database.errors import NoStoreError
from archsieve.results.database.records import History, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.runs.session import load, resume, search
from archsieve.search.runs.warm_start import earlier_trials, fits
from archsieve.search.searchers.search_plan import SearchPlan
from archsieve.search.searchers.uninformed import Grid, RandomSearch
from archsieve.search.trials.trial_cache import TrialCache
from archsieve.spaces.recipes.recipe import Recipe, RecipeSpace

from ..conftest import small

FIGURES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "test_accuracy", "best_epoch", "epochs_done")
GRID = {
    "space": {"stem": 8, "stages": [{"block": ["conv-pool", "residual"], "width": [8, 16]}]},
    "data": {"limit": 200},
    "recipe": {"epochs": 1, "lr": 0.1},
}


def grid(trials, **tables):
    """The first so many points of one grid."""
    told = {"trials": trials, "searcher": "grid", "cache": True, **tables.pop("search", {})}
    recipe = {**GRID["recipe"], **tables.pop("recipe", {})}
    return small(**{**GRID, "recipe": recipe, "search": told, **tables})


@pytest.fixture(scope="module")
def runs(tmp_path_factory, ray_running):
    """A folder with a run of two trials."""
    folder = tmp_path_factory.mktemp("runs")
    search(grid(2), name="first", runs=folder)
    return folder


def test_what_was_trained_is_linked_and_counts(runs):
    first = resumed_trials(runs, "first")
    outcome = search(grid(3), name="second", runs=runs)
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 3
    assert [trial.source for trial in outcome.trials] == [first[0].trial, first[1].trial, None]
    with open_store(outcome.database, read_only=True) as store:
        for old, new in zip(first, outcome.trials, strict=False):
            assert {name: getattr(new, name) for name in (*FIGURES, "recipe", "seed", "fingerprint", "device")} == {
                name: getattr(old, name) for name in (*FIGURES, "recipe", "seed", "fingerprint", "device")
            }
            assert store.curve(new.trial) == store.curve(old.trial) != {}
            assert new.reason == f"trained in run 'first' as trial {old.trial}"
            assert new.duration_s == 0
        joined = "FROM attempt JOIN trial USING (trial_id) JOIN run USING (run_id) WHERE name = 'second'"
        with store.reading() as connection:
            trained = {trial for (trial,) in connection.exec_driver_sql(f"SELECT trial_id {joined}")}
    assert trained == {outcome.trials[2].trial}
    assert "2 of them were not trained again" in outcome.report.read_text()


def resumed_trials(runs, name):
    with open_store(runs / "archsieve.db", read_only=True) as store:
        return store.history(name).trials


def test_a_run_in_which_nothing_is_new_trains_nothing(runs):
    outcome = search(grid(2), name="nothing-new", runs=runs)
    assert [trial.source for trial in outcome.trials] == [t.trial for t in resumed_trials(runs, "first")]
    assert outcome.complete
    assert outcome.best[0].val_accuracy == max(t.val_accuracy for t in resumed_trials(runs, "first"))
    more = resume("nothing-new", trials=3, runs=runs)
    assert len(more.trials) == 3


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({}, True),
        ({"search": {"seed": 7}}, True),
        ({"recipe": {"lr": 0.2}}, False),
        ({"recipe": {"epochs": 2}}, False),
        ({"data": {"limit": 201}}, False),
        ({"data": {"limit": 200, "seed": 1}}, False),
        ({"search": {"folds": 2}}, False),
        ({"resources": {"precision": "bf16"}}, False),
        ({"budget": {"latency_ms": 5.0}}, False),
    ],
    ids=str,
)
def test_what_counts_as_the_same_conditions(runs, tmp_path, other, found):
    experiment = grid(1, **other)
    proposal = Grid(grid(1).sieve, experiment.recipes).ask(History(), random.Random(0))
    first = resumed_trials(runs, "first")[0]
    assert proposal.architecture.fingerprint == first.fingerprint
    with open_store(shutil.copy(runs / "archsieve.db", tmp_path)) as store:
        store.create_run("asks", experiment.to_json(), "grid", 0, load(experiment)[1], {})
        run = store.run("asks")
        same = TrialCache(store, run).find(proposal)
        assert (None if same is None else same.trial) == (first.trial if found else None)
        assert TrialCache(store, replace(run, name="first")).find(proposal) is None  # a run is no source of its own


@pytest.mark.slow
def test_the_command_line_says_what_was_taken_over(command, tmp_path):
    told = '[data]\nlimit = 200\n[space]\nstem = 8\n[[space.stages]]\nblock = "conv-pool"\nwidth = [8, 16]\n'
    (tmp_path / "a.toml").write_text(told + '[recipe]\nepochs = 1\nlr = 0.1\n[search]\ntrials = 1\nsearcher = "grid"\n')
    assert command("search", "a.toml", "--name", "one")[0] == 0
    code, out, err = command("search", "a.toml", "--name", "two", "--json")
    assert code == 0, err
    assert "[1/1] trial 2: val_accuracy" in err
    assert "trained in run 'one' as trial 1" in err
    assert json.loads(out)["best"][0]["source"] == 1
    code, out, err = command("search", "a.toml", "--name", "three", "--no-cache", "--json")
    assert (code, json.loads(out)["best"][0]["source"]) == (0, None), err


def test_a_searcher_is_told_of_earlier_runs_and_counts_its_own(runs):
    told = {"warm_start": ["first"], "cache": False}
    outcome = search(grid(1, search=told), name="warm", runs=runs)
    assert [trial.number for trial in outcome.trials] == [0]
    assert outcome.trials[0].fingerprint not in {t.fingerprint for t in resumed_trials(runs, "first")}
    # a run that is resumed knows what it knew when it began, whatever ended since
    search(grid(4), name="later", runs=runs)
    with open_store(outcome.database, read_only=True) as store:
        run = store.run("warm")
        experiment = grid(1, search={"warm_start": ["first", "later"]})
        with pytest.raises(ValueError, match="none of the 0 trials that run 'later' has ended"):
            earlier_trials(store, experiment, run.dataset_hash, run.created_at)


def test_earlier_trials_are_in_the_history_below_zero(runs):
    earlier = resumed_trials(runs, "first")
    asked = []

    class Noted(RandomSearch):
        def ask(self, history, rng):
            asked.append(history)
            return super().ask(history, rng)

    experiment = grid(1)
    own = replace(earlier[0], run="own", number=0)
    plan = SearchPlan(
        lambda sieve: Noted(sieve, experiment.recipes), experiment.sieve, experiment.recipes, earlier=earlier
    )
    plan.ask(History((own,)), random.Random(0))
    assert [trial.number for trial in asked[0]] == [-2, -1, 0]
    assert {trial.run for trial in asked[0]} == {"own"}
    assert len(asked[0].finished) == 3
    assert asked[0].trials[-1] == own


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"search": {"warm_start": ["frist"]}}, "unknown run 'frist'; did you mean 'first'"),
        ({"search": {"warm_start": ["first"]}, "data": {"limit": 201}}, "made on 'digits' with the hash"),
        (
            {"search": {"warm_start": ["first"]}, "recipe": {"lr": 0.3}},
            "none of the 2 trials that run 'first'",
        ),
    ],
)
def test_runs_that_teach_nothing_are_refused_before_the_run_begins(runs, tables, said):
    with pytest.raises(ValueError, match=said):
        search(grid(1, **tables), name="refused", runs=runs)
    with open_store(runs / "archsieve.db", read_only=True) as store:
        assert "refused" not in [run.name for run in store.runs()]


def test_a_warm_start_makes_no_database(tmp_path):
    with pytest.raises(NoStoreError):
        search(grid(1, search={"warm_start": ["first"]}), name="x", runs=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_which_recipes_fit():
    space = RecipeSpace.of(epochs=2, lr=[0.1, 0.2], dropout=[0.0, 0.5])
    assert fits(space, Recipe(epochs=2, lr=0.2, dropout=0.0))
    assert not fits(space, Recipe(epochs=2, lr=0.3, dropout=0.0))
    assert not fits(space, Recipe(epochs=3, lr=0.2, dropout=0.0))
    assert not fits(space, Recipe(epochs=2, lr=0.2, dropout=0.0, batch_size=64))
