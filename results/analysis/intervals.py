"""Confidence intervals of the metrics of a trial: Wilson for shares of images, bootstrap for the others."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from ...spaces.metrics.registry import (
    ACCURACY,
    MIN_CLASSES_FOR_TOP_5,
    TOP_5,
    TOP_K,
    before_int8,
    custom_function,
    find_metric,
    is_built_in,
    is_share,
)
from ..database.reader import StoreReader
from ..database.records import Trial

if TYPE_CHECKING:
    from ..database.prediction_records import StoredPredictions

LEVEL = 0.95
Z = 1.959963984540054  # quantile of the standard normal distribution for LEVEL
WILSON, BOOTSTRAP = "Wilson", "bootstrap percentile"
TOP_5_NAMES, TOP_5_ERROR = (TOP_5, TOP_K), "top-5 error"
NO_INT8_PREDICTIONS = "the predictions in int8 are not stored"
MEANS_OF_IMAGES = ("log_loss", "brier")  # metrics whose mean over folds is that of all images


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval of a metric of one trial, measured on ``n`` validation images.

    ``method`` is "Wilson" or "bootstrap percentile". It describes the uncertainty from the choice of the validation
    images. It does not contain that of the training, and the best of many trials is selected for a high value.
    """

    low: float
    high: float
    n: int
    method: str

    def __str__(self) -> str:
        return f"{self.low:.4f} to {self.high:.4f}"


def wilson(share: float, n: int) -> Interval | None:
    """Return the Wilson score interval of a share of ``n`` images; None for fewer than two images.

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953. It is never empty, also at a share of 0 or 1.
    """
    if n < 2 or not 0 <= share <= 1:
        return None
    center = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # rounding may leave the share itself outside the interval
    return Interval(max(0.0, min(center - half, share)), min(1.0, max(center + half, share)), n, WILSON)


def bootstrap(metric: str, predictions: "StoredPredictions") -> Interval | None:
    """Return the percentile interval of ``metric`` over seeded resamples of the images: 1,000, of a custom metric 200.

    None for fewer than two images, for a metric that stored predictions cannot give, and if the metric has no value in
    more than a tenth of the resamples, such as ROC-AUC where a class has one image.
    """
    import numpy as np

    from .resampling import resamples_of

    resamples = resamples_of(metric, predictions)
    if resamples is None or (values := resamples.finite) is None:
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), len(predictions), BOOTSTRAP)


@dataclass(frozen=True)
class Measured:
    """The value of a metric with its interval, or the reason why it has none."""

    metric: str
    value: float | None
    interval: Interval | None
    reason: str = ""

    def __str__(self) -> str:
        value = "no value" if self.value is None else f"{self.value:.4f}"
        if self.interval is None:
            return f"{self.metric} {value}, without an interval: {self.reason}"
        how = f"{self.interval.method}, n = {self.interval.n:,} validation images"
        return f"{self.metric} {value}, 95 % interval {self.interval} ({how})"

    def to_json(self) -> dict[str, Any]:
        """Return the value and its interval as JSON types."""
        interval = None if self.interval is None else asdict(self.interval)
        made = {"metric": self.metric, "value": self.value, "interval": interval}
        return {**made, "reason": self.reason} if self.reason else made


def _is_finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def with_interval(store: StoreReader, trial: Trial, metric: str | None = None) -> Measured:
    """Return the value of ``metric``, or of the metric that selects in its run, for ``trial``, with its interval.

    A share of images needs their number only. Other metrics need the stored predictions of the trial. Raises
    ``ValueError`` for an unknown metric.
    """
    name = metric_name(trial, metric)
    value = trial.val_accuracy if name == ACCURACY else trial.metrics.get(name)
    if before_int8(name) is not None:
        # a run that records only the accuracy has no other metric in its trials
        value = dict(store.curve(trial.trial).get(name, [])).get(trial.best_epoch or 0, value)
        return Measured(name, value, None, NO_INT8_PREDICTIONS)
    if not _is_finite(value):
        return Measured(name, value, None, "the trial has no value of this metric")
    if is_share(name):
        n = n_validated(store, trial)
        interval = None if n is None else wilson(value, n)
        reason = "the number of validation images is not recorded" if n is None else "one image gives no interval"
        return Measured(name, value, interval, "" if interval else reason)
    if reason := not_in_predictions(store, trial, name):
        return Measured(name, value, None, reason)
    predictions, reason = readable_predictions(store, trial)
    if predictions is None:
        return Measured(name, value, None, reason)
    interval = bootstrap(name, predictions)
    missing = "the stored predictions are too few, or lack probabilities or classes that this metric needs"
    return Measured(name, value, interval, "" if interval else missing)


