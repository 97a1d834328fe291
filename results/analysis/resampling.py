"""The bootstrap: a metric of stored predictions on seeded resamples of their images.

Shapes: M images, B resamples.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spaces.metrics.registry import custom_function
from ...spaces.parameters.user_code import ERRORS, prints_to_stderr
from ..database.prediction_records import LabelPredictions, Predictions, StoredPredictions
from .weighted_label_metrics import weighted_label_metric
from .weighted_metrics import weighted_class_metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...spaces.metrics.registry import Function
    from .weighted_metrics import Floats, Weighted

RESAMPLES = 1000
CUSTOM_RESAMPLES = 200  # a function of the user is called once for each resample
SEED = 0
MAX_WEIGHTS = 500_000  # of images in resamples that are computed at a time
MIN_FINITE = 0.9  # of the resamples: a metric that has a value in fewer has no interval


@dataclass(frozen=True, eq=False)
class Resamples:
    """A metric on the images of stored predictions, ``value``, and on resamples of them, ``values`` (B,).

    Values that do not exist, such as the ROC-AUC of images of one class, are NaN. The resamples are the same for every
    trial with the same number of images.
    """

    value: float
    values: "NDArray[np.float64]"

    @property
    def finite(self) -> "NDArray[np.float64] | None":
        """The values that exist; None if too few do."""
        values = self.values[np.isfinite(self.values)]
        return values if np.isfinite(self.value) and len(values) >= MIN_FINITE * len(self.values) else None

    def minus(self, other: "Resamples") -> "Resamples":
        """Return the differences from another metric of the same images."""
        return Resamples(self.value - other.value, self.values - other.values)


def resamples_of(metric: str, predictions: StoredPredictions, count: int = RESAMPLES) -> Resamples | None:
    """Return ``metric`` on ``count`` resamples; on fewer for a custom metric.

    None for fewer than two images, and for a metric that the stored predictions cannot give.
    """
    value_of, n = weighted_metric(metric, predictions), len(predictions)
    if value_of is None or n < 2:
        return None
    count = count if custom_function(metric) is None else min(count, CUSTOM_RESAMPLES)
    values = np.concatenate([value_of(weights) for weights in _resamples(n, count)])
    return Resamples(float(value_of(np.ones((1, n)))[0]), values)


def _resamples(n: int, count: int) -> "Iterator[Floats]":
    """Yield the weights (B, n) of some resamples at a time: how often each has each image."""
    rng = np.random.default_rng(SEED)
    at_a_time = max(1, MAX_WEIGHTS // n)
    for start in range(0, count, at_a_time):
        rows = min(at_a_time, count - start)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def weighted_metric(metric: str, predictions: StoredPredictions) -> "Weighted | None":
    """Return ``metric`` as a function of the weights (B, M) of the images; None if it cannot be computed.

    The weights of a custom metric must be whole numbers. It needs the probabilities of all classes.
    """
    name = metric.removeprefix("val_")
    if (function := custom_function(name)) is not None:
        return _repeated(function, predictions)
    if isinstance(predictions, LabelPredictions):
        return weighted_label_metric(name, predictions)
    return weighted_class_metric(name, predictions) if isinstance(predictions, Predictions) else None


def _repeated(function: "Function", predictions: StoredPredictions) -> "Weighted | None":
    """Return a metric that knows no weights: a weight of 3 repeats an image three times."""
    scores = _scores(predictions)
    if scores is None:
        return None
    labels = predictions.labels.astype(np.int64)

    def values(weights: "Floats") -> "Floats":
        rows = [np.repeat(np.arange(len(labels)), row.astype(np.int64)) for row in weights]
        return np.array([_value(function, labels[row], scores[row]) for row in rows])

    return values


def _scores(predictions: StoredPredictions) -> "Floats | None":
    """Return the probabilities (M, K) of all classes; None if only those of the highest are stored."""
    if isinstance(predictions, LabelPredictions):
        return predictions.probabilities
    if not isinstance(predictions, Predictions) or predictions.classes is not None:
        return None
    scores: Floats = predictions.probabilities / predictions.probabilities.sum(1, keepdims=True)
    return scores


def _value(function: "Function", labels: Any, scores: "Floats") -> float:
    """Return the value of a custom metric; NaN if it has none for these images."""
    with warnings.catch_warnings(), prints_to_stderr():
        warnings.simplefilter("ignore")  # such as that a class is absent from a resample
        try:
            return float(function(labels, scores))
        except ERRORS:
            return float("nan")
