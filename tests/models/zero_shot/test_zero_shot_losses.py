"""Losses against sums computed by hand."""

import math

import pytest
import torch

from archsieve.models.zero_shot.losses import LOSSES

SCORES = torch.tensor([[2.0, -1.0], [0.5, 0.25]])
TARGETS = torch.tensor([0, 1])


def minus_log_sigmoid(value: float) -> float:
    return math.log1p(math.exp(-value))


EXPECTED = {
    "bce": minus_log_sigmoid(2) + minus_log_sigmoid(1) + minus_log_sigmoid(-0.5) + minus_log_sigmoid(0.25),
    "hinge": 0 + 0 + 1.5 + 0.75,
    "softmax": math.log(1 + math.exp(-3)) + math.log(1 + math.exp(0.25)),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_losses_equal_sums_by_hand(name):
    assert float(LOSSES[name](SCORES, TARGETS)) == pytest.approx(EXPECTED[name], rel=1e-5)


def test_euclidean_is_contrastive():
    embedded, classes = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.6, 0.0], [0.0, 0.5], [3.0, 0.0]])
    scores = -torch.cdist(embedded, classes).square() / 2
    # own class 0: 0.36; class 1 is inside the margin: (1 - 0.5)^2; class 2 is outside: 0
    assert float(LOSSES["euclidean"](scores, torch.tensor([0]))) == pytest.approx(0.36 + 0.25, rel=1e-5)


def test_every_loss_has_a_finite_gradient_at_distance_zero():
    for name, loss in LOSSES.items():
        scores = torch.zeros(2, 2, requires_grad=True)
        loss(scores, TARGETS).backward()
        assert scores.grad.isfinite().all(), name
