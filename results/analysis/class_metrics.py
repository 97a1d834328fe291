"""Metrics of each class, mistakes and calibration of one trial, from its stored predictions.

Shapes: M images, K classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .weighted_metrics import CALIBRATION_BINS, calibration_bins

if TYPE_CHECKING:
    from ..database.prediction_records import Predictions

MAX_MATRIX = 100  # classes: a larger confusion matrix is given by its most frequent confusions
MAX_CONFUSIONS = 50
N_MISTAKES = 12
MAX_NAME = 60  # characters of the name of a class


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of one class and its number of images, the support; None where it is not defined.

    Precision is not defined for a class that is never predicted, recall for one without images.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Confusion:
    """How many images of the class ``label`` are predicted as ``predicted``."""

    label: str
    predicted: str
    images: int


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction; ``image`` is the position of the image in the validation images, from 0."""

    image: int
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class ReliabilityBin:
    """The images with a confidence in (low, high]: number, mean confidence and accuracy; None without images."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ClassReport:
    """Everything about the classes of one trial.

    ``matrix`` (K, K) has a row for each label and a column for each prediction; None for more than 100 classes.
    ``n`` is the number of images, ``n_images`` that of all validation images.
    """

    trial: int
    n: int
    n_images: int
    classes: tuple[ClassMetrics, ...]
    matrix: tuple[tuple[int, ...], ...] | None
    confusions: tuple[Confusion, ...]
    mistakes: tuple[Mistake, ...]
    reliability: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self)

    @property
    def sample_note(self) -> str:
        """A sentence on the images, if only a sample of them is stored; else empty."""
        return (
            "" if self.n == self.n_images else f"A random sample of {self.n:,} of {self.n_images:,} images is stored."
        )


def class_report(trial: int, predictions: "Predictions", names: Sequence[str] | None = None) -> ClassReport:
    """Return the class report of a trial; ``names`` are the classes of its data, by default their numbers."""
    named = _names(predictions.n_classes, names)
    return ClassReport(
        trial=trial,
        n=len(predictions),
        n_images=predictions.n_images,
        classes=_class_metrics(predictions, named),
        matrix=_matrix(predictions),
        confusions=_confusions(predictions, named),
        mistakes=mistakes(predictions, named),
        reliability=_reliability(predictions),
    )


def _names(n_classes: int, names: Sequence[str] | None) -> list[str]:
    # a database from elsewhere may have other names
    if not isinstance(names, list | tuple) or len(names) != n_classes:
        return [str(number) for number in range(n_classes)]
    texts = map(str, names)
    return [text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..." for text in texts]


def _class_metrics(predictions: "Predictions", names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    labels, predicted, k = predictions.labels, predictions.predicted, predictions.n_classes
    support, guesses = np.bincount(labels, minlength=k), np.bincount(predicted, minlength=k)
    hits = np.bincount(labels[labels == predicted], minlength=k)
    return tuple(
        ClassMetrics(
            names[c],
            _ratio(hits[c], guesses[c]),
            _ratio(hits[c], support[c]),
            _ratio(2 * hits[c], support[c] + guesses[c]),
            int(support[c]),
        )
        for c in range(k)
    )


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def _matrix(predictions: "Predictions") -> tuple[tuple[int, ...], ...] | None:
    k = predictions.n_classes
    if k > MAX_MATRIX:
        return None
    counts = np.bincount(predictions.labels * k + predictions.predicted, minlength=k * k).reshape(k, k)
    return tuple(map(tuple, counts.tolist()))


def _confusions(predictions: "Predictions", names: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the most frequent confusions, first the most frequent, then by the order of the classes."""
    wrong = predictions.labels != predictions.predicted
    pairs = predictions.labels[wrong] * predictions.n_classes + predictions.predicted[wrong]
    values, counts = np.unique(pairs, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MAX_CONFUSIONS]
    rows = zip(*np.divmod(values[order], predictions.n_classes), counts[order], strict=True)
    return tuple(Confusion(names[label], names[other], int(count)) for label, other, count in rows)


def mistakes(predictions: "Predictions", names: Sequence[str]) -> tuple[Mistake, ...]:
    """Return the wrong predictions with the highest confidence."""
    wrong = np.flatnonzero(predictions.labels != predictions.predicted)
    confidence = predictions.confidence
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:N_MISTAKES]
    return tuple(
        Mistake(
            int(predictions.index[i]),
            names[predictions.labels[i]],
            names[predictions.predicted[i]],
            float(confidence[i]),
        )
        for i in chosen
    )


def _reliability(predictions: "Predictions") -> tuple[ReliabilityBin, ...]:
    confidence, hit = predictions.confidence, predictions.labels == predictions.predicted
    bins = calibration_bins(confidence)
    made = []
    for number in range(CALIBRATION_BINS):
        inside = bins == number
        count = int(inside.sum())
        made.append(
            ReliabilityBin(
                number / CALIBRATION_BINS,
                (number + 1) / CALIBRATION_BINS,
                count,
                float(confidence[inside].mean()) if count else None,
                float(hit[inside].mean()) if count else None,
            )
        )
    return tuple(made)
