"""Metrics of zero-shot recognition; each names its negatives and its label set.

Shapes: scores (N, K) of N pictures and K classes; labels (N,). Accuracies are means over classes (Xian et al. 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def class_accuracy(scores: Tensor, labels: Tensor, among: Tensor) -> float:
    """Per-class top-1: the share of right pictures of each class, the mean over classes; the labels are ``among``."""
    predicted = among[scores[:, among].argmax(1)]
    return per_class_mean(predicted == labels, labels)


def per_class_mean(hits: Tensor, labels: Tensor) -> float:
    """The mean over classes of the mean of ``hits`` (N,) over a class's pictures."""
    _, place, counts = np.unique(labels.numpy(), return_inverse=True, return_counts=True)
    return float((np.bincount(place, hits.double().numpy()) / counts).mean())


def roc_aucs(scores: Tensor, labels: Tensor, classes: Tensor) -> np.ndarray:
    """Area under the ROC curve of each class's score column over all pictures given; ties count half."""
    return np.array([_roc_auc(column, own) for column, own in _columns(scores, labels, classes)])


def pr_aucs(scores: Tensor, labels: Tensor, classes: Tensor) -> np.ndarray:
    """Average precision of each class's score column over all pictures given: the step-wise area, ties together."""
    return np.array([_average_precision(column, own) for column, own in _columns(scores, labels, classes)])


def harmonic(u: float, s: float) -> float:
    """H = 2us / (u + s); 0 where both are."""
    return 2 * u * s / (u + s) if u + s > 0 else 0.0


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """u and s at every calibration: ``gaps`` (M,) ascending, ``u`` and ``s`` (M + 1,) just below, between, above them.

    A picture is given an unseen class where its gap, the best seen score less the best unseen one, is below gamma
    (calibrated stacking, Chao et al. 2016, arXiv 1605.04253).
    """

    gaps: np.ndarray
    u: np.ndarray
    s: np.ndarray

    @property
    def ausuc(self) -> float:
        """The exact area under s over u: no grid, all calibrations from minus to plus infinity."""
        return float(np.trapezoid(self.s, self.u))

    @property
    def best(self) -> tuple[float, float]:
        """The gamma of highest H, in the middle between two gaps, and that H."""
        total = self.u + self.s
        h = np.divide(2 * self.u * self.s, total, out=np.zeros_like(total), where=total > 0)
        place = int(h.argmax())
        edges = np.concatenate([[self.gaps[0] - 1], self.gaps, [self.gaps[-1] + 1]])
        return float((edges[place] + edges[place + 1]) / 2), float(h[place])


def seen_unseen_curve(scores: Tensor, labels: Tensor, seen: Tensor, unseen: Tensor) -> SeenUnseenCurve:
    """The curve over ``scores`` of pictures of seen and unseen classes, per-class accuracies."""
    best_seen, of_seen = scores[:, seen].max(1)
    best_unseen, of_unseen = scores[:, unseen].max(1)
    gap = (best_seen - best_unseen).double().numpy()
    weight, is_unseen = _weights(labels, unseen)
    right_seen = weight * (seen[of_seen] == labels).double().numpy()
    right_unseen = weight * (unseen[of_unseen] == labels).double().numpy()
    gaps, place = np.unique(gap, return_inverse=True)
    gained = np.bincount(place, right_unseen * is_unseen, len(gaps))
    lost = np.bincount(place, right_seen * ~is_unseen, len(gaps))
    u = np.concatenate([[0.0], np.cumsum(gained)])
    s = np.concatenate([[lost.sum()], lost.sum() - np.cumsum(lost)])
    return SeenUnseenCurve(gaps, u, s)


@dataclass(frozen=True)
class ZeroShotScores:
    """How well pictures are recognised.

    ``roc_*`` and ``pr_*``: the negatives of an unseen class are the test pictures of the other unseen classes, of a
    seen class those of the other seen ones; ``*_mean`` weighs the two by their numbers of classes. ``roc_unseen_all``
    and ``pr_unseen_all`` take the seen classes' test pictures as negatives too. ``top1_unseen``: the labels are the
    unseen classes. ``u``, ``s``, ``h``: the labels are all classes; ``gamma`` was chosen beforehand and is subtracted
    from the scores of seen classes for ``h_calibrated`` (and its ``u_calibrated``, ``s_calibrated``). ``ausuc`` needs
    no gamma.
    """

    roc_unseen: float
    roc_seen: float
    roc_mean: float
    roc_unseen_all: float
    pr_unseen: float
    pr_seen: float
    pr_mean: float
    pr_unseen_all: float
    top1_unseen: float
    u: float
    s: float
    h: float
    gamma: float
    u_calibrated: float
    s_calibrated: float
    h_calibrated: float
    ausuc: float


