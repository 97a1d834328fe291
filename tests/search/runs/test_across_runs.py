"""What one run takes from another: cached trials, and trials from which the searcher learns."""

import json
import random
import re
import shutil
from dataclasses import replace

import pytest
from markupsafe import escape

from archsieve.results.database.errors import NoStoreError
from archsieve.results.database.records import History, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.query.priors import PRIORS, prior_lines, priors_of
from archsieve.search.cli.trial_texts import read_records
from archsieve.search.experiment.stored_settings import stored_settings
from archsieve.search.runs.session import load, resume, search
from archsieve.search.runs.warm_start import fits, learn_from
from archsieve.search.searchers.search_plan import SearchPlan
from archsieve.search.searchers.uninformed import Grid, RandomSearch
from archsieve.search.trials.trial_cache import TrialCache
from archsieve.spaces.recipes.recipe import Recipe, RecipeSpace

from ..conftest import small

METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "test_accuracy", "best_epoch", "epochs_done")
GRID = {
    "space": {"stem": 8, "stages": [{"block": ["conv-pool", "residual"], "width": [8, 16]}]},
    "data": {"limit": 200},
    "recipe": {"epochs": 1, "lr": 0.1},
}


def grid(trials, **tables):
    """Return an experiment with the first ``trials`` points of one grid."""
    settings = {"trials": trials, "searcher": "grid", "cache": True, **tables.pop("search", {})}
    recipe = {**GRID["recipe"], **tables.pop("recipe", {})}
    return small(**{**GRID, "recipe": recipe, "search": settings, **tables})


@pytest.fixture(scope="module")
def runs(tmp_path_factory, ray_running):
    """Return a folder with a run of two trials."""
    folder = tmp_path_factory.mktemp("runs")
    search(grid(2), name="first", runs=folder)
    return folder


def test_a_cached_trial_is_linked_and_counts(runs):
    first = resumed_trials(runs, "first")
    outcome = search(grid(3), name="second", runs=runs)
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 3
    assert [trial.source for trial in outcome.trials] == [first[0].trial, first[1].trial, None]
    with open_store(outcome.database, read_only=True) as store:
        for old, new in zip(first, outcome.trials, strict=False):
            assert {name: getattr(new, name) for name in (*METRICS, "recipe", "seed", "fingerprint", "device")} == {
                name: getattr(old, name) for name in (*METRICS, "recipe", "seed", "fingerprint", "device")
            }
            assert store.curve(new.trial) == store.curve(old.trial) != {}
            assert re.search(rf"'first'.* trial {old.trial}$", new.reason)
            assert new.duration_s == 0
        joined = "FROM attempt JOIN trial USING (trial_id) JOIN run USING (run_id) WHERE name = 'second'"
        with store.read_transaction() as connection:
            trained = {trial for (trial,) in connection.exec_driver_sql(f"SELECT trial_id {joined}")}
    assert trained == {outcome.trials[2].trial}
    assert re.search(r"\b2 of [^.]*not trained again", outcome.report.read_text())


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
    ("changes", "hit"),
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
def test_the_cache_finds_a_trial_only_under_the_same_conditions(runs, tmp_path, changes, hit):
    experiment = grid(1, **changes)
    proposal = Grid(grid(1).constrained, experiment.recipes).ask(History(), random.Random(0))
    first = resumed_trials(runs, "first")[0]
    assert proposal.architecture.fingerprint == first.fingerprint
    with open_store(shutil.copy(runs / "archsieve.db", tmp_path)) as store:
        store.create_run("asks", experiment.to_json(), "grid", 0, load(experiment)[1], {})
        run = store.run("asks")
        cached = TrialCache(store, run).find(proposal)
        assert (None if cached is None else cached.trial) == (first.trial if hit else None)
        assert TrialCache(store, replace(run, name="first")).find(proposal) is None  # a run is not its own source


@pytest.mark.slow
def test_the_command_line_reports_cached_trials(command, tmp_path):
    head = '[data]\nlimit = 200\n[space]\nstem = 8\n[[space.stages]]\nblock = "conv-pool"\nwidth = [8, 16]\n'
    (tmp_path / "a.toml").write_text(head + '[recipe]\nepochs = 1\nlr = 0.1\n[search]\ntrials = 1\nsearcher = "grid"\n')
    assert command("search", "a.toml", "--name", "one")[0] == 0
    code, out, err = command("search", "a.toml", "--name", "two", "--json")
    assert code == 0, err
    assert "[1/1] trial 2: val_accuracy" in err
    assert re.search(r"run 'one'.* trial 1\b", err), err
    assert json.loads(out)["best"][0]["source"] == 1
    code, out, err = command("search", "a.toml", "--name", "three", "--no-cache", "--json")
    assert (code, json.loads(out)["best"][0]["source"]) == (0, None), err


