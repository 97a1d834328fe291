"""A model of scores: the weighted sum of what priors expect, plus a Gaussian process on the residual.

How much each prior is trusted, from 0 to 1, is learned by the leave-one-out likelihood of the trials (as the weights of
Feurer et al. 2018, arXiv 1802.02219). What a prior does not know is part of the variance (Tighineanu et al. 2022, arXiv
2111.06195), so that it misleads less where its own run has few trials.

Shapes: n trials, m candidates, d features, k priors.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from .features import Floats, Groups
from .gp_regression import Posterior, Process, Weights, fit_weights, initial_weights
from .ranking import MIN_FIT_TRIALS

RESIDUAL_STD = 0.4  # least deviation of the scores that no prior can predict, such as the noise of training
TRUST_STD = 0.5  # standard deviation of the trust in a prior around its first value
TRUST_STEPS = 9  # values of the trust that are compared


class Belief(Protocol):
    """The normal scores that a prior expects of m networks."""

    @property
    def mean(self) -> Floats:
        """The expected scores (m,)."""

    @property
    def variance(self) -> Floats:
        """The variance of each (m,), as far as it is part of covariances."""

    @property
    def doubt(self) -> float:
        """The variance of each that is part of no covariance."""

    def covariance(self, other: Any) -> Floats | float:
        """Return the covariance (m, n) with the n networks of ``other``, a belief of the same prior."""


Beliefs = Sequence[Belief]  # (k,), one for each prior


@dataclass(frozen=True)
class Fit:
    """What is learned from trials: the weights of the process, and the trust (k,) in the priors."""

    weights: Weights
    trust: Floats


def fit(x: Floats, z: Floats, groups: Groups, beliefs: Beliefs, first: Floats) -> Fit:
    """Fit the model to the scores ``z`` (n,) of trials with the features ``x`` (n, d).

    ``beliefs`` are those about the trials, ``first`` (k,) is the trust in the priors before there are trials.
    """
    start = initial_weights(int(groups.max()) + 1)
    trust = _fit_trust(Process(start, groups, x), z, beliefs, first) if beliefs else first
    if len(z) < MIN_FIT_TRIALS:
        return Fit(start, trust)
    prior = Prior.of(trust, beliefs)
    targets = z - prior.mean(beliefs)
    return Fit(
        fit_weights(x, targets - targets.mean() if beliefs else z, groups, prior.covariance(beliefs, beliefs)), trust
    )


def _fit_trust(process: Process, z: Floats, beliefs: Beliefs, first: Floats) -> Floats:
    """Return the trust (k,) with the highest leave-one-out likelihood: none below 0, together at most 1."""
    trust = first.copy()

    def density(position: int, value: float) -> float:
        changed = trust.copy()
        changed[position] = value
        prior = Prior.of(changed, beliefs)
        targets = z - prior.mean(beliefs)
        errors, deviations = process.plus(prior.covariance(beliefs, beliefs)).leave_one_out(targets - targets.mean())
        surprise = (errors / deviations) ** 2 + 2 * np.log(deviations)
        return -0.5 * float(surprise.sum() + (((changed - first) / TRUST_STD) ** 2).sum())

    for _ in range(min(len(beliefs), 2)):  # with one prior the first pass is exact
        for position in range(len(beliefs)):
            room = max(0.0, 1 - trust.sum() + trust[position])
            trust[position] = max(np.linspace(0, room, TRUST_STEPS), key=lambda value: density(position, value))
    return trust


@dataclass(frozen=True)
class Prior:
    """What all priors together expect: the sum of their beliefs times ``slopes`` (k,).

    A slope is the trust in a prior divided by the deviation that scores have if it is right.
    """

    slopes: Floats

    @classmethod
    def of(cls, trust: Floats, beliefs: Beliefs) -> "Prior":
        """Return the prior for ``trust`` (k,); ``beliefs`` are those about the trials."""
        deviations = [
            float(np.sqrt(one.mean.var() + one.variance.mean() + one.doubt + RESIDUAL_STD**2)) for one in beliefs
        ]
        return cls(trust / np.array(deviations) if deviations else trust)

    def mean(self, beliefs: Beliefs) -> Floats | float:
        """Return the expected scores (m,)."""
        return _total(slope * one.mean for slope, one in zip(self.slopes, beliefs, strict=True))

    def covariance(self, beliefs: Beliefs, others: Beliefs) -> Floats | float:
        """Return the covariance (m, n) of the expected scores of two groups of networks."""
        return _total(
            slope**2 * one.covariance(other)
            for slope, one, other in zip(self.slopes, beliefs, others, strict=True)
            if slope
        )

    def variance(self, beliefs: Beliefs) -> Floats | float:
        """Return the variance of the expected scores (m,)."""
        return _total(slope**2 * one.variance for slope, one in zip(self.slopes, beliefs, strict=True))


def _total(parts: Iterable[Floats | float]) -> Floats | float:
    total: Floats | float = 0.0
    for part in parts:
        total = total + part
    return total


class Model:
    """The model after trials at ``x`` (n, d), whose scores are the prior plus ``offset`` plus ``targets`` (n,).

    ``beliefs`` are those about the trials.
    """

    def __init__(
        self, fit: Fit, groups: Groups, x: Floats, beliefs: Beliefs, targets: Floats, offset: float = 0.0
    ) -> None:
        self.fit, self._groups, self._x, self.beliefs = fit, groups, x, beliefs
        self._targets, self._offset = targets, offset
        self.prior = Prior.of(fit.trust, beliefs)
        self.process = Process(fit.weights, groups, x).plus(self.prior.covariance(beliefs, beliefs))
        self.posterior = Posterior(self.process, targets)

    @classmethod
    def of(cls, fit: Fit, groups: Groups, x: Floats, beliefs: Beliefs, z: Floats) -> "Model":
        """Return the model after trials with the scores ``z`` (n,)."""
        if not beliefs:
            return cls(fit, groups, x, beliefs, z)
        residual = z - Prior.of(fit.trust, beliefs).mean(beliefs)
        return cls(fit, groups, x, beliefs, residual - residual.mean(), float(residual.mean()))

    def expecting(self, x: Floats, beliefs: Beliefs, together: Beliefs) -> "Model":
        """Return the model after further trials at ``x`` (m, d) with the scores that this model expects of them.

        ``beliefs`` are those about the further trials, ``together`` those about all trials.
        """
        residual = self.posterior.at(x, self.prior.covariance(beliefs, self.beliefs))[0]
        more = copy(self)
        more._x, more._targets = np.concatenate([self._x, x]), np.concatenate([self._targets, residual])
        more.beliefs = together
        known = self.prior.covariance(together, together)  # with the slopes of the trials that have ended
        more.process = Process(self.fit.weights, self._groups, more._x).plus(known)
        more.posterior = Posterior(more.process, more._targets)
        return more

    @property
    def z(self) -> Floats:
        """The scores of the trials (n,), as observed or expected."""
        return np.asarray(
            self._targets + self._offset + self.prior.mean(self.beliefs) if self.beliefs else self._targets
        )

    def at(self, x: Floats, beliefs: Beliefs) -> tuple[Floats, Floats]:
        """Return the mean (m,) and the standard deviation (m,) of the scores at ``x`` (m, d)."""
        shared, variance = self.prior.covariance(beliefs, self.beliefs), self.prior.variance(beliefs)
        mean, deviation = self.posterior.at(x, shared, variance)
        return (mean + self._offset + self.prior.mean(beliefs) if beliefs else mean), deviation

    def belief(self, x: Floats, beliefs: Beliefs) -> "ModelBelief":
        """Return what this model, as a prior of another one, expects at ``x`` (m, d)."""
        mean, whitened = self.posterior.whitened(x, self.prior.covariance(beliefs, self.beliefs))
        return ModelBelief(mean + self._offset + self.prior.mean(beliefs), self.process, x, whitened)

    @cached_property
    def explained(self) -> float:
        """The share, 0 to 1, of the variance of the scores that the model predicts when each trial is left out."""
        errors, _ = self.process.leave_one_out(self._targets)
        total = float(((self.z - self.z.mean()) ** 2).sum())
        return max(0.0, 1 - float((errors**2).sum()) / total) if total > 0 else 0.0

    @cached_property
    def explained_by_priors(self) -> float:
        """The share, 0 to 1, of the variance of the scores that the priors alone explain."""
        total = float(((self.z - self.z.mean()) ** 2).sum())
        return max(0.0, 1 - float((self._targets**2).sum()) / total) if total > 0 else 0.0


@dataclass(frozen=True)
class ModelBelief:
    """What a model expects at ``x`` (m, d): the mean (m,), and the columns (n, m) that give the covariances."""

    mean: Floats
    process: Process
    x: Floats
    whitened: Floats
    doubt: float = 0.0

    @cached_property
    def variance(self) -> Floats:
        """The variance of each network (m,)."""
        return np.asarray(np.maximum(self.process.weights.scale - (self.whitened**2).sum(axis=0), 0.0))

    def covariance(self, other: "ModelBelief") -> Floats:
        """Return the covariance (m, n) with the networks of ``other``."""
        return np.asarray(self.process.between(self.x, other.x) - self.whitened.T @ other.whitened)
