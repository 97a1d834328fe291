"""Metrics of images with any number of labels; the values are those of scikit-learn.

Shapes: N images, K classes. Labels bool (N, K), probabilities (N, K). A class is predicted above a probability of 0.5.
F1 is counted on the device of the logits, the other metrics are computed by scikit-learn on the CPU. F1 without a
label and a prediction is 0.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def accuracy(labels: Tensor, has: Tensor) -> float:
    """Return the share of images whose labels are all right (subset accuracy)."""
    return float((labels == has).all(1).double().mean())


def f1_macro(labels: Tensor, has: Tensor) -> float:
    """Return the mean F1 of the classes."""
    return float(_f1(labels, has, 0).mean())


def f1_weighted(labels: Tensor, has: Tensor) -> float:
    """Return the mean F1 of the classes, weighted by their images; 0 without a label."""
    images = labels.sum(0).double()
    return float(_f1(labels, has, 0) @ images / images.sum().clamp(min=1))


def f1_micro(labels: Tensor, has: Tensor) -> float:
    """Return F1 over all pairs of image and class."""
    return float(_f1(labels.reshape(-1, 1), has.reshape(-1, 1), 0))


def f1_samples(labels: Tensor, has: Tensor) -> float:
    """Return the mean F1 of the images."""
    return float(_f1(labels, has, 1).mean())


def _f1(labels: Tensor, has: Tensor, axis: int) -> Tensor:
    total = labels.sum(axis).double() + has.sum(axis).double()
    return 2 * (labels & has).sum(axis).double() / total.clamp(min=1)  # a total of 0 has no true positive


def roc_auc(labels: Ints, scores: Floats) -> float:
    """Return the mean over the classes of the area under the ROC curve; NaN if a class has no or all images."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores, average="macro"))


def average_precision(labels: Ints, scores: Floats) -> float:
    """Return the mean over the classes of the average precision (mAP); 0 for a class without images."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores, average="macro"))


def log_loss(labels: Ints, scores: Floats) -> float:
    """Return the mean over the classes of the binary cross-entropy in nats.

    A probability below 2.2e-16 counts as 2.2e-16, as in scikit-learn.
    """
    smallest = np.finfo(np.float64).eps
    clipped = np.clip(scores, smallest, 1 - smallest)
    return float(-np.mean(np.where(labels > 0, np.log(clipped), np.log(1 - clipped))))


def brier(labels: Ints, scores: Floats) -> float:
    """Return the mean squared error of the probabilities over images and classes, in [0, 1]."""
    return float(np.mean((scores - labels) ** 2))


OF_PREDICTIONS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "accuracy": accuracy,
    "f1_macro": f1_macro,
    "f1_weighted": f1_weighted,
    "f1_micro": f1_micro,
    "f1_samples": f1_samples,
}
OF_PROBABILITIES: dict[str, Callable[[Ints, Floats], float]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
}


def of_predictions(names: Sequence[str], labels: Tensor, logits: Tensor) -> dict[str, float]:
    """Return the metrics ``names`` of labels bool (N, K) and logits (N, K), on their device."""
    has = logits > 0
    return {name: OF_PREDICTIONS[name](labels, has) for name in names}


def of_probabilities(name: str, labels: Ints, scores: Floats) -> float:
    """Return the metric ``name`` of labels (N, K) with 0 and 1 and probabilities (N, K).

    Raises ``ValueError`` for a metric that is not defined for several labels.
    """
    if name not in OF_PROBABILITIES:
        raise ValueError(f"{name} is not defined for several labels; use one of {', '.join(OF_PROBABILITIES)}")
    with warnings.catch_warnings():
        # scikit-learn warns where a class is absent; its value is used all the same
        warnings.simplefilter("ignore")
        return OF_PROBABILITIES[name](labels, scores)