def test_a_searcher_knows_earlier_runs_and_counts_its_own_trials(runs):
    settings = {"warm_start": ["first"], "cache": False}
    outcome = search(grid(1, search=settings), name="warm", runs=runs)
    assert [trial.number for trial in outcome.trials] == [0]
    assert outcome.trials[0].fingerprint not in {t.fingerprint for t in resumed_trials(runs, "first")}
    # A resumed run learns only from trials that ended before it first started.
    with open_store(outcome.database, read_only=True) as store:
        run, started = store.run("warm"), store.run("first").created_at
        experiment = grid(1, search={"warm_start": ["first"]})
        assert len(learn_from(store, experiment, run.dataset_hash, run.created_at).trials) == 2
        with pytest.raises(ValueError, match="'first' has 0 of 0"):
            learn_from(store, experiment, run.dataset_hash, started)


def test_earlier_trials_are_in_the_history_below_zero(runs):
    earlier = resumed_trials(runs, "first")
    histories = []

    class RecordingSearch(RandomSearch):
        def ask(self, history, rng):
            histories.append(history)
            return super().ask(history, rng)

    experiment = grid(1)
    own = replace(earlier[0], run="own", number=0)
    plan = SearchPlan(
        lambda constrained: RecordingSearch(constrained, experiment.recipes),
        experiment.constrained,
        experiment.recipes,
        earlier=earlier,
    )
    plan.ask(History((own,)), random.Random(0))
    assert [trial.number for trial in histories[0]] == [-2, -1, 0]
    assert {trial.run for trial in histories[0]} == {"own"}
    assert len(histories[0].finished) == 3
    assert histories[0].trials[-1] == own


@pytest.mark.parametrize(
    ("tables", "facts"),
    [
        ({"search": {"warm_start": ["frist"]}}, "'frist'.*'first'"),
        (
            {"search": {"warm_start": ["first"]}, "data": {"limit": 201}},
            "'first' has none .*'digits'.* 2 f",
        ),
        (
            {"search": {"warm_start": ["first"]}, "recipe": {"lr": 0.3}},
            "'first' has 0 of 2",
        ),
    ],
)
def test_unusable_earlier_runs_are_refused_before_the_run_starts(runs, tables, facts):
    with pytest.raises(ValueError, match=facts):
        search(grid(1, **tables), name="refused", runs=runs)
    with open_store(runs / "archsieve.db", read_only=True) as store:
        assert "refused" not in [run.name for run in store.runs()]


@pytest.mark.slow  # three searches; test_priors.py has the priors without a search
def test_a_run_learns_from_one_on_other_data(runs):
    search(grid(4), name="four", runs=runs)
    settings = {"warm_start": "all", "searcher": "gp", "cache": False}
    outcome = search(grid(2, data={"limit": 201}, search=settings), name="other-data", runs=runs)
    with open_store(outcome.database, read_only=True) as store:
        # A resumed run must learn from the same runs, so that their names are recorded, without those of few trials.
        names = store.run("other-data").config["search"]["warm_start"]
        assert "four" in names
        assert "first" not in names
        notes = priors_of(store, "other-data")
        assert {prior["run"] for prior in notes["priors"] if prior["source"] == "run"} <= set(names)
        assert read_records(store, "other-data:0").priors == notes
        assert store.events("four", PRIORS) == []  # of a grid search
    assert all(line in outcome.report.read_text() for line in map(str, map(escape, prior_lines(notes))))
    more = resume("other-data", trials=3, runs=runs)
    assert len({trial.fingerprint for trial in more.trials}) == 3
    # the other searchers learn from trials of the same data only
    with pytest.raises(ValueError, match="'random' and run 'four'"):
        search(grid(1, data={"limit": 201}, search={"warm_start": ["four"], "searcher": "random"}), name="x", runs=runs)


def test_a_run_from_before_there_was_a_prior_continues_without_one():
    stored = grid(1).to_json()
    assert stored["search"].pop("prior") == "standard"
    assert stored_settings(stored)["search"]["prior"] == "none"
    assert stored_settings(grid(1).to_json())["search"]["prior"] == "standard"


def test_a_warm_start_creates_no_database(tmp_path):
    with pytest.raises(NoStoreError):
        search(grid(1, search={"warm_start": ["first"]}), name="x", runs=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_recipe_is_in_a_space_or_not():
    space = RecipeSpace.of(epochs=2, lr=[0.1, 0.2], dropout=[0.0, 0.5])
    assert fits(space, Recipe(epochs=2, lr=0.2, dropout=0.0))
    assert not fits(space, Recipe(epochs=2, lr=0.3, dropout=0.0))
    assert not fits(space, Recipe(epochs=3, lr=0.2, dropout=0.0))
    assert not fits(space, Recipe(epochs=2, lr=0.2, dropout=0.0, batch_size=64))
