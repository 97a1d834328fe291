"""Metrics against other ways to compute them."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from archsieve.models.zero_shot.metrics import (
    class_accuracy,
    harmonic,
    pr_aucs,
    roc_aucs,
    seen_unseen_curve,
    zero_shot_scores,
)


def drawn(seed: int, n: int = 60, k: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(k), torch.randint(k, (n - k,), generator=rng)])
    # few distinct values: ties
    return torch.randint(6, (n, k), generator=rng).float() + 2 * torch.nn.functional.one_hot(labels, k), labels


def swept(scores, labels, seen, unseen, gamma):
    """Seen and unseen accuracy at one gamma, by the definition."""
    lowered = scores.clone()
    lowered[:, seen] -= gamma
    every = torch.cat([seen, unseen])
    of_unseen = torch.isin(labels, unseen)
    return tuple(class_accuracy(lowered[rows], labels[rows], every) for rows in (of_unseen, ~of_unseen))


@pytest.mark.parametrize("seed", range(5))
def test_ausuc_equals_a_sweep_of_every_gamma(seed):
    scores, labels = drawn(seed)
    seen, unseen = torch.arange(4), torch.arange(4, 7)
    curve = seen_unseen_curve(scores, labels, seen, unseen)
    gammas = np.arange(-12, 12.01, 0.5) + 0.25  # between the whole gaps
    points = [swept(scores, labels, seen, unseen, gamma) for gamma in gammas]
    u, s = (np.array(side) for side in zip(*points, strict=True))
    assert curve.ausuc == pytest.approx(np.trapezoid(s, u))
    best = max(harmonic(*point) for point in points)
    gamma, h = curve.best
    assert h == pytest.approx(best)
    assert harmonic(*swept(scores, labels, seen, unseen, gamma)) == pytest.approx(best)


def test_the_curve_reaches_both_axes():
    scores, labels = drawn(0)
    curve = seen_unseen_curve(scores, labels, torch.arange(4), torch.arange(4, 7))
    assert curve.u[0] == 0
    assert curve.s[-1] == pytest.approx(0)


def test_roc_areas_are_those_of_scikit_learn_ties_included():
    scores, labels = drawn(1)
    found = roc_aucs(scores, labels, torch.arange(7))
    assert found == pytest.approx([roc_auc_score(labels == k, scores[:, k]) for k in range(7)])


def test_average_precision_by_hand():
    scores, labels = torch.tensor([[0.9], [0.8], [0.7], [0.1]]), torch.tensor([0, 1, 0, 1])
    assert pr_aucs(scores, labels, torch.tensor([0])) == pytest.approx([(1 / 1 + 2 / 3) / 2])


def test_accuracy_weighs_classes_not_pictures():
    scores = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    assert class_accuracy(scores, torch.tensor([0, 0, 0, 1]), torch.arange(2)) == 0.5


def test_the_negatives_and_the_weights_are_as_named():
    scores, labels = drawn(3, n=90)
    seen, unseen = torch.arange(5), torch.arange(5, 7)
    of_unseen = torch.isin(labels, unseen)
    found = zero_shot_scores(
        (scores[~of_unseen], scores[of_unseen]), (labels[~of_unseen], labels[of_unseen]), seen, unseen, gamma=1.5
    )
    assert found.roc_unseen == pytest.approx(
        np.mean([roc_auc_score(labels[of_unseen] == k, scores[of_unseen, k]) for k in (5, 6)])
    )
    assert found.roc_unseen_all == pytest.approx(np.mean([roc_auc_score(labels == k, scores[:, k]) for k in (5, 6)]))
    assert found.roc_mean == pytest.approx((2 * found.roc_unseen + 5 * found.roc_seen) / 7)
    assert found.h == pytest.approx(2 * found.u * found.s / (found.u + found.s))
    u, s = swept(scores, labels, seen, unseen, 1.5)
    assert (found.u_calibrated, found.s_calibrated) == pytest.approx((u, s))


def test_average_precision_is_scikit_learns_ties_included():
    from sklearn.metrics import average_precision_score

    rng = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 12, (300, 4), generator=rng).float()
    labels = torch.randint(0, 4, (300,), generator=rng)
    expected = [average_precision_score((labels == k).numpy(), scores[:, k].numpy()) for k in range(4)]
    assert pr_aucs(scores, labels, torch.arange(4)) == pytest.approx(expected)