def zero_shot_scores(
    scores: tuple[Tensor, Tensor],
    labels: tuple[Tensor, Tensor],
    seen: Tensor,
    unseen: Tensor,
    *,
    gamma: float = 0.0,
) -> ZeroShotScores:
    """All metrics of ``scores``, those of test pictures of seen classes (N, K) first, then those of unseen ones."""
    seen_scores, unseen_scores = scores
    seen_labels, unseen_labels = labels
    both, all_labels = torch.cat(scores), torch.cat(labels)
    every = torch.cat([seen, unseen])
    tested = [k for k in seen.tolist() if bool((seen_labels == k).any())]
    there = torch.tensor(tested)
    shares = (len(unseen), len(seen))
    roc = roc_aucs(unseen_scores, unseen_labels, unseen).mean(), roc_aucs(seen_scores, seen_labels, there).mean()
    pr = pr_aucs(unseen_scores, unseen_labels, unseen).mean(), pr_aucs(seen_scores, seen_labels, there).mean()
    u, s = class_accuracy(unseen_scores, unseen_labels, every), class_accuracy(seen_scores, seen_labels, every)
    lowered = tuple(_lowered(part, seen, gamma) for part in scores)
    u_c, s_c = class_accuracy(lowered[1], unseen_labels, every), class_accuracy(lowered[0], seen_labels, every)
    return ZeroShotScores(
        roc_unseen=float(roc[0]),
        roc_seen=float(roc[1]),
        roc_mean=float(np.average(roc, weights=shares)),
        roc_unseen_all=float(roc_aucs(both, all_labels, unseen).mean()),
        pr_unseen=float(pr[0]),
        pr_seen=float(pr[1]),
        pr_mean=float(np.average(pr, weights=shares)),
        pr_unseen_all=float(pr_aucs(both, all_labels, unseen).mean()),
        top1_unseen=class_accuracy(unseen_scores, unseen_labels, unseen),
        u=u,
        s=s,
        h=harmonic(u, s),
        gamma=gamma,
        u_calibrated=u_c,
        s_calibrated=s_c,
        h_calibrated=harmonic(u_c, s_c),
        ausuc=seen_unseen_curve(both, all_labels, seen, unseen).ausuc,
    )


def _columns(scores: Tensor, labels: Tensor, classes: Tensor) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    return [(scores[:, k].double().numpy(), (labels == k).numpy()) for k in classes.tolist()]


def _roc_auc(column: np.ndarray, own: np.ndarray) -> float:
    """By ranks (Mann and Whitney): scikit-learn's own builds the curve, which takes ten times as long."""
    from scipy.stats import rankdata

    n, m = int(own.sum()), int((~own).sum())
    if not n or not m:
        return 0.5
    return float((rankdata(column)[own].sum() - n * (n + 1) / 2) / (n * m))


def _average_precision(column: np.ndarray, own: np.ndarray) -> float:
    """The mean over the class's pictures of the precision among all that score as much: scikit-learn's, ten times as
    quick.
    """
    if not own.any():
        return 0.0
    ordered, places = np.sort(column), np.sort(column[own])
    above = len(column) - np.searchsorted(ordered, places, side="left")
    own_above = len(places) - np.searchsorted(places, places, side="left")
    return float((own_above / above).mean())


def _lowered(scores: Tensor, seen: Tensor, gamma: float) -> Tensor:
    lowered = scores.clone()
    lowered[:, seen] -= gamma
    return lowered


def _weights(labels: Tensor, unseen: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What a picture adds to u or s when it is right, and whether its class is unseen."""
    known = labels.numpy()
    is_unseen = np.isin(known, unseen.numpy())
    counts = np.bincount(known)
    classes = np.where(is_unseen, len(np.unique(known[is_unseen])), len(np.unique(known[~is_unseen])))
    return 1.0 / (counts[known] * classes), is_unseen
