"""Metrics of zero-shot recognition; the documentation of each states its negatives and its label set.

Shapes: scores (N, K) of N images and K classes; labels (N,). Accuracies are means over classes (Xian et al. 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def class_accuracy(scores: Tensor, labels: Tensor, among: Tensor) -> float:
    """Return the top-1 accuracy as a mean over classes; predictions are restricted to the classes ``among``."""
    predicted = among[scores[:, among].argmax(1)]
    return per_class_mean(predicted == labels, labels)


def per_class_mean(hits: Tensor, labels: Tensor) -> float:
    """Return the mean over classes of the mean of ``hits`` (N,) over the images of a class."""
    _, index, counts = np.unique(labels.numpy(), return_inverse=True, return_counts=True)
    return float((np.bincount(index, hits.double().numpy()) / counts).mean())


def roc_aucs(scores: Tensor, labels: Tensor, classes: Tensor) -> np.ndarray:
    """Return the area under the ROC curve of each class's score column over all given images; ties count half."""
    return np.array([_roc_auc(column, is_own) for column, is_own in _columns(scores, labels, classes)])


def pr_aucs(scores: Tensor, labels: Tensor, classes: Tensor) -> np.ndarray:
    """Return the average precision of each class's score column over all given images.

    It is the step-wise area under the precision-recall curve; tied scores are one step.
    """
    return np.array([_average_precision(column, is_own) for column, is_own in _columns(scores, labels, classes)])


def harmonic(u: float, s: float) -> float:
    """Return the harmonic mean H = 2us / (u + s); 0 if both are 0."""
    return 2 * u * s / (u + s) if u + s > 0 else 0.0


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """Accuracy of unseen (u) and seen (s) classes at every calibration gamma.

    An image is assigned an unseen class if its gap, the best seen score minus the best unseen score, is below gamma
    (calibrated stacking, Chao et al. 2016, arXiv 1605.04253). ``gaps`` (M,) are the distinct gaps in ascending order.
    ``u`` and ``s`` (M + 1,) are the accuracies for gamma below the first gap, between two gaps, and above the last.
    """

    gaps: np.ndarray
    u: np.ndarray
    s: np.ndarray

    @property
    def ausuc(self) -> float:
        """The exact area under s over u for all calibrations from minus to plus infinity, without a grid."""
        return float(np.trapezoid(self.s, self.u))

    @property
    def best(self) -> tuple[float, float]:
        """The gamma with the highest H, and this H; gamma is the middle between two gaps."""
        total = self.u + self.s
        h = np.divide(2 * self.u * self.s, total, out=np.zeros_like(total), where=total > 0)
        index = int(h.argmax())
        # any gamma between two gaps gives the same accuracies; outside, 1 beyond the last gap is enough
        edges = np.concatenate([[self.gaps[0] - 1], self.gaps, [self.gaps[-1] + 1]])
        return float((edges[index] + edges[index + 1]) / 2), float(h[index])


def seen_unseen_curve(scores: Tensor, labels: Tensor, seen: Tensor, unseen: Tensor) -> SeenUnseenCurve:
    """Return the curve for ``scores`` (N, K) of images of seen and unseen classes."""
    best_seen, of_seen = scores[:, seen].max(1)
    best_unseen, of_unseen = scores[:, unseen].max(1)
    gap = (best_seen - best_unseen).double().numpy()
    weight, is_unseen = _weights(labels, unseen)
    right_seen = weight * (seen[of_seen] == labels).double().numpy()
    right_unseen = weight * (unseen[of_unseen] == labels).double().numpy()
    gaps, index = np.unique(gap, return_inverse=True)
    # gamma rises above the gaps one by one: the images of a gap change from a seen to an unseen prediction
    gained = np.bincount(index, right_unseen * is_unseen, len(gaps))
    lost = np.bincount(index, right_seen * ~is_unseen, len(gaps))
    u = np.concatenate([[0.0], np.cumsum(gained)])
    s = np.concatenate([[lost.sum()], lost.sum() - np.cumsum(lost)])
    return SeenUnseenCurve(gaps, u, s)


