"""Metrics of stored predictions in which each image has a weight, for the bootstrap: a resample is a set of weights.

Shapes: M images, K classes, B sets of weights, one for each resample. The values with equal weights are those of
``models/metrics/compute.py``, up to the rounding of the logarithms of stored probabilities to float16.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...spaces.metrics.registry import ACCURACY, top_k

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..database.prediction_records import Predictions

    Floats = NDArray[np.float64]
    Weighted = Callable[[Floats], Floats]  # weights (B, M) -> values (B,)

CALIBRATION_BINS = 15
SMALLEST_PROBABILITY = 2.2e-16  # smaller ones count as this in the log loss, as in scikit-learn


def weighted_class_metric(name: str, predictions: "Predictions") -> "Weighted | None":
    """Return the metric ``name`` as a function of the weights (B, M) of the images; None if it cannot be computed.

    A metric of all probabilities needs predictions that have them.
    """
    k = 1 if name == ACCURACY else top_k(name)
    if k is not None:
        return mean_of(predictions.hits(k).astype(np.float64))
    if name in OF_COUNTS:
        return _of_counts(OF_COUNTS[name], predictions)
    if name in OF_ALL_PROBABILITIES:
        return OF_ALL_PROBABILITIES[name](predictions) if predictions.classes is None else None
    return OF_LABEL[name](predictions) if name in OF_LABEL else None


def mean_of(values: "Floats") -> "Weighted":
    """Return the weighted mean of the values (M,) of the images."""
    return lambda weights: weights @ values / weights.sum(1)


def _of_counts(metric: "Callable[[_Counts], Floats]", predictions: "Predictions") -> "Weighted":
    return lambda weights: metric(_Counts(predictions, weights))


def _grouped(groups: "NDArray[np.int64]", weights: "Floats", n_groups: int) -> "Floats":
    """Return the sums (B, G) of the weights (B, M) of each group (M,)."""
    rows = len(weights)
    flat = (groups + n_groups * np.arange(rows)[:, None]).ravel()
    sums = np.bincount(flat, weights.ravel(), n_groups * rows).astype(np.float64)
    return sums.reshape(rows, n_groups)


def share(part: "Floats", whole: "Floats") -> "Floats":
    """Return ``part / whole``, and 0 where ``whole`` is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


class _Counts:
    """Sums of weights in the confusion matrix: ``images``, ``predicted`` and ``hits`` of each class, all (B, K)."""

    def __init__(self, predictions: "Predictions", weights: "Floats") -> None:
        self.predictions, self.weights, k = predictions, weights, predictions.n_classes
        labels, predicted = predictions.labels, predictions.predicted
        self.images = _grouped(labels, weights, k)
        self.predicted = _grouped(predicted, weights, k)
        self.hits = _grouped(labels, weights * (labels == predicted), k)

    @property
    def f1(self) -> "Floats":
        """F1 of each class (B, K); 0 for a class that is neither a label nor a prediction."""
        return share(2 * self.hits, self.images + self.predicted)


def balanced_accuracy(counts: _Counts) -> "Floats":
    """Return the mean recall of the classes that have images."""
    values: Floats = share(counts.hits, counts.images).sum(1) / (counts.images > 0).sum(1)
    return values


def f1_macro(counts: _Counts) -> "Floats":
    """Return the mean F1 of the classes that are a label or a prediction."""
    values: Floats = counts.f1.sum(1) / (counts.images + counts.predicted > 0).sum(1)
    return values


def f1_weighted(counts: _Counts) -> "Floats":
    """Return the mean F1 of the classes, weighted by their images."""
    values: Floats = (counts.f1 * counts.images).sum(1) / counts.images.sum(1)
    return values


def f1_binary(counts: _Counts) -> "Floats":
    """Return F1 of class 1; 0 if class 1 is neither a label nor a prediction."""
    return counts.f1[:, 1]


def cohen_kappa(counts: _Counts) -> "Floats":
    """Return Cohen's kappa with quadratic weights; NaN if only one class is a label or a prediction."""
    rows, columns = counts.images, counts.predicted
    position = np.cumsum(rows + columns > 0, axis=1) - 1.0  # of a class among the used ones
    gap = position[:, counts.predictions.labels] - position[:, counts.predictions.predicted]
    # the sum of rows_i columns_j (i - j)^2 / n, by its moments
    squares = ((rows + columns) * position**2).sum(1)
    cross = (rows * position).sum(1) * (columns * position).sum(1) / counts.weights.sum(1)
    expected = squares - 2 * cross
    disagreement = (counts.weights * gap**2).sum(1)
    values: Floats = 1 - np.divide(disagreement, expected, out=np.full_like(expected, np.nan), where=expected > 1e-9)
    return values


def log_loss(predictions: "Predictions") -> "Weighted":
    """Return the mean cross-entropy in nats."""
    return mean_of(-np.log(predictions.label_probability.clip(SMALLEST_PROBABILITY, 1)))


