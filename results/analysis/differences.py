"""Whether two trials differ by more than noise: paired tests on their stored predictions of the same images."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ...spaces.metrics.registry import is_built_in, is_share, top_k
from ...spaces.metrics.selection import Selection
from ..database.reader import StoreReader
from ..database.records import Trial
from .intervals import (
    LEVEL,
    Z,
    folds_of,
    metric_name,
    not_in_predictions,
    readable_predictions,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..database.prediction_records import StoredPredictions
    from .resampling import Resamples

ALPHA = 1 - LEVEL
MCNEMAR, PAIRED_BOOTSTRAP = "McNemar exact", "paired bootstrap"
RESAMPLES = 1000
WINNER_RESAMPLES = 250  # for each of many comparisons; the standard deviation needs fewer than percentiles do
OTHER_IMAGES = "their predictions are of other images, such as those of other folds"
MAX_COMPARED = 20  # trials that are compared with the best one


@dataclass(frozen=True)
class Difference:
    """The difference of a metric between two trials, first minus second, on ``n`` images that both predicted.

    ``low`` and ``high`` are its 95 % confidence interval. ``p_value`` is two-sided; ``test`` is "McNemar exact" for a
    share of images and "paired bootstrap" for other metrics. Without a test they are None, and ``reason`` states why.
    """

    trial: int
    other: int
    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    n: int | None = None
    test: str | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON types."""
        return {**asdict(self), "is_distinguishable": self.is_distinguishable}

    @property
    def is_distinguishable(self) -> bool | None:
        """Whether the p-value is at most 0.05; None without a test."""
        return None if self.p_value is None else self.p_value <= ALPHA

    def __str__(self) -> str:
        pair = f"trial {self.trial} and trial {self.other}"
        if self.p_value is None:
            return f"{pair} cannot be compared on the same images: {self.reason}"
        verb = "differ" if self.is_distinguishable else "do not differ"
        return (
            f"{pair} {verb} beyond noise in {self.metric}: difference {self.value:+.4f}, 95 % interval {self.low:+.4f} "
            f"to {self.high:+.4f}, p {_p_text(self.p_value)} ({self.test}, n = {self.n:,} validation images)"
        )


def _p_text(p_value: float) -> str:
    return f"= {p_value:.2g}" if p_value >= 1e-4 else "< 0.0001"


def compare_pair(store: StoreReader, trial: Trial, other: Trial, metric: str | None = None) -> Difference:
    """Return the difference of two trials in ``metric``, by default that of the first trial's run.

    Raises ``ValueError`` for trials that were validated on other data, for an unknown metric, and for one that is not
    defined for these classes.
    """
    made = Difference(trial.trial, other.trial, metric_name(trial, metric))
    _check_same_data(store, trial, other)
    if reason := _not_comparable(store, trial, other, made.metric):
        return replace(made, reason=reason)
    (first, reason), (second, other_reason) = readable_predictions(store, trial), readable_predictions(store, other)
    if first is None or second is None:
        return replace(made, reason=reason or other_reason)
    if is_built_in(made.metric):
        Selection(made.metric).check_classes(first.n_classes, multi_label=first.labels.ndim == 2)
    return _Predicted.of(first, made.metric, RESAMPLES).difference(made, second)


def _not_comparable(store: StoreReader, trial: Trial, other: Trial, metric: str) -> str:
    """Return why the stored predictions of two trials do not give the difference of ``metric``; empty if they do."""
    # Folds drawn by another seed can have the same labels in the same order, of other images.
    if folds_of(store, trial) != folds_of(store, other):
        return OTHER_IMAGES
    return not_in_predictions(store, trial, metric)


def _check_same_data(store: StoreReader, trial: Trial, other: Trial) -> None:
    runs = [store.run_settings(one.run) for one in (trial, other)]
    if runs[0].dataset_hash != runs[1].dataset_hash:
        datasets = [store.dataset(run.dataset_hash) for run in runs]
        pairs = zip((trial, other), datasets, strict=True)
        data = " and ".join(
            f"trial {one.trial} is of {record.name!r} ({record.content_hash[:12]})" for one, record in pairs
        )
        raise ValueError(
            f"compared trials must have the same data and split, but {data}; compare trials of one data set"
        )


@dataclass(frozen=True, eq=False)
class _Predicted:
    """The stored predictions of the first trial, with ``resamples`` of the metric: it may be compared many times.

    ``resamples`` are None for a metric that cannot be computed, and for a share of images, which needs none.
    """

    predictions: "StoredPredictions"
    metric: str
    count: int
    resamples: "Resamples | None"

    @classmethod
    def of(cls, predictions: "StoredPredictions", metric: str, count: int) -> "_Predicted":
        return cls(predictions, metric, count, _resamples(predictions, metric, count))

    def difference(self, made: Difference, second: "StoredPredictions") -> Difference:
        """Return ``made`` with the difference from ``second``, or the reason why there is none."""
        first = self.predictions
        made = replace(made, n=len(first))
        if not first.is_paired_with(second):
            return replace(made, reason=OTHER_IMAGES)
        if len(first) < 2:
            return replace(made, reason="one image gives no comparison")
        if is_share(self.metric):
            k = top_k(self.metric) or 1
            return _of_shares(made, first.hits(k), second.hits(k))
        return _of_resamples(made, self.resamples, _resamples(second, self.metric, self.count))


