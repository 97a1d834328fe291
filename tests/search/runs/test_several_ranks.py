"""Trials that two processes train together: what cannot work is refused, and a search is resumed on one process."""

import os
import signal

import pytest

from archsieve.results.database.records import TrialState
from archsieve.search.experiment.search_file import SearchFileError

from ..conftest import small
from ..drivers import Drivers

TWO = {"cpus_per_trial": 2, "ranks_per_trial": 2}
SEARCH = """
[data]
limit = 300
[budget]
params = "20k"
macs = "1M"
[recipe]
epochs = 12
[search]
trials = 2
searcher = "random"
[resources]
cpus_per_trial = 2
ranks_per_trial = 2
sync_batch_norm = true
"""


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"resources": TWO, "recipe": {"batch_size": [2, 64]}}, "two images for each rank.*batch_size is 2"),
        ({"resources": TWO, "search": {"folds": 3}}, "several ranks.*search.folds"),
        ({"resources": TWO, "train": {"function": "math:sqrt"}}, "train"),
        ({"resources": {"ranks_per_trial": 2}}, "each rank needs a core.*cpus_per_trial = 2"),
        ({"resources": {"gpus_per_trial": 2, "ranks_per_trial": 4}}, "must be the number of GPUs of a trial, 2"),
        ({"resources": {"gpus_per_trial": 0.5, "ranks_per_trial": 2}}, "each rank needs a GPU of its own"),
        ({"resources": {"sync_batch_norm": True}}, "sync_batch_norm needs several ranks"),
    ],
)
def test_what_several_ranks_cannot_train_is_refused(tables, message):
    with pytest.raises((SearchFileError, ValueError), match=message):
        small(**tables).check()


def test_several_gpus_of_a_trial_are_as_many_ranks():
    assert small(resources={"gpus_per_trial": 4}).file.resources.ranks == 4
    assert small(resources={"gpus_per_trial": 0.5}).file.resources.ranks == 1


def rank_processes(drivers):
    return {pid: line for pid, line in drivers.alive().items() if "ranks.rank_process" in line}


@pytest.mark.slow  # a search, and a resume of its run
def test_a_rank_that_is_killed_costs_an_epoch_and_no_process_stays(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    drivers = Drivers(tmp_path)
    try:
        driver = drivers("search", "search.toml", "--name", "ranks", "-s", "recipe.epochs=60")
        drivers.wait_for("ranks", lambda trials: any(trial.epochs_done >= 2 for trial in trials), driver)
        victims = rank_processes(drivers)
        assert len(victims) == 1
        os.kill(next(iter(victims)), signal.SIGKILL)
        out, err = driver.communicate()
        assert driver.returncode == 0, err
        assert drivers.orphans() == {}
        trials = drivers.history("ranks")
        assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 2
        assert all(trial.epochs_done == 60 and trial.test_accuracy > 0.5 for trial in trials)
        code, out, err = drivers.run("db", "check", "--deep")
        assert code == 0, out + err
    finally:
        drivers.end()
