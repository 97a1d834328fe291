"""A trial inside its worker, step by step and without Ray: what it takes up, and what it tells of what breaks."""

import json
import random

import pytest
import torch

from archsieve.results.database.records import FailKind
from archsieve.search.searchers.recipe_sampling import draw_recipe
from archsieve.search.trials.checkpoint_files import Checkpoints, identity_of, load, save
from archsieve.search.trials.latency import Timing
from archsieve.search.trials.report import TrialReport
from archsieve.search.trials.trainable import Conditions, NetworkTrial
from archsieve.spaces.constrained.sampling import sample_one

from ..conftest import small

FOUND = small(recipe={"epochs": 4})
TOLD = {
    "trial": 1,
    "number": 0,
    "architecture": sample_one(FOUND.sieve, random.Random(0)).to_json(),
    "recipe": draw_recipe(FOUND.recipes, random.Random(0)).to_json(),
    "seed": 7,
}


@pytest.fixture
def checkpoint_dir(tmp_path):
    return Checkpoints(str(tmp_path)).of_trial(1)


@pytest.fixture
def begin(tmp_path):
    """A worker that begins with the trial, on data that were split by ``seed``."""
    torch.set_num_threads(1)
    conditions = Conditions(
        cpus=1, gpus=0, precision="fp32", checkpoints=Checkpoints(str(tmp_path)), timing=Timing.of(FOUND.file)
    )

    def make(seed=0, data=None):
        found = small(recipe={"epochs": 4}, data={"seed": seed})
        trial = NetworkTrial.__new__(NetworkTrial)  # Tune's own __init__ belongs to an actor
        trial.setup({"trial": json.dumps(TOLD)}, data=data or found.task.load(found.file)[0], conditions=conditions)
        return trial

    return make


def step(trial):
    return TrialReport.from_tune(trial.step())


def trained(begin, epochs):
    trial = begin()
    return [step(trial) for _ in range(epochs)]


def losses(report):
    return [epoch.values["train_loss"] for epoch in report.epochs]


def test_a_trial_goes_on_from_its_newest_checkpoint(begin):
    whole = trained(begin, 3)
    again = step(begin())
    assert (again.start.epoch, again.epoch, again.problems) == (3, 4, ())
    assert losses(again)[:3] == [loss for report in whole for loss in losses(report)]


def test_a_checkpoint_that_does_not_fit_is_told_and_nothing_of_it_is_kept(begin, checkpoint_dir):
    """Its weights were taken up, its history was not, and what broke was not said."""
    first = trained(begin, 3)[0]
    state = load(checkpoint_dir, identity_of(TOLD)).state
    for epoch in state["history"]:
        epoch["of_a_newer_version"] = 1.0
    for epoch in checkpoint_dir.epochs():
        save(checkpoint_dir, identity_of(TOLD), epoch, state)
    report = step(begin())
    assert (report.start.epoch, report.epoch, losses(report)) == (0, 1, losses(first))
    assert "does not fit: TypeError" in report.problems[0]


def test_a_checkpoint_of_other_data_is_told(begin):
    trained(begin, 3)
    report = step(begin(seed=1))
    assert (report.start.epoch, report.epoch) == (0, 1)
    assert "does not fit: ValueError" in report.problems[0]


def test_checkpoints_that_cannot_be_listed_fail_the_trial_and_stay(begin, checkpoint_dir, monkeypatch):
    trained(begin, 3)
    kept = checkpoint_dir.epochs()

    def stale(_):
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr("archsieve.search.trials.checkpoint_files.CheckpointDir.names", stale)
        report = step(begin())
    assert (report.failure.kind, report.done) == (FailKind.DATA, True)
    assert "Stale file handle" in report.failure.reason
    assert checkpoint_dir.epochs() == kept


def test_what_breaks_while_a_worker_settles_in_is_the_trials_failure_and_the_next_one_tries_again(begin):
    trial = begin(data="no pictures")
    assert step(trial).failure.kind is FailKind.BUG
    good = small(recipe={"epochs": 4})
    trial.data = good.task.load(good.file)[0]
    assert trial.reset_config({"trial": json.dumps(TOLD)})
    assert step(trial).epoch == 1