def metric_name(trial: Trial, metric: str | None) -> str:
    """Return the name of ``metric``, or of the metric that selects in the run of ``trial``.

    Raises ``ValueError`` for a metric that is unknown and that the trial has not recorded, and for a test metric.
    """
    name = (trial.metric if metric is None else metric).removeprefix("val_")
    if metric is not None and name not in trial.metrics:
        find_metric(before_int8(name) or name)
    return name


def not_in_predictions(store: StoreReader, trial: Trial, name: str) -> str:
    """Return why the stored predictions of ``trial`` do not give its metric ``name``; empty if they do."""
    if is_share(name):
        return ""
    if before_int8(name) is not None:
        return NO_INT8_PREDICTIONS
    if not is_built_in(name) and custom_function(name) is None:
        if _settings(store, trial, "search").get("direction") is not None and name == trial.metric:
            return f"only the training function of the run computes {name}, which stored predictions do not give"
        modules = _settings(store, trial, "plugins").get("modules")
        named = modules if isinstance(modules, list) and modules else ["MODULE"]
        options = " ".join(f"--import {module}" for module in named)
        return (
            f"the function of the metric {name!r} is not registered here; import its module: {options}, or in Python "
            "before av.open_results"
        )
    if has_folds(store, trial) and name not in MEANS_OF_IMAGES:
        return f"with folds, {name} is a mean over folds, which pooled predictions do not give"
    return ""


def top_5_error(store: StoreReader, trial: Trial) -> Measured | None:
    """Return the share of validation images whose label is not among the five highest scores, with its interval.

    From the stored predictions, or else from a recorded top-5 accuracy; None for fewer than ten classes and without
    both.
    """
    n_classes, n = store.dataset(store.run_settings(trial.run).dataset_hash).n_classes, n_validated(store, trial)
    if not isinstance(n_classes, int) or n_classes < MIN_CLASSES_FOR_TOP_5 or n is None:
        return None
    recorded = next((trial.metrics[name] for name in TOP_5_NAMES if _is_finite(trial.metrics.get(name))), None)
    if recorded is None:
        predictions, _ = readable_predictions(store, trial)
        if predictions is None or predictions.labels.ndim == 2:
            return None
        recorded, n = float(predictions.hits(5).mean()), len(predictions)
    return Measured(TOP_5_ERROR, 1 - recorded, wilson(1 - recorded, n))


def n_validated(store: StoreReader, trial: Trial) -> int | None:
    """Return the number of images on which a trial was validated; None if it is not recorded.

    With folds it is the sum over the folds. A zero-shot accuracy is no share of images.
    """
    from ...spaces.parameters.task_kinds import ZERO_SHOT, task_name

    data = _settings(store, trial, "data")
    if task_name(data) == ZERO_SHOT:
        return None
    record = store.dataset(store.run_settings(trial.run).dataset_hash)
    counts = (record.n_train, record.n_val) if has_folds(store, trial) else (record.n_val,)
    # a database from elsewhere may hold anything
    return sum(count for count in counts if count) if all(isinstance(count, int) for count in counts) else None


def has_folds(store: StoreReader, trial: Trial) -> bool:
    """Return whether a trial has trained one network for each of several folds."""
    return folds_of(store, trial) is not None


def folds_of(store: StoreReader, trial: Trial) -> tuple[Any, Any] | None:
    """Return the number of folds of a trial and the seed that drew them; None without folds."""
    count = _settings(store, trial, "search").get("folds")
    return None if count is None else (count, _settings(store, trial, "data").get("seed"))


def _settings(store: StoreReader, trial: Trial, section: str) -> dict[str, Any]:
    """Return a section of the settings of a run; a database from elsewhere may hold anything in its place."""
    config: Any = store.run_settings(trial.run).config
    table = config.get(section) if isinstance(config, dict) else None
    return table if isinstance(table, dict) else {}


def readable_predictions(store: StoreReader, trial: Trial) -> "tuple[StoredPredictions | None, str]":
    """Return the stored predictions of a trial, or None and the reason."""
    from ..database.prediction_records import predictions_of

    try:
        predictions = predictions_of(store, trial)
    except ValueError as error:
        return None, f"its stored predictions cannot be read: {str(error)[:200]}"
    if predictions is None:
        return None, (
            f"trial {trial.trial} has no stored predictions: a classification search stores them when a trial ends, "
            "unless search.record_predictions is false; version 0.1.0 stored none"
        )
    return predictions, ""
