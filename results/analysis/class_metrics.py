"""Metrics of each class, mistakes and calibration of one trial, from its stored predictions.

Shapes: M images, K classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..database.prediction_records import LabelPredictions, Predictions, StoredPredictions
from .intervals import readable_predictions
from .weighted_metrics import CALIBRATION_BINS, calibration_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..database.reader import StoreReader
    from ..database.records import Trial

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
    """A wrong prediction; ``image`` is the position of the image in the validation images, from 0.

    Where images have several labels, a mistake is about one class: "cat" is predicted as "not cat", or the reverse.
    """

    image: int
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class ReliabilityBin:
    """The images with a confidence in (low, high]: number, mean confidence and accuracy; None without images.

    Where images have several labels, it has the pairs of image and class with a probability in (low, high], and the
    share of them in which the image has the class.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ClassReport:
    """Everything about the classes of one trial.

    ``matrix`` (K, K) has a row for each label and a column for each prediction; None for more than 100 classes, and
    with several labels an image (``multi_label``), of which there are no ``confusions`` either. ``n`` is the number of
    images, ``n_images`` that of all validation images.
    """

    trial: int
    n: int
    n_images: int
    classes: tuple[ClassMetrics, ...]
    matrix: tuple[tuple[int, ...], ...] | None
    confusions: tuple[Confusion, ...]
    mistakes: tuple[Mistake, ...]
    reliability: tuple[ReliabilityBin, ...]
    multi_label: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self)

    @property
    def sample_note(self) -> str:
        """A sentence on the images, if only a sample of them is stored; else empty."""
        return (
            "" if self.n == self.n_images else f"A random sample of {self.n:,} of {self.n_images:,} images is stored."
        )


def class_report_of(store: "StoreReader", trial: "Trial") -> tuple[ClassReport | None, str]:
    """Return the class report of a trial, or None and the reason why it has no stored predictions."""
    predictions, reason = readable_predictions(store, trial)
    if predictions is None:
        return None, reason
    names = store.dataset(store.run_settings(trial.run).dataset_hash).class_names
    return class_report(trial.trial, predictions, names), ""


def class_report(trial: int, predictions: StoredPredictions, names: Sequence[str] | None = None) -> ClassReport:
    """Return the class report of a trial; ``names`` are the classes of its data, by default their numbers."""
    named = _names(predictions.n_classes, names)
    one_label = predictions if isinstance(predictions, Predictions) else None
    return ClassReport(
        trial=trial,
        n=len(predictions),
        n_images=predictions.n_images,
        classes=_class_metrics(named, *_class_counts(predictions)),
        matrix=None if one_label is None else _matrix(one_label),
        confusions=() if one_label is None else _confusions(one_label, named),
        mistakes=mistakes(predictions, named),
        reliability=_reliability(*_calibration(predictions)),
        multi_label=one_label is None,
    )


def _names(n_classes: int, names: Sequence[str] | None) -> list[str]:
    # a database from elsewhere may have other names
    if not isinstance(names, list | tuple) or len(names) != n_classes:
        return [str(number) for number in range(n_classes)]
    texts = map(str, names)
    return [text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..." for text in texts]


def _class_counts(predictions: StoredPredictions) -> "tuple[NDArray[np.int64], ...]":
    """Return for each class (K,) the images that have it, that are predicted to have it, and both."""
    labels, k = predictions.labels, predictions.n_classes
    if isinstance(predictions, LabelPredictions):
        predicted = predictions.predicted
        return labels.sum(0), predicted.sum(0), (labels & predicted).sum(0)
    assert isinstance(predictions, Predictions)
    right = labels[labels == predictions.predicted]
    return tuple(np.bincount(classes, minlength=k) for classes in (labels, predictions.predicted, right))


def _class_metrics(
    names: Sequence[str], support: "NDArray[np.int64]", guesses: "NDArray[np.int64]", hits: "NDArray[np.int64]"
) -> tuple[ClassMetrics, ...]:
    return tuple(
        ClassMetrics(
            name,
            _ratio(hits[c], guesses[c]),
            _ratio(hits[c], support[c]),
            _ratio(2 * hits[c], support[c] + guesses[c]),
            int(support[c]),
        )
        for c, name in enumerate(names)
    )


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def _matrix(predictions: Predictions) -> tuple[tuple[int, ...], ...] | None:
    k = predictions.n_classes
    if k > MAX_MATRIX:
        return None
    counts = np.bincount(predictions.labels * k + predictions.predicted, minlength=k * k).reshape(k, k)
    return tuple(map(tuple, counts.tolist()))


def _confusions(predictions: Predictions, names: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the most frequent confusions, first the most frequent, then by the order of the classes."""
    wrong = predictions.labels != predictions.predicted
    pairs = predictions.labels[wrong] * predictions.n_classes + predictions.predicted[wrong]
    values, counts = np.unique(pairs, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MAX_CONFUSIONS]
    rows = zip(*np.divmod(values[order], predictions.n_classes), counts[order], strict=True)
    return tuple(Confusion(names[label], names[other], int(count)) for label, other, count in rows)


def mistakes(predictions: StoredPredictions, names: Sequence[str]) -> tuple[Mistake, ...]:
    """Return the wrong predictions with the highest confidence."""
    if isinstance(predictions, LabelPredictions):
        return _mistakes_of_labels(predictions, names)
    assert isinstance(predictions, Predictions)
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


def _mistakes_of_labels(predictions: LabelPredictions, names: Sequence[str]) -> tuple[Mistake, ...]:
    images, classes = np.nonzero(predictions.labels != predictions.predicted)
    probabilities, guessed = predictions.probabilities[images, classes], predictions.predicted[images, classes]
    confidence = np.where(guessed, probabilities, 1 - probabilities)
    made = []
    for i in np.argsort(-confidence, kind="stable")[:N_MISTAKES]:
        name = names[classes[i]]
        label, other = (f"not {name}", name) if guessed[i] else (name, f"not {name}")
        made.append(Mistake(int(predictions.index[images[i]]), label, other, float(confidence[i])))
    return tuple(made)


def _calibration(predictions: StoredPredictions) -> "tuple[NDArray[np.float64], NDArray[np.bool_]]":
    """Return confidences, and which of the predictions with them are right."""
    if isinstance(predictions, LabelPredictions):
        return predictions.probabilities.ravel(), predictions.labels.ravel()
    assert isinstance(predictions, Predictions)
    return predictions.confidence, predictions.labels == predictions.predicted


def _reliability(confidence: "NDArray[np.float64]", hit: "NDArray[np.bool_]") -> tuple[ReliabilityBin, ...]:
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
