"""The proposal of ``init --minutes``: its arithmetic, and the threads of its timing."""

import pytest
import torch

from archsieve.search.experiment.timed_budget import EPOCHS, SAFETY, StepTime, propose, time_steps

STEP = StepTime(per_image=1e-4, per_mac=1e-10)
N_IMAGES = 1000


@pytest.mark.parametrize(("concurrent", "used"), [(1, 1), (8, 8), (24, 24), (96, 24)])
def test_the_expected_time_is_that_of_the_trials_at_a_time(concurrent: int, used: int) -> None:
    found = propose(N_IMAGES, STEP, minutes=2, sides=(16, 32), largest_macs=10**15, concurrent=concurrent)
    of_trial = STEP.seconds(found.macs, EPOCHS * N_IMAGES)
    assert found.seconds == pytest.approx(of_trial * found.trials / used)
    assert found.seconds == pytest.approx(60 * 2 * SAFETY, rel=1e-3)


def test_fewer_trials_than_cores_are_not_divided_among_all_cores() -> None:
    slow = StepTime(per_image=0.1, per_mac=1e-10)  # a trial takes 20 minutes
    found = propose(N_IMAGES, slow, minutes=1, sides=(16,), largest_macs=10**9, concurrent=16)
    assert found.trials == 8
    assert found.seconds == pytest.approx(slow.seconds(found.macs, EPOCHS * N_IMAGES))


def test_timing_leaves_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    step = time_steps(2)
    assert torch.get_num_threads() == before
    assert step.per_mac > 0
