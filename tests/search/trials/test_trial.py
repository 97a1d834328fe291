"""A trial inside its worker, step by step and without Ray: how it resumes, and how it reports errors."""

import json
import random
from dataclasses import dataclass, replace

import pytest
import torch

import archsieve as av
from archsieve.results.database.records import FailKind
from archsieve.search.config.train_section import TrainSection
from archsieve.search.plugins.references import reference_to
from archsieve.search.searchers.recipe_sampling import draw_recipe
from archsieve.search.trials.checkpoint_files import Checkpoints, identity_of, load, save
from archsieve.search.trials.conditions import Conditions
from archsieve.search.trials.latency import Timing
from archsieve.search.trials.report import TrialReport
from archsieve.search.trials.trainable import COUNTS, NetworkTrial
from archsieve.spaces.constrained.sampling import sample_one

from ..conftest import small

EXPERIMENT = small(recipe={"epochs": 4})
ARCHITECTURE = sample_one(EXPERIMENT.constrained, random.Random(0))
TRIAL = {
    "trial": 1,
    "number": 0,
    "architecture": ARCHITECTURE.to_json(),
    **{name: getattr(ARCHITECTURE.cost, name) for name in COUNTS},
    "recipe": draw_recipe(EXPERIMENT.recipes, random.Random(0)).to_json(),
    "seed": 7,
}


@pytest.fixture
def checkpoint_dir(tmp_path):
    return Checkpoints(str(tmp_path)).of_trial(1)


@pytest.fixture
def start_worker(tmp_path):
    """Return a function that starts a worker with the trial, on data split by ``seed``."""
    torch.set_num_threads(1)
    conditions = Conditions(
        cpus=1, gpus=0, precision="fp32", checkpoints=Checkpoints(str(tmp_path)), timing=Timing.of(EXPERIMENT.file)
    )

    def make(seed=0, data=None, **settings):
        experiment = small(recipe={"epochs": 4}, data={"seed": seed})
        trial = NetworkTrial.__new__(NetworkTrial)  # without __init__, which works only inside an actor of Ray
        trial.setup(
            {"trial": json.dumps(TRIAL)},
            data=data or experiment.task.load(experiment.file)[0],
            conditions=replace(conditions, **settings),
        )
        return trial

    return make


def step(trial):
    return TrialReport.from_tune(trial.step())


def trained(start_worker, epochs):
    trial = start_worker()
    return [step(trial) for _ in range(epochs)]


def losses(report):
    return [epoch.values["train_loss"] for epoch in report.epochs]


def test_a_trial_resumes_from_its_newest_checkpoint(start_worker):
    reports = trained(start_worker, 3)
    resumed = step(start_worker())
    assert (resumed.start.epoch, resumed.epoch, resumed.problems) == (3, 4, ())
    assert losses(resumed)[:3] == [loss for report in reports for loss in losses(report)]


@pytest.mark.parametrize("stops_early", [False, True])
def test_every_report_that_may_be_the_last_has_predictions(start_worker, stops_early):
    trial = start_worker(keep_predictions=True, stops_early=stops_early)
    reports = [step(trial) for _ in range(4)]
    assert [report.predictions is not None for report in reports] == [*[stops_early] * 3, True]
    resumed = start_worker(keep_predictions=True, stops_early=stops_early)
    assert step(resumed).predictions == reports[-1].predictions


def two_epochs(job):
    for epoch in (1, 2):
        job.report(epoch, accuracy=0.5)


def test_a_function_that_returns_early_ends_its_trial_with_a_test(start_worker):
    trial = start_worker(train=TrainSection(function=reference_to(two_epochs, "train")))
    reports = [step(trial) for _ in range(3)]
    assert [(report.epoch, report.done, report.failure) for report in reports] == [
        (1, False, None),
        (2, False, None),
        (0, True, None),
    ]
    assert reports[2].final_metrics.test_accuracy is not None


def test_a_checkpoint_that_cannot_be_loaded_is_reported_and_not_used(start_worker, checkpoint_dir):
    """Regression: its weights were loaded but its history was not, and the error was not reported."""
    first = trained(start_worker, 3)[0]
    state = load(checkpoint_dir, identity_of(TRIAL)).state
    for epoch in state["history"]:
        epoch["of_a_newer_version"] = 1.0
    for epoch in checkpoint_dir.epochs():
        save(checkpoint_dir, identity_of(TRIAL), epoch, state)
    report = step(start_worker())
    assert (report.start.epoch, report.epoch, losses(report)) == (0, 1, losses(first))
    assert "TypeError" in report.problems[0]


def test_a_checkpoint_of_other_data_is_reported(start_worker):
    trained(start_worker, 3)
    report = step(start_worker(seed=1))
    assert (report.start.epoch, report.epoch) == (0, 1)
    assert "ValueError" in report.problems[0]


def test_checkpoints_that_cannot_be_listed_fail_the_trial_and_stay(start_worker, checkpoint_dir, monkeypatch):
    trained(start_worker, 3)
    epochs = checkpoint_dir.epochs()

    def stale(_):
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr("archsieve.search.trials.checkpoint_files.CheckpointDir.names", stale)
        report = step(start_worker())
    assert (report.failure.kind, report.done) == (FailKind.DATA, True)
    assert "Stale file handle" in report.failure.reason
    assert checkpoint_dir.epochs() == epochs


def test_an_error_while_a_worker_starts_fails_the_trial_and_the_next_one_tries_again(start_worker):
    trial = start_worker(data="no images")
    assert step(trial).failure.kind is FailKind.BUG
    trial.data = EXPERIMENT.task.load(EXPERIMENT.file)[0]
    assert trial.reset_config({"trial": json.dumps(TRIAL)})
    assert step(trial).epoch == 1


@pytest.mark.parametrize("cost", COUNTS)
def test_a_custom_block_with_another_cost_than_in_the_driver_is_not_trained(start_worker, monkeypatch, cost):
    @av.register_block(f"test-same-{cost}")
    @dataclass(frozen=True)
    class Same(av.Block):
        def expand(self, shape):
            return (av.Conv(4),)

    network = av.Architecture((1, 8, 8), (Same(), av.GlobalAverage()), 10)
    monkeypatch.setitem(TRIAL, "architecture", network.to_json())
    for name in COUNTS:
        monkeypatch.setitem(TRIAL, name, getattr(network.cost, name))
    assert step(start_worker()).failure is None
    monkeypatch.setitem(TRIAL, cost, 7)
    failure = step(start_worker()).failure
    assert failure.kind is FailKind.USER_ERROR
    assert "test-same" in failure.reason
    assert f"{cost} 7 " in failure.reason
    assert f"{getattr(network.cost, cost):,}" in failure.reason
