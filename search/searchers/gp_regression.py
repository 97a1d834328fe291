"""Exact Gaussian process regression over grouped features (Rasmussen and Williams 2006, algorithm 2.1).

The kernel is Matern 5/2 with a weight for each group of features, a scale and noise, fitted by maximum a posteriori.
It is implemented here because no library has everything that the searcher needs: one weight for all features of a
choice, priors on the weights, and a fit of 200 trials in tens of milliseconds.

Shapes: n trials, m candidates, d features, g groups.
"""

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]  # (d,): the group of each feature, 0 to g - 1

# log-normal priors: (median, standard deviation of the logarithm)
WEIGHT_PRIOR, SCALE_PRIOR, NOISE_PRIOR = (0.3, 1.2), (1.0, 0.7), (0.02, 1.5)
MIN_NOISE = 1e-4  # noise variance of targets with unit variance; keeps the kernel matrix positive definite
MAX_ITERATIONS = 40  # L-BFGS iterations of one fit


@dataclass(frozen=True)
class Weights:
    """The fitted hyperparameters: a weight for each group (g,), the variances of the process and of the noise."""

    groups: Floats
    scale: float
    noise: float


def initial_weights(n_groups: int) -> Weights:
    """Return the medians of the priors: the weights before there are targets."""
    return Weights(np.full(n_groups, WEIGHT_PRIOR[0]), SCALE_PRIOR[0], NOISE_PRIOR[0])


