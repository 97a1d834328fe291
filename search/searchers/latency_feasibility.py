"""The probability that a network is within the limit of latency, learned from the networks that have been timed.

The latency model of the space adds up over the layers, which devices do not always do: operations that run at the same
time, or that a compiler removes, cost less than their sum. A Gaussian process models the logarithm of measured over
predicted latency, by the features that the searcher uses. It is fitted again as networks are timed, with their noise,
and the probability weighs the acquisition (Gelbart et al. 2014, arXiv 1403.5607). The space has a wider limit of the
predicted latency (``LATENCY_MARGIN``): with the limit itself, the error of the prediction excludes the largest networks
that keep it, which are often the best.

Shapes: n timed networks, m candidates.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...results.database.records import History, Trial
from ...spaces.architectures.budget import LATENCY
from ...spaces.constrained.vectorized import Codes
from .candidate_pool import CandidatePool
from .features import Floats, Groups, ScaledFeatures
from .ranking import MIN_FIT_TRIALS, last_refit, latest_and_best

if TYPE_CHECKING:
    from .gp_regression import Weights

LATENCY_MARGIN = 1.2  # predicted latency of the networks of the space, relative to the limit
FIRST_DEVIATION = 0.1  # of log latency, while too few networks are timed; typical of ``latency_limit.py``
MAX_TIMED = 200  # timed trials that the process sees
MIN_DEVIATION = 0.02  # of the logarithm: repeated measurements of one network differ by a few percent
MIN_PROBABILITY = 0.5  # candidates that are more likely outside than inside are proposed only if no other is left


class LatencyFeasibility:
    """The probability that candidates of ``pool`` keep a measured latency of ``limit_ms``.

    Everything can be computed again from the history.
    """

    def __init__(self, pool: CandidatePool, limit_ms: float) -> None:
        self._pool, self.limit_ms = pool, limit_ms
        self._fitted: tuple[tuple[Trial, ...], Residual] | None = None
        self._weights: tuple[tuple[Trial, ...], Weights] | None = None

    def meets_limit(self, trial: Trial) -> bool:
        """Return whether a trial was measured within the limit."""
        return trial.latency_ms is not None and trial.latency_ms <= self.limit_ms

    def of(self, codes: Codes, history: History, features: ScaledFeatures) -> Floats:
        """Return the probability (m,) of ``codes`` (m, steps); while too few networks are timed, by the prediction."""
        from scipy.special import ndtr  # scipy takes 0.2 s to import

        residual = self._residual(history, features)
        mean, deviation = (0.0, FIRST_DEVIATION) if residual is None else residual.at(features.of_networks(codes))
        return np.asarray(ndtr((np.log(1e6 * self.limit_ms) - self._log_predicted(codes) - mean) / deviation))

    def _residual(self, history: History, features: ScaledFeatures) -> "Residual | None":
        timed = tuple(trial for trial in history.finished if trial.latency_ms is not None and trial.latency_ms > 0)
        if len(timed) < MIN_FIT_TRIALS:
            return None
        if self._fitted is None or self._fitted[0] != timed:
            x, errors = self._errors(latest_and_best(timed, MAX_TIMED), features)
            self._fitted = timed, Residual(x, errors, features.network_groups, self._fit(timed, features))
        return self._fitted[1]

    def _fit(self, timed: tuple[Trial, ...], features: ScaledFeatures) -> "Weights":
        """Return the last fitted weights; the number of timed trials alone decides when there is a new fit."""
        from .gp_regression import fit_weights

        early = timed[: last_refit(len(timed))]
        if self._weights is None or self._weights[0] != early:
            x, errors = self._errors(latest_and_best(early, MAX_TIMED), features)
            self._weights = early, fit_weights(x, standardized(errors)[0], features.network_groups)
        return self._weights[1]

    def _errors(self, trials: Sequence[Trial], features: ScaledFeatures) -> tuple[Floats, Floats]:
        """Return the features (n, d) of timed trials, and the logarithms (n,) of measured over predicted latency."""
        codes = np.stack([self._pool.code(trial.fingerprint, trial.choices) for trial in trials])
        measured = np.log([1e6 * (trial.latency_ms or 0.0) for trial in trials])
        return features.of_networks(codes), measured - self._log_predicted(codes)

    def _log_predicted(self, codes: Codes) -> Floats:
        """Return the logarithm of the predicted nanoseconds (m,)."""
        column = self._pool.constrained.limited.index(LATENCY)
        return np.asarray(np.log(np.maximum(self._pool.batch.costs_of(codes)[:, column], 1)))


class Residual:
    """A Gaussian process on ``errors`` (n,), the logarithms of measured over predicted latency at ``x`` (n, d)."""

    def __init__(self, x: Floats, errors: Floats, groups: Groups, weights: "Weights") -> None:
        from .gp_regression import Posterior, Process

        targets, self._mean, self._deviation = standardized(errors)
        self._noise = weights.noise
        self._posterior = Posterior(Process(weights, groups, x), targets)

    def at(self, x: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the deviation (m,) of a new measurement at ``x`` (m, d), its noise included."""
        mean, deviation = self._posterior.at(x)
        return self._mean + self._deviation * mean, self._deviation * np.sqrt(deviation**2 + self._noise)


def standardized(errors: Floats) -> tuple[Floats, float, float]:
    """Return ``errors`` (n,) minus their mean in units of their deviation, the mean and the deviation."""
    mean, deviation = float(errors.mean()), max(float(errors.std()), MIN_DEVIATION)
    return (errors - mean) / deviation, mean, deviation


def likely_first(scores: Floats, probability: Floats) -> list[int]:
    """Return the rows by decreasing ``scores``: first those that are more likely inside than outside.

    The order of ties is that of the rows, on every machine.
    """
    rows: list[int] = np.lexsort((-scores, probability < MIN_PROBABILITY)).tolist()
    return rows