def _resamples(predictions: "StoredPredictions", metric: str, count: int) -> "Resamples | None":
    from .resampling import resamples_of

    return None if is_share(metric) else resamples_of(metric, predictions, count)


def _of_shares(made: Difference, first: "NDArray[np.bool_]", second: "NDArray[np.bool_]") -> Difference:
    """Compare which images are right: McNemar's exact test, and the interval of Agresti and Min.

    Agresti and Min 2005, https://doi.org/10.1002/sim.1781: the Wald interval after 0.5 is added to each of the four
    cells, so that two trials with the same right images have no empty interval.
    """
    from scipy.stats import binomtest

    n, only_first, only_second = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    total, center = n + 2, (only_first - only_second) / (n + 2)
    half = Z * math.sqrt(max(0.0, (discordant + 1) / total - center**2) / total)
    value = (only_first - only_second) / n
    return replace(made, value=value, low=center - half, high=center + half, p_value=p_value, test=MCNEMAR)


def _of_resamples(made: Difference, first: "Resamples | None", second: "Resamples | None") -> Difference:
    """Compare by the differences over resamples of the images that both predicted.

    The interval has their percentiles. The p-value is that of a normal distribution with their standard deviation.
    """
    import numpy as np

    if first is None or second is None:
        return replace(made, reason=f"{made.metric} cannot be computed from the stored predictions")
    difference = first.minus(second)
    if (values := difference.finite) is None:
        return replace(made, reason=f"{made.metric} has no value on many resamples of the images")
    value, (low, high) = difference.value, np.quantile(values, [ALPHA / 2, 1 - ALPHA / 2])
    # The shares of resamples on each side of 0 would need many more resamples for a p-value near 0.
    error = float(values.std(ddof=1))
    p_value = math.erfc(abs(value) / error / math.sqrt(2)) if error else float(value == 0)
    return replace(made, value=value, low=float(low), high=float(high), p_value=p_value, test=PAIRED_BOOTSTRAP)


@dataclass(frozen=True)
class Winner:
    """The best trial with the trials that cannot be distinguished from it.

    ``equals`` are compared with the best trial and not distinguishable; ``n_compared`` is the number of compared
    trials. ``smallest`` is the trial with the fewest parameters among the best trial and ``equals``. ``reason`` states
    why nothing was compared.
    """

    best: Trial
    equals: tuple[Trial, ...] = ()
    n_compared: int = 0
    reason: str = ""

    @property
    def smallest(self) -> Trial:
        """The trial with the fewest parameters, then the fewest macs, among the best trial and its equals."""
        return min((self.best, *self.equals), key=lambda trial: (trial.params, trial.macs, trial.trial))

    @property
    def text(self) -> str:
        """The result in one or two sentences."""
        if not self.n_compared:
            return f"Other trials were not compared with trial {self.best.trial}: {self.reason}."
        compared = f"the {self.n_compared} next trials were" if self.n_compared > 1 else "the next trial was"
        how = (
            f"({compared} compared with it on the same validation images, at a significance level of {ALPHA:.0%} with "
            "Holm's correction)"
        )
        if not self.equals:
            return f"Each compared trial is worse than trial {self.best.trial} beyond noise {how}."
        names = ", ".join(str(trial.trial) for trial in self.equals)
        return (
            f"Not distinguishable from trial {self.best.trial}: trial{'s' * (len(self.equals) > 1)} {names} {how}. "
            f"The smallest of them all is trial {self.smallest.trial} with {self.smallest.params:,} parameters."
        )


def winner_of(store: StoreReader, ranked: Sequence[Trial]) -> Winner:
    """Return the first of ``ranked``, trials of one run with the best first, and those not distinguishable from it.

    At most ``MAX_COMPARED`` trials are compared. The p-values are corrected for their number by the method of Holm
    (1979), so that a trial is not called worse only because many were compared.
    """
    best, others = ranked[0], ranked[1 : MAX_COMPARED + 1]
    if not others:
        return Winner(best, reason="there is no other trial with a result")
    if reason := not_in_predictions(store, best, best.metric):
        return Winner(best, reason=reason)
    predictions, reason = readable_predictions(store, best)
    if predictions is None:
        return Winner(best, reason=reason)
    first, differences = _Predicted.of(predictions, best.metric, WINNER_RESAMPLES), []
    for other in others:
        made = Difference(best.trial, other.trial, best.metric)
        second, reason = readable_predictions(store, other)
        differences.append(replace(made, reason=reason) if second is None else first.difference(made, second))
    tested = [one for one in differences if one.p_value is not None]
    if not tested:
        return Winner(best, reason=differences[0].reason)
    worse = _rejected({one.other: one.p_value for one in tested if one.p_value is not None})
    names = {one.other for one in tested} - worse
    return Winner(best, tuple(trial for trial in others if trial.trial in names), len(tested))


def _rejected(p_values: dict[int, float]) -> set[int]:
    """Return the trials whose p-value is small enough after Holm's correction."""
    rejected: set[int] = set()
    for position, trial in enumerate(sorted(p_values, key=lambda one: (p_values[one], one))):
        if p_values[trial] > ALPHA / (len(p_values) - position):
            break
        rejected.add(trial)
    return rejected