def fit_weights(x: Floats, z: Floats, groups: Groups, known: Floats | float = 0.0) -> Weights:
    """Fit the weights to the targets ``z`` (n,) at ``x`` (n, d) by maximum a posteriori.

    ``known`` (n, n) is the covariance of the targets that the process does not have to explain.
    """
    g = int(groups.max()) + 1
    # squared distances in each group (g, n, n): they do not depend on the weights, so they are computed once
    distances = np.stack([cdist(x[:, groups == i], x[:, groups == i], "sqeuclidean") for i in range(g)])
    medians = np.log([WEIGHT_PRIOR[0]] * g + [SCALE_PRIOR[0], NOISE_PRIOR[0]])
    stds = np.array([WEIGHT_PRIOR[1]] * g + [SCALE_PRIOR[1], NOISE_PRIOR[1]])

    def loss(t: Floats) -> tuple[float, Floats]:
        value, gradient = _loss(np.exp(t), distances, z, known)
        deviation = (t - medians) / stds
        return value + 0.5 * float(deviation @ deviation), gradient + deviation / stds

    # the logarithms are optimised, which keeps all values positive; the bounds keep their exponentials finite
    bounds, options = [(-9, 4)] * (g + 2), {"maxiter": MAX_ITERATIONS}
    result = minimize(loss, medians, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    fitted = np.exp(result.x)
    return Weights(fitted[:g], float(fitted[g]), float(fitted[g + 1]) + MIN_NOISE)


def _loss(values: Floats, distances: Floats, z: Floats, known: Floats | float) -> tuple[float, Floats]:
    """Return the negative log likelihood of ``z`` and its gradient by the logarithms of ``values``.

    ``values`` (g + 2,) are the weights, the scale and the noise; ``distances`` (g, n, n) are squared; ``known`` (n, n)
    is added to the covariance. The constant of the likelihood is left out.
    """
    g, n = len(distances), len(z)
    weights, scale, noise = values[:g], values[g], values[g + 1]
    root = np.sqrt(5 * (weights @ distances.reshape(g, -1)).reshape(n, n))
    decay = np.exp(-root)
    kernel = (1 + root + root**2 / 3) * decay
    lower = np.linalg.cholesky(scale * kernel + (noise + MIN_NOISE) * np.eye(n) + known)
    inverse = cho_solve((lower, True), np.eye(n))
    solved = inverse @ z
    outer = 0.5 * (inverse - np.outer(solved, solved))
    by_distance = outer * (-5 / 6 * scale * (1 + root) * decay)
    gradient = np.concatenate(
        [
            distances.reshape(g, -1) @ by_distance.ravel() * weights,
            [(outer * kernel).sum() * scale, np.trace(outer) * noise],
        ]
    )
    return float(0.5 * z @ solved + np.log(np.diag(lower)).sum()), gradient


class Process:
    """A Gaussian process that is observed with noise at ``x`` (n, d), n at least 1; the targets are given later."""

    def __init__(self, weights: Weights, groups: Groups, x: Floats) -> None:
        # a weight of a squared distance is the square of a factor of the features
        self.weights, self._feature_scale = weights, np.sqrt(weights.groups[groups])
        self._x = x * self._feature_scale
        self._known: Floats | float = 0.0

    def plus(self, known: Floats | float) -> "Process":
        """Return the sum of this process and an independent one with the covariance ``known`` (n, n) at ``x``."""
        total = copy(self)
        total._known = known
        return total

    @cached_property
    def lower(self) -> Floats:
        """The Cholesky factor (n, n) of the covariance of the observations."""
        noise = self.weights.noise * np.eye(len(self._x))
        return np.asarray(np.linalg.cholesky(self._scaled_kernel(self._x, self._x) + noise + self._known))

    def kernel(self, x: Floats) -> Floats:
        """Return the kernel (m, n) of ``x`` (m, d) and the observed points."""
        return self._scaled_kernel(x * self._feature_scale, self._x)

    def between(self, x: Floats, other: Floats) -> Floats:
        """Return the kernel (m, k) of ``x`` (m, d) and ``other`` (k, d)."""
        return self._scaled_kernel(x * self._feature_scale, other * self._feature_scale)

    def leave_one_out(self, z: Floats) -> tuple[Floats, Floats]:
        """Return the error and the deviation (n,) when each of the targets ``z`` (n,) is predicted from the others.

        Rasmussen and Williams 2006, section 5.4.2.
        """
        inverse = cho_solve((self.lower, True), np.eye(len(z)))
        variances = 1 / np.diag(inverse)
        return np.asarray((inverse @ z) * variances), np.sqrt(variances)

    def _scaled_kernel(self, x: Floats, other: Floats) -> Floats:
        root = np.sqrt(5 * cdist(x, other, "sqeuclidean"))
        return np.asarray(self.weights.scale * (1 + root + root**2 / 3) * np.exp(-root))


class Posterior:
    """The posterior of the function of ``process``, given its targets ``z`` (n,)."""

    def __init__(self, process: Process, z: Floats) -> None:
        self._process = process
        self._solved = cho_solve((process.lower, True), z)

    def at(self, x: Floats, known: Floats | float = 0.0, known_variance: Floats | float = 0.0) -> tuple[Floats, Floats]:
        """Return the mean (m,) and the standard deviation (m,) at ``x`` (m, d).

        ``known`` (m, n) and ``known_variance`` (m,) are the covariance with the targets and the variance of the process
        that :meth:`Process.plus` added.
        """
        mean, whitened = self.whitened(x, known)
        # rounding can make the variance at an observed point slightly negative
        variance = np.maximum(self._process.weights.scale + known_variance - (whitened**2).sum(axis=0), 1e-12)
        return mean, np.sqrt(variance)

    def whitened(self, x: Floats, known: Floats | float = 0.0) -> tuple[Floats, Floats]:
        """Return the mean (m,) at ``x`` (m, d), and the columns (n, m) whose products are the covariances explained."""
        kernel = self._process.kernel(x) + known
        return np.asarray(kernel @ self._solved), solve_triangular(self._process.lower, kernel.T, lower=True)


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """Return the expected improvement (m,) over ``best`` (Jones et al. 1998); values below ``best`` count as zero."""
    u = (mean - best) / deviation
    density = np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (u * ndtr(u) + density))


def normal_scores(values: Floats) -> Floats:
    """Return the ranks of ``values`` (n,) as quantiles of the standard normal; ties get their mean rank.

    Ranks reduce the influence of outliers, such as failed trials.
    """
    _, rank, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    middle = ends - (count - 1) / 2
    return np.asarray(ndtri((middle[rank] - 0.5) / len(values)))
