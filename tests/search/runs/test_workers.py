"""Workers: as many as there is room for, none started in vain, and a trial chosen when one is free and no sooner."""

import itertools
import os
import time
from pathlib import Path

import pytest
from ray import tune
from sqlalchemy import select

from archsieve.results.database import schema
from archsieve.results.database.store import open_store
from archsieve.search.cluster.capacity import ClusterCapacity
from archsieve.search.cluster.gpu_sharing import CONTEXT_BYTES, Shares
from archsieve.search.cluster.ray_runtime import fitting
from archsieve.search.runs.recorder import Recorder
from archsieve.search.runs.run_control import RunControl
from archsieve.search.runs.tuner import run_trials
from archsieve.search.trials.checkpoint_files import Checkpoints
from archsieve.search.trials.report import EpochMetrics, TrialReport, TrialStart
from archsieve.search.trials.spool import Spool

from ..conftest import begun, small

EPOCH = (EpochMetrics(1, dict.fromkeys(("train_loss", "train_accuracy", "val_loss", "val_accuracy"), 0.5)),)


def wait_for(path):
    """Wait for what another worker does; a trial that waits in vain fails."""
    until = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(path.name)
        time.sleep(0.02)


class Uneven(tune.Trainable):
    """The second worker is being started from the first trial of the first one on, and ready after its third.

    The first one waits for it with the fourth.
    """

    def setup(self, config, data, conditions):
        self.folder, self.count = Path(data), 0
        (self.folder / f"{os.getpid()}.started").touch()
        try:
            (self.folder / "first").touch(exist_ok=False)
            self.first = True
        except FileExistsError:
            self.first = False
            (self.folder / "starting").touch()
            wait_for(self.folder / "three")

    def reset_config(self, new_config):
        return True

    def step(self):
        self.count += 1
        if not self.first:
            (self.folder / "second").touch()
        elif self.count == 1:
            wait_for(self.folder / "starting")
        elif self.count == 3:
            (self.folder / "three").touch()
        elif self.count == 4:
            wait_for(self.folder / "second")
        return TrialReport(EPOCH, done=True, start=TrialStart.here(0)).to_tune()


class Short(tune.Trainable):
    """A trial that does nothing for a moment."""

    def setup(self, config, data, conditions):
        pass

    def reset_config(self, new_config):
        return True

    def step(self):
        time.sleep(0.3)
        return TrialReport(EPOCH, done=True).to_tune()


def drive(folder, trainable, trials, **resources):
    """(created, began, ended, process id) of each trial of a run."""
    found = small(search={"trials": trials}, recipe={"epochs": 1}, resources=resources)
    with open_store(folder / "archsieve.db", create=True) as store:
        run_id = begun(store, found)
        run_trials(found, str(folder), store, run_id, folder, trainable=trainable)
        trial, attempt = schema.trial.c, schema.attempt.c
        columns = (trial.created_at, attempt.started_at, trial.ended_at, attempt.pid, attempt.outcome)
        with store.reading() as connection:
            query = select(*columns).join_from(schema.trial, schema.attempt).order_by(trial.number)
            return connection.execute(query).all()


def test_a_worker_that_takes_longer_to_start_than_a_trial_is_not_started_in_vain(ray_running, tmp_path):
    rows = drive(tmp_path, Uneven, 8)
    assert [row.outcome for row in rows] == ["completed"] * 8
    started = {int(path.stem) for path in tmp_path.glob("*.started")}
    assert len(started) == 2
    assert {row.pid for row in rows} == started


def test_a_trial_is_chosen_when_those_before_it_have_been_heard(ray_running, tmp_path):
    """It takes the whole machine, so that nothing is gained by choosing the next one early."""
    rows = drive(tmp_path, Short, 4, cpus_per_trial=2)
    assert all(later.created_at >= earlier.ended_at for earlier, later in itertools.pairwise(rows))


def test_one_trial_waits_for_a_machine_where_more_are_asked_for_than_fit(ray_running, tmp_path):
    """It is what a cluster that grows by demand grows by."""
    rows = drive(tmp_path, Short, 5, cpus_per_trial=2, max_concurrent=4)
    ahead = [sum(other.created_at < row.ended_at for other in rows[n + 1 :]) for n, row in enumerate(rows)]
    assert ahead == [1, 1, 1, 1, 0]
    assert [row.started_at for row in rows] == sorted(row.started_at for row in rows)


@pytest.mark.parametrize(
    ("asked", "machines", "trials"),
    [
        ({"cpus_per_trial": 4}, [{"CPU": 1.0}] * 4, 0),
        ({"cpus_per_trial": 4}, [{"CPU": 1.0}, {"CPU": 4.0}, {"CPU": 11.0}], 3),
        ({"cpus_per_trial": 0.1}, [{"CPU": 0.3}], 3),
        ({}, [{"CPU": 64.0, "memory": 8.0 * 2**30}, {"CPU": 8.0, "memory": 8.0 * 2**30}], 16 + 8),
        ({}, [{"CPU": 1.0, "memory": 2.0**28}], 1),
        ({"cpus_per_trial": 2, "gpus_per_trial": 0.5}, [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}], 0),
        ({"cpus_per_trial": 2, "gpus_per_trial": 0.5}, [{"CPU": 2.0, "GPU": 1.0}], 1),
        ({"gpus_per_trial": 0.3}, [{"CPU": 16.0, "GPU": 2.0}], 6),
        ({"gpus_per_trial": 0.6}, [{"CPU": 16.0, "GPU": 2.0}], 2),
        ({"gpus_per_trial": 2}, [{"CPU": 16.0, "GPU": 5.0}, {"CPU": 16.0, "GPU": 1.0}], 2),
    ],
)
def test_as_many_trials_fit_as_have_cores_memory_and_gpus_together_on_a_machine(asked, machines, trials):
    found = small(resources=asked).file.resources
    assert fitting(found, [{"Resources": there} for there in machines]) == trials


def test_where_trials_have_shares_of_their_own_a_gpu_is_full_when_they_add_up(recorded):
    """Or when there are no cores left for another one."""
    trials = recorded(4)
    shares = Shares(4 * CONTEXT_BYTES, 0)
    assert [shares.of(trial) for trial in trials] == [0.5] * 4

    def full(n, **there):
        asked = small(resources={"gpus_per_trial": "auto"}).file.resources
        return ClusterCapacity(asked, shares.of, lambda: [{"Resources": there}, {"Resources": {"CPU": 64.0}}]).is_full(
            trials[:n]
        )

    assert [full(n, CPU=8.0, GPU=1.0) for n in range(4)] == [False, False, True, True]
    assert [full(n, CPU=8.0, GPU=2.0) for n in range(5)] == [False, False, False, False, True]
    assert [full(n, CPU=1.0, GPU=2.0) for n in range(3)] == [False, True, True]


@pytest.fixture
def recorded(tmp_path):
    """The first trials of a run of small networks."""

    def trials(n):
        found = small()
        with open_store(tmp_path / "archsieve.db", create=True) as store:
            run_id = begun(store, found)
            searcher = found.searcher(found.sieve)
            files = Checkpoints(str(tmp_path)), Spool(tmp_path / "spool")
            recorder = Recorder(RunControl(store, run_id), searcher, 0, n, *files)
            return [recorder.propose(str(number)) for number in range(n)]

    return trials
