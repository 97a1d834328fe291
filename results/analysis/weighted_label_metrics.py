"""Metrics of stored predictions of images with any number of labels, in which each image has a weight.

Shapes: M images, K classes, B sets of weights, one for each resample. The values with equal weights are those of
``models/metrics/several_labels.py``, up to the rounding of stored scores to float16.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .weighted_metrics import SMALLEST_PROBABILITY, Ranking, area, average, mean_of, mean_over_classes, share

if TYPE_CHECKING:
    from ..database.prediction_records import LabelPredictions
    from .weighted_metrics import Floats, Weighted


def weighted_label_metric(name: str, predictions: "LabelPredictions") -> "Weighted | None":
    """Return the metric ``name`` as a function of the weights (B, M) of the images; None for an unknown name."""
    made = OF_LABELS.get(name)
    return None if made is None else made(predictions)


def accuracy(predictions: "LabelPredictions") -> "Weighted":
    """Return the share of images whose labels are all right (subset accuracy)."""
    return mean_of(predictions.hits().astype(np.float64))


def f1_samples(predictions: "LabelPredictions") -> "Weighted":
    """Return the mean F1 of the images; 0 for one without a label and a prediction."""
    right, total = _hits(predictions).sum(1), _total(predictions).sum(1)
    return mean_of(share(2 * right, total))


def f1_micro(predictions: "LabelPredictions") -> "Weighted":
    """Return F1 over all pairs of image and class."""
    right, total = _hits(predictions).sum(1), _total(predictions).sum(1)
    return lambda weights: share(2 * weights @ right, weights @ total)


def f1_macro(predictions: "LabelPredictions") -> "Weighted":
    """Return the mean F1 of the classes; 0 for one without a label and a prediction."""
    of_classes = _f1(predictions)

    def mean(weights: "Floats") -> "Floats":
        values: Floats = of_classes(weights).mean(1)
        return values

    return mean


def f1_weighted(predictions: "LabelPredictions") -> "Weighted":
    """Return the mean F1 of the classes, weighted by their images; 0 without a label."""
    of_classes, labels = _f1(predictions), predictions.labels.astype(np.float64)

    def mean(weights: "Floats") -> "Floats":
        images = weights @ labels
        return share((of_classes(weights) * images).sum(1), images.sum(1))

    return mean


def _f1(predictions: "LabelPredictions") -> "Callable[[Floats], Floats]":
    """Return F1 of each class (B, K) as a function of the weights."""
    right, total = _hits(predictions), _total(predictions)
    return lambda weights: share(2 * weights @ right, weights @ total)


def _hits(predictions: "LabelPredictions") -> "Floats":
    return (predictions.labels & predictions.predicted).astype(np.float64)


def _total(predictions: "LabelPredictions") -> "Floats":
    return predictions.labels.astype(np.float64) + predictions.predicted


def roc_auc(predictions: "LabelPredictions") -> "Weighted":
    """Return the mean area under the ROC curve of the classes; NaN if all the weight of a class is on one side."""
    return mean_over_classes(_rankings(predictions), area)


def average_precision(predictions: "LabelPredictions") -> "Weighted":
    """Return the mean average precision of the classes; 0 for a class without weight, as in scikit-learn."""
    return mean_over_classes(_rankings(predictions), average)


def _rankings(predictions: "LabelPredictions") -> list[Ranking]:
    pairs = zip(predictions.logits.T, predictions.labels.T, strict=True)
    return [Ranking(scores, positive) for scores, positive in pairs]


def log_loss(predictions: "LabelPredictions") -> "Weighted":
    """Return the mean over the classes of the binary cross-entropy in nats."""
    losses = np.logaddexp(0, np.where(predictions.labels, -predictions.logits, predictions.logits))
    return mean_of(losses.clip(max=-np.log(SMALLEST_PROBABILITY)).mean(1))


def brier(predictions: "LabelPredictions") -> "Weighted":
    """Return the mean squared error of the probabilities over images and classes."""
    return mean_of(((predictions.probabilities - predictions.labels) ** 2).mean(1))


OF_LABELS: dict[str, "Callable[[LabelPredictions], Weighted]"] = {
    "accuracy": accuracy,
    "f1_macro": f1_macro,
    "f1_weighted": f1_weighted,
    "f1_micro": f1_micro,
    "f1_samples": f1_samples,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
}
