"""Metrics of zero-shot recognition against independent computations."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from archsieve.models.zero_shot.metrics import (
    class_accuracy,
    class_rows,
    harmonic,
    pr_aucs,
    roc_aucs,
    seen_unseen_curve,
    zero_shot_scores,
)


def random_scores(seed: int, n: int = 60, k: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(k), torch.randint(k, (n - k,), generator=rng)])
    # few distinct values, so that there are ties
    return torch.randint(6, (n, k), generator=rng).float() + 2 * torch.nn.functional.one_hot(labels, k), labels


def accuracies_at(scores, labels, seen, unseen, gamma):
    """Unseen and seen accuracy at one gamma, by the definition."""
    shifted = scores.clone()
    shifted[:, seen] -= gamma
    all_classes = torch.cat([seen, unseen])
    of_unseen = torch.isin(labels, unseen)
    return tuple(class_accuracy(shifted[rows], labels[rows], all_classes) for rows in (of_unseen, ~of_unseen))


@pytest.mark.parametrize("seed", range(5))
def test_ausuc_equals_a_sweep_over_gamma(seed):
    scores, labels = random_scores(seed)
    seen, unseen = torch.arange(4), torch.arange(4, 7)
    curve = seen_unseen_curve(scores, labels, seen, unseen)
    gammas = np.arange(-12, 12.01, 0.5) + 0.25  # between the gaps, which are integers
    points = [accuracies_at(scores, labels, seen, unseen, gamma) for gamma in gammas]
    u, s = (np.array(side) for side in zip(*points, strict=True))
    assert curve.ausuc == pytest.approx(np.trapezoid(s, u))
    best = max(harmonic(*point) for point in points)
    gamma, h = curve.best
    assert h == pytest.approx(best)
    assert harmonic(*accuracies_at(scores, labels, seen, unseen, gamma)) == pytest.approx(best)


def test_curve_reaches_both_axes():
    scores, labels = random_scores(0)
    curve = seen_unseen_curve(scores, labels, torch.arange(4), torch.arange(4, 7))
    assert curve.u[0] == 0
    assert curve.s[-1] == pytest.approx(0)


def test_roc_areas_equal_scikit_learn_with_ties():
    scores, labels = random_scores(1)
    metrics = roc_aucs(scores, labels, torch.arange(7))
    assert metrics == pytest.approx([roc_auc_score(labels == k, scores[:, k]) for k in range(7)])


def test_average_precision_by_hand():
    scores, labels = torch.tensor([[0.9], [0.8], [0.7], [0.1]]), torch.tensor([0, 1, 0, 1])
    assert pr_aucs(scores, labels, torch.tensor([0])) == pytest.approx([(1 / 1 + 2 / 3) / 2])


def test_accuracy_weighs_classes_not_pictures():
    scores = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    assert class_accuracy(scores, torch.tensor([0, 0, 0, 1]), torch.arange(2)) == 0.5


def test_negatives_and_weights_are_as_documented():
    scores, labels = random_scores(3, n=90)
    seen, unseen = torch.arange(5), torch.arange(5, 7)
    of_unseen = torch.isin(labels, unseen)
    metrics = zero_shot_scores(
        (scores[~of_unseen], scores[of_unseen]), (labels[~of_unseen], labels[of_unseen]), seen, unseen, gamma=1.5
    )
    assert metrics.roc_unseen == pytest.approx(
        np.mean([roc_auc_score(labels[of_unseen] == k, scores[of_unseen, k]) for k in (5, 6)])
    )
    assert metrics.roc_unseen_all == pytest.approx(np.mean([roc_auc_score(labels == k, scores[:, k]) for k in (5, 6)]))
    assert metrics.roc_mean == pytest.approx((2 * metrics.roc_unseen + 5 * metrics.roc_seen) / 7)
    assert metrics.h == pytest.approx(2 * metrics.u * metrics.s / (metrics.u + metrics.s))
    u, s = accuracies_at(scores, labels, seen, unseen, 1.5)
    assert (metrics.u_calibrated, metrics.s_calibrated) == pytest.approx((u, s))


def test_average_precision_equals_scikit_learn_with_ties():
    from sklearn.metrics import average_precision_score

    rng = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 12, (300, 4), generator=rng).float()
    labels = torch.randint(0, 4, (300,), generator=rng)
    expected = [average_precision_score((labels == k).numpy(), scores[:, k].numpy()) for k in range(4)]
    assert pr_aucs(scores, labels, torch.arange(4)) == pytest.approx(expected)


def test_rows_of_classes_name_the_main_confusion():
    labels = torch.tensor([1, 1, 1, 1, 3, 3])
    scores = torch.zeros(6, 4)
    predicted = torch.tensor([1, 3, 3, 1, 3, 3])
    scores[torch.arange(6), predicted] = 1.0
    scores[:, 0] = 5.0  # a seen class, which is no candidate
    best, other = class_rows(scores, labels, torch.tensor([1, 3]), ["a", "b", "c", "d"])
    assert (other["class"], other["images"], other["top1"]) == ("d", 2, 1.0)
    assert (other["confused_with"], other["confused_share"]) == (None, 0.0)
    assert (best["class"], best["top1"], best["confused_with"], best["confused_share"]) == ("b", 0.5, "d", 0.5)
    assert best["pr_auc"] == pytest.approx(0.5 + 0.5 * 4 / 6)
    assert other["pr_auc"] == pytest.approx(2 / 4)
    assert best["roc_auc"] == pytest.approx(0.75)
