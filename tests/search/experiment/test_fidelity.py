"""``search.fidelity``: settings that cannot work, what is recorded of a run, and how stopped trials rank."""

from dataclasses import replace

import pytest

from archsieve.models.data.registry import load_data
from archsieve.results.analysis.health import findings
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.report.report import write_report
from archsieve.search.experiment.search_file import SearchFileError
from archsieve.search.post.integrity import check_runs
from archsieve.search.runs.session import search
from archsieve.search.searchers.ranking import score
from archsieve.search.tasks.ladder import check_share
from archsieve.search.trials.metrics import summary
from archsieve.search.trials.trial_cache import conditions
from archsieve.spaces.recipes.fidelity import Rung

from ..conftest import small

LADDER = [{"epochs": 1, "data_share": 0.5, "image_size": 4}]


def settings(rungs=LADDER, recipe=(), **keys):
    return {
        "search": {"scheduler": "asha", "reduction_factor": 2, "fidelity": rungs, **keys},
        "recipe": {"epochs": 2, **dict(recipe)},
    }


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (settings([{"epochs": 0, "data_share": 0.5}]), "search.fidelity.0.epochs"),
        (settings([{"epochs": 1, "data_share": 0.0}]), "search.fidelity.0.data_share"),
        (settings([{"epochs": 1}]), "data_share below 1 or an image_size"),
        (settings([{"epochs": 2, "data_share": 0.5}]), "until epoch 2 and recipe.epochs is 2"),
        (settings(recipe={"epochs": [1, 3]}), "recipe.epochs is 1"),
        (settings([{"epochs": 1, "image_size": 8}]), "got 8 and 8"),
        (settings([*LADDER, *LADDER]), "search.fidelity.1.epochs must be above"),
        (settings([*LADDER, {"epochs": 2, "data_share": 0.2}], {"epochs": 4}), "must not use less data"),
        (settings(scheduler="none"), "search.scheduler"),
        (settings(folds=3), "search.folds"),
        (settings(recipe={"train": "head"}), "recipe.train"),
    ],
)
def test_a_ladder_that_cannot_work_is_refused(tables, message):
    with pytest.raises((SearchFileError, ValueError), match=message):
        small(**tables).check()


def test_a_fidelity_below_one_batch_is_refused():
    data = load_data("digits", limit=200)
    check_share([Rung(1, 0.5)], data, 50)
    with pytest.raises(ValueError, match=r"search.fidelity.0.data_share must give at least one batch .* has 64;"):
        check_share([Rung(1, 0.1)], data, 64)


def test_figures_of_a_lower_fidelity_are_no_results():
    curve = {"val_accuracy": [(1, 0.9), (2, 0.6), (3, 0.7)], "val_loss": [(1, 0.1), (2, 0.3), (3, 0.2)]}
    assert summary(curve)["best_epoch"] == 1
    with_ladder = {**curve, "fidelity": [(1, 0.5), (2, 1.0), (3, 1.0)]}
    assert summary(with_ladder) == {"val_accuracy": 0.7, "val_loss": 0.2, "epochs_done": 3, "best_epoch": 3}
    assert summary({**curve, "fidelity": [(1, 0.2), (2, 0.5), (3, 0.5)]}) == {"epochs_done": 3}


def test_findings_compare_only_epochs_on_all_data():
    rising = {"train_loss": [(1, 0.5), (2, 2.0), (3, 1.9)], "val_accuracy": [(1, 0.1), (2, 0.8), (3, 0.85)]}
    rising |= {"train_accuracy": [(1, 0.1), (2, 0.8), (3, 0.86)], "val_loss": rising["train_loss"]}
    assert [one.kind for one in findings(rising, 10)] == ["rising"]
    assert findings({**rising, "fidelity": [(1, 0.5), (2, 1.0), (3, 1.0)]}, 10) == []
    # a trial that was stopped on a rung has no findings, unless it diverged
    on_rungs = [(1, 0.2), (2, 0.5), (3, 0.5)]
    assert findings({**rising, "fidelity": on_rungs}, 10) == []
    diverged = {**rising, "train_loss": [(1, float("nan"))], "fidelity": on_rungs}
    assert [one.kind for one in findings(diverged, 10)] == ["diverged"]


def test_a_run_records_the_ladder_and_no_result_of_trials_that_it_stopped(ray_running, tmp_path):
    outcome = search(small(**settings(recipe={"lr": [0.05, 0.3]}, trials=6)), name="ladder", runs=tmp_path)
    with open_store(tmp_path / "archsieve.db") as store:
        assert check_runs(store, tmp_path) == []
        curves = [store.curve(trial.trial) for trial in outcome.trials]
        config = store.run("ladder").config
        write_report(store, "ladder", tmp_path / "again.html")
    stopped = [trial for trial in outcome.trials if trial.state is TrialState.STOPPED_EARLY]
    complete = [trial for trial in outcome.trials if trial.state is TrialState.COMPLETED]
    assert stopped
    assert complete
    assert all((trial.val_accuracy, trial.best_epoch, trial.epochs_done) == (None, None, 1) for trial in stopped)
    assert all(trial.best_epoch == 2 for trial in complete)
    assert all(curve["image_size"][0] == (1, 4.0) and curve["fidelity"][0] == (1, 0.125) for curve in curves)
    # a searcher learns that a stopped trial is worse than a complete one, and better than a failed one
    failed = score(replace(stopped[0], state=TrialState.FAILED))
    assert failed < score(stopped[0]) < min(map(score, complete))
    assert {trial.trial for trial in outcome.best} <= {trial.trial for trial in complete}
    without = {**config, "search": {name: value for name, value in config["search"].items() if name != "fidelity"}}
    assert conditions(config) != conditions(without)  # the cache keeps them apart


def test_runs_without_a_ladder_have_the_settings_of_earlier_versions():
    assert "fidelity" not in small().to_json()["search"]
