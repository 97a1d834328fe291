"""Workers: as many as fit, each of them used, and a trial chosen only when a worker is free."""

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
from archsieve.search.cluster.ray_runtime import count_trial_slots
from archsieve.search.runs.recorder import Recorder
from archsieve.search.runs.run_control import RunControl
from archsieve.search.runs.tuner import run_trials
from archsieve.search.trials.checkpoint_files import Checkpoints
from archsieve.search.trials.report import EpochMetrics, TrialReport, TrialStart
from archsieve.search.trials.spool import Spool

from ..conftest import create_empty_run, small

EPOCH = (EpochMetrics(1, dict.fromkeys(("train_loss", "train_accuracy", "val_loss", "val_accuracy"), 0.5)),)


def wait_for(path):
    """Wait for a file that another worker creates."""
    while not path.exists():
        time.sleep(0.02)


class Uneven(tune.Trainable):
    """A trainable with two workers, of which the second starts slowly.

    The second worker starts during the first trial of the first worker, and is ready after the third trial. The first
    worker waits in its fourth trial until the second one has trained.
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
        return TrialReport(EPOCH, done=True, start=TrialStart.in_this_process(0)).to_tune()


class Short(tune.Trainable):
    """A trial that takes 0.3 s."""

    def setup(self, config, data, conditions):
        pass

    def reset_config(self, new_config):
        return True

    def step(self):
        time.sleep(0.3)
        return TrialReport(EPOCH, done=True).to_tune()


def drive(folder, trainable, trials, **resources):
    """Run ``trials`` trials; return (created, started, ended, process id, outcome) of each."""
    experiment = small(search={"trials": trials}, recipe={"epochs": 1}, resources=resources)
    with open_store(folder / "archsieve.db", create=True) as store:
        run_id = create_empty_run(store, experiment)
        run_trials(experiment, str(folder), store, run_id, folder, trainable=trainable)
        trial, attempt = schema.trial.c, schema.attempt.c
        columns = (trial.created_at, attempt.started_at, trial.ended_at, attempt.pid, attempt.outcome)
        with store.read_transaction() as connection:
            query = select(*columns).join_from(schema.trial, schema.attempt).order_by(trial.number)
            return connection.execute(query).all()


@pytest.mark.slow
def test_a_worker_that_starts_slowly_still_gets_trials(ray_running, tmp_path):
    rows = drive(tmp_path, Uneven, 8, max_concurrent=None)
    assert [row.outcome for row in rows] == ["completed"] * 8
    started = {int(path.stem) for path in tmp_path.glob("*.started")}
    assert len(started) == 2
    assert {row.pid for row in rows} == started


def test_a_trial_is_chosen_after_the_earlier_results_have_arrived(ray_running, tmp_path):
    """A trial takes the whole machine, so there is no reason to choose the next one early."""
    rows = drive(tmp_path, Short, 4, cpus_per_trial=2, max_concurrent=None)
    assert all(later.created_at >= earlier.ended_at for earlier, later in itertools.pairwise(rows))


def test_one_trial_is_pending_when_max_concurrent_exceeds_the_capacity(ray_running, tmp_path):
    """An autoscaling cluster needs the pending trial to grow."""
    rows = drive(tmp_path, Short, 5, cpus_per_trial=2, max_concurrent=4)
    created_early = [sum(other.created_at < row.ended_at for other in rows[n + 1 :]) for n, row in enumerate(rows)]
    assert created_early == [1, 1, 1, 1, 0]
    assert [row.started_at for row in rows] == sorted(row.started_at for row in rows)


@pytest.mark.parametrize(
    ("resources", "nodes", "trials"),
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
def test_a_trial_slot_needs_cores_memory_and_gpus_on_one_node(resources, nodes, trials):
    section = small(resources=resources).file.resources
    assert count_trial_slots(section, [{"Resources": node} for node in nodes]) == trials


def test_a_gpu_is_full_when_the_shares_of_its_trials_add_up(recorded):
    """A GPU is also full when no cores are left for another trial."""
    trials = recorded(4)
    shares = Shares(4 * CONTEXT_BYTES, 0)
    assert [shares.of_trial(trial) for trial in trials] == [0.5] * 4

    def full(n, **node):
        resources = small(resources={"gpus_per_trial": "auto"}).file.resources
        nodes = [{"Resources": node}, {"Resources": {"CPU": 64.0}}]
        return ClusterCapacity(resources, shares.of_trial, lambda: nodes).is_full(trials[:n])

    assert [full(n, CPU=8.0, GPU=1.0) for n in range(4)] == [False, False, True, True]
    assert [full(n, CPU=8.0, GPU=2.0) for n in range(5)] == [False, False, False, False, True]
    assert [full(n, CPU=1.0, GPU=2.0) for n in range(3)] == [False, True, True]


@pytest.fixture
def recorded(tmp_path):
    """Return a function for the first ``n`` trials of a run of small networks."""

    def trials(n):
        experiment = small()
        with open_store(tmp_path / "archsieve.db", create=True) as store:
            run_id = create_empty_run(store, experiment)
            searcher = experiment.searcher(experiment.constrained)
            files = Checkpoints(str(tmp_path)), Spool(tmp_path / "spool")
            recorder = Recorder(RunControl(store, run_id), searcher, 0, n, *files)
            return [recorder.propose(str(number)) for number in range(n)]

    return trials