@dataclass(frozen=True)
class ZeroShotScores:
    """All metrics of a zero-shot model on the test images.

    ``roc_*`` and ``pr_*``: the negatives of an unseen class are the test images of the other unseen classes, those of a
    seen class are the test images of the other seen classes. ``*_mean`` weights both by their numbers of classes.
    ``roc_unseen_all`` and ``pr_unseen_all`` also use the test images of seen classes as negatives. ``top1_unseen``: the
    labels are the unseen classes. ``u``, ``s``, ``h``: the labels are all classes. ``gamma`` is chosen before the test;
    it is subtracted from the scores of seen classes for ``h_calibrated``, ``u_calibrated`` and ``s_calibrated``.
    ``ausuc`` does not depend on gamma.
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
    """Return all metrics of ``scores``: scores (N, K) of test images of seen classes first, then of unseen classes.

    ``labels`` has the same order; ``seen`` and ``unseen`` are class indices.
    """
    seen_scores, unseen_scores = scores
    seen_labels, unseen_labels = labels
    both, all_labels = torch.cat(scores), torch.cat(labels)
    all_classes = torch.cat([seen, unseen])
    # a seen class without test images has no ROC curve
    seen_with_images = [k for k in seen.tolist() if bool((seen_labels == k).any())]
    tested_seen = torch.tensor(seen_with_images)
    shares = (len(unseen), len(seen))
    roc = roc_aucs(unseen_scores, unseen_labels, unseen).mean(), roc_aucs(seen_scores, seen_labels, tested_seen).mean()
    pr = pr_aucs(unseen_scores, unseen_labels, unseen).mean(), pr_aucs(seen_scores, seen_labels, tested_seen).mean()
    u = class_accuracy(unseen_scores, unseen_labels, all_classes)
    s = class_accuracy(seen_scores, seen_labels, all_classes)
    shifted = tuple(_subtract_gamma(part, seen, gamma) for part in scores)
    u_c = class_accuracy(shifted[1], unseen_labels, all_classes)
    s_c = class_accuracy(shifted[0], seen_labels, all_classes)
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


def class_rows(scores: Tensor, labels: Tensor, unseen: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each unseen class, from the highest PR-AUC to the lowest: its metrics and its main confusion.

    ``scores`` (N, C) are calibrated scores of test images of unseen classes, among all C classes with ``names``. A
    prediction may be any unseen class; negatives are the images of the other unseen classes. ``confused_with`` is the
    wrong class that is predicted most often, for the fraction ``confused_share`` of the images; None if all are right.
    """
    predicted = unseen[scores[:, unseen].argmax(1)]
    rocs, prs = (areas(scores, labels, unseen).tolist() for areas in (roc_aucs, pr_aucs))
    rows = []
    for k, roc, pr in zip(unseen.tolist(), rocs, prs, strict=True):
        own = predicted[labels == k]
        wrong, counts = torch.unique(own[own != k], return_counts=True)
        most = None if not len(wrong) else int(counts.argmax())
        rows.append(
            {
                "class": names[k],
                "images": len(own),
                "top1": float((own == k).double().mean()),
                "roc_auc": roc,
                "pr_auc": pr,
                "confused_with": None if most is None else names[int(wrong[most])],
                "confused_share": 0.0 if most is None else int(counts[most]) / len(own),
            }
        )
    return sorted(rows, key=lambda row: -row["pr_auc"])


def _columns(scores: Tensor, labels: Tensor, classes: Tensor) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    return [(scores[:, k].double().numpy(), (labels == k).numpy()) for k in classes.tolist()]


def _roc_auc(column: np.ndarray, is_own: np.ndarray) -> float:
    """Compute the area from ranks (Mann and Whitney).

    scikit-learn builds the curve, which takes ten times as long.
    """
    from scipy.stats import rankdata

    n, m = int(is_own.sum()), int((~is_own).sum())
    if not n or not m:
        return 0.5  # the area is undefined: use the value of random scores
    return float((rankdata(column)[is_own].sum() - n * (n + 1) / 2) / (n * m))


def _average_precision(column: np.ndarray, is_own: np.ndarray) -> float:
    """Return the mean over the class's images of the precision among all images with at least the same score.

    The result equals scikit-learn's and takes a tenth of the time.
    """
    if not is_own.any():
        return 0.0
    ordered, positives = np.sort(column), np.sort(column[is_own])
    above = len(column) - np.searchsorted(ordered, positives, side="left")
    positives_above = len(positives) - np.searchsorted(positives, positives, side="left")
    return float((positives_above / above).mean())


def _subtract_gamma(scores: Tensor, seen: Tensor, gamma: float) -> Tensor:
    shifted = scores.clone()
    shifted[:, seen] -= gamma
    return shifted


def _weights(labels: Tensor, unseen: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return what each correct image adds to u or s (N,), and whether its class is unseen (N,)."""
    class_of = labels.numpy()
    is_unseen = np.isin(class_of, unseen.numpy())
    counts = np.bincount(class_of)
    classes = np.where(is_unseen, len(np.unique(class_of[is_unseen])), len(np.unique(class_of[~is_unseen])))
    return 1.0 / (counts[class_of] * classes), is_unseen