def brier(predictions: "Predictions") -> "Weighted":
    """Return the Brier score: with two classes in [0, 1], with more in [0, 2]."""
    squares = (predictions.probabilities - np.eye(predictions.n_classes)[predictions.labels]) ** 2
    return mean_of(squares[:, 1] if predictions.n_classes == 2 else squares.sum(1))


def expected_calibration_error(predictions: "Predictions") -> "Weighted":
    """Return the mean gap between confidence and accuracy in 15 bins of equal width (Guo et al. 2017, 1706.04599)."""
    confidence = predictions.confidence
    gap = (predictions.labels == predictions.predicted) - confidence
    bins = calibration_bins(confidence)
    return lambda weights: np.abs(_grouped(bins, weights * gap, CALIBRATION_BINS)).sum(1) / weights.sum(1)


def calibration_bins(confidence: "Floats") -> "NDArray[np.int64]":
    """Return the bin (M,) of each confidence (M,) in [0, 1], closed above."""
    bins: NDArray[np.int64] = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype("i8")
    return bins


def roc_auc(predictions: "Predictions") -> "Weighted":
    """Return the area under the ROC curve, one class against the rest; NaN if a class has no weight."""
    return mean_over_classes(_rankings(predictions), area)


def average_precision(predictions: "Predictions") -> "Weighted":
    """Return the average precision, one class against the rest; 0 for a class without weight, as in scikit-learn."""
    return mean_over_classes(_rankings(predictions), average)


def area(hits: "Floats", misses: "Floats") -> "Floats":
    """Return the area under the ROC curve (B,) from the weights (B, thresholds) above each threshold, from 0 to all."""
    trapezoids = (np.diff(misses) * (hits[:, 1:] + hits[:, :-1]) / 2).sum(1)
    whole = hits[:, -1] * misses[:, -1]
    areas: Floats = np.divide(trapezoids, whole, out=np.full_like(whole, np.nan), where=whole > 0)
    return areas


def average(hits: "Floats", misses: "Floats") -> "Floats":
    """Return the average precision (B,) from the weights (B, thresholds) above each threshold, from 0 to all."""
    precision = share(hits[:, 1:], hits[:, 1:] + misses[:, 1:])
    return share((np.diff(hits) * precision).sum(1), hits[:, -1])


def _rankings(predictions: "Predictions") -> "list[Ranking]":
    """Return the ranking by each class; with two classes that of class 1.

    The images are ranked by the odds, which have the order of the probabilities: their logarithms are stored as
    float16, so that all above 1 - 3e-8 are 1.
    """
    classes, p = [1] if predictions.n_classes == 2 else range(predictions.n_classes), predictions.probabilities
    others = [np.delete(p, c, axis=1).sum(1).clip(min=np.finfo(np.float64).tiny) for c in classes]
    return [Ranking(p[:, c] / rest, predictions.labels == c) for c, rest in zip(classes, others, strict=True)]


def mean_over_classes(ranked: "Sequence[Ranking]", of_class: "Callable[[Floats, Floats], Floats]") -> "Weighted":
    """Return the mean of ``of_class`` over the rankings."""

    def mean(weights: "Floats") -> "Floats":
        values: Floats = np.mean([of_class(*ranking.cumulative(weights)) for ranking in ranked], axis=0)
        return values

    return mean


class Ranking:
    """The order of the images by the score of one class, and the last image of each group of equal scores."""

    def __init__(self, scores: "Floats", positive: "NDArray[np.bool_]") -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.positive = positive[self.order]
        self.ends = np.flatnonzero(np.append(np.diff(scores[self.order]) != 0, True))

    def cumulative(self, weights: "Floats") -> "tuple[Floats, Floats]":
        """Return the weights (B, thresholds) of hits and of misses above each threshold."""
        sorted_weights = weights[:, self.order]
        hits = np.cumsum(sorted_weights * self.positive, axis=1)[:, self.ends]
        misses = np.cumsum(sorted_weights, axis=1)[:, self.ends] - hits
        return np.pad(hits, ((0, 0), (1, 0))), np.pad(misses, ((0, 0), (1, 0)))


OF_COUNTS: dict[str, "Callable[[_Counts], Floats]"] = {
    "balanced_accuracy": balanced_accuracy,
    "f1_macro": f1_macro,
    "f1_weighted": f1_weighted,
    "f1": f1_binary,
    "cohen_kappa": cohen_kappa,
}
OF_LABEL: dict[str, "Callable[[Predictions], Weighted]"] = {
    "log_loss": log_loss,
    "expected_calibration_error": expected_calibration_error,
}
OF_ALL_PROBABILITIES: dict[str, "Callable[[Predictions], Weighted]"] = {
    "brier": brier,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
}
