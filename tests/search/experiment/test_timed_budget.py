"""The proposal of ``init --minutes``: its arithmetic, and the threads of its timing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from archsieve.models.readers.read_index import read_index
from archsieve.search.experiment import timed_budget
from archsieve.search.experiment.template import _images_an_epoch
from archsieve.search.experiment.timed_budget import EPOCHS, SAFETY, StepTime, propose, time_steps

STEP = StepTime(per_image=1e-4, per_mac=1e-10)
N_IMAGES = 1000


@pytest.mark.parametrize(("concurrent", "used"), [(1, 1), (8, 8), (24, 24), (96, 24)])
def test_the_expected_time_is_that_of_the_trials_at_a_time(concurrent: int, used: int) -> None:
    found = propose(N_IMAGES, STEP, minutes=2, sides=(16, 32), largest_macs=10**15, concurrent=concurrent)
    of_trial = STEP.at(found.image_size).seconds(found.macs, EPOCHS * N_IMAGES)
    assert found.seconds == pytest.approx(of_trial * found.trials / used)
    assert found.seconds == pytest.approx(60 * 2 * SAFETY, rel=1e-3)


def test_fewer_trials_than_cores_are_not_divided_among_all_cores() -> None:
    slow = StepTime(per_image=0.1, per_mac=1e-10)  # a trial takes 20 minutes
    found = propose(N_IMAGES, slow, minutes=1, sides=(16,), largest_macs=10**9, concurrent=16)
    assert found.trials == 8
    assert found.seconds == pytest.approx(slow.at(16).seconds(found.macs, EPOCHS * N_IMAGES))


def test_images_an_epoch_are_those_that_are_left_to_train(tmp_path: Path) -> None:
    images, labels = np.zeros((100, 4, 4), np.uint8), np.arange(100) % 2
    np.savez(tmp_path / "one.npz", images=images, labels=labels)
    assert _images_an_epoch(read_index(tmp_path / "one.npz")) == pytest.approx(60 + 20 / 3)
    three = {
        f"{part}_{name}": array for part in ("train", "val") for name, array in (("images", images), ("labels", labels))
    }
    np.savez(tmp_path / "three.npz", **three)
    assert _images_an_epoch(read_index(tmp_path / "three.npz")) == pytest.approx(100 + 100 / 3)


def test_timing_leaves_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_budget, "TIMED_IMAGES", 64)
    before = torch.get_num_threads()
    step = time_steps(2)
    assert torch.get_num_threads() == before
    assert step.per_mac > 0
