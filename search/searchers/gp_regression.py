"""Exact Gaussian process regression over grouped features (Rasmussen and Williams 2006, algorithm 2.1).

The kernel is Matern 5/2 with a weight for each group of features, a scale and noise, fitted by maximum a posteriori.
It is implemented here because no library has everything that the searcher needs: one weight for all features of a
choice, priors on the weights, and a fit of 200 trials in tens of milliseconds.

Shapes: n trials, m candidates, d features, g groups.
"""

from dataclasses import dataclass

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


def fit_weights(x: Floats, z: Floats, groups: Groups) -> Weights:
    """Fit the weights to the targets ``z`` (n,) at ``x`` (n, d) by maximum a posteriori."""
    g = int(groups.max()) + 1
    # squared distances in each group (g, n, n): they do not depend on the weights, so they are computed once
    distances = np.stack([cdist(x[:, groups == i], x[:, groups == i], "sqeuclidean") for i in range(g)])
    medians = np.log([WEIGHT_PRIOR[0]] * g + [SCALE_PRIOR[0], NOISE_PRIOR[0]])
    stds = np.array([WEIGHT_PRIOR[1]] * g + [SCALE_PRIOR[1], NOISE_PRIOR[1]])

    def loss(t: Floats) -> tuple[float, Floats]:
        value, gradient = _loss(np.exp(t), distances, z)
        deviation = (t - medians) / stds
        return value + 0.5 * float(deviation @ deviation), gradient + deviation / stds

    # the logarithms are optimised, which keeps all values positive; the bounds keep their exponentials finite
    bounds, options = [(-9, 4)] * (g + 2), {"maxiter": MAX_ITERATIONS}
    result = minimize(loss, medians, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    fitted = np.exp(result.x)
    return Weights(fitted[:g], float(fitted[g]), float(fitted[g + 1]) + MIN_NOISE)


def _loss(values: Floats, distances: Floats, z: Floats) -> tuple[float, Floats]:
    """Return the negative log likelihood of ``z`` and its gradient by the logarithms of ``values``.

    ``values`` (g + 2,) are the weights, the scale and the noise; ``distances`` (g, n, n) are squared. The constant of
    the likelihood is left out.
    """
    g, n = len(distances), len(z)
    weights, scale, noise = values[:g], values[g], values[g + 1]
    root = np.sqrt(5 * (weights @ distances.reshape(g, -1)).reshape(n, n))
    decay = np.exp(-root)
    kernel = (1 + root + root**2 / 3) * decay
    lower = np.linalg.cholesky(scale * kernel + (noise + MIN_NOISE) * np.eye(n))
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


class Posterior:
    """The posterior of the function, given the targets ``z`` (n,) at ``x`` (n, d)."""

    def __init__(self, weights: Weights, groups: Groups, x: Floats, z: Floats) -> None:
        # a weight of a squared distance is the square of a factor of the features
        self._weights, self._feature_scale = weights, np.sqrt(weights.groups[groups])
        self._x = x * self._feature_scale
        kernel = self._kernel(self._x) + weights.noise * np.eye(len(x))
        self._lower = np.linalg.cholesky(kernel)
        self._solved = cho_solve((self._lower, True), z)

    def at(self, x: Floats) -> tuple[Floats, Floats]:
        """Return the mean (m,) and the standard deviation (m,) at ``x`` (m, d)."""
        kernel = self._kernel(x * self._feature_scale)
        whitened = solve_triangular(self._lower, kernel.T, lower=True)
        # rounding can make the variance at an observed point slightly negative
        variance = np.maximum(self._weights.scale - (whitened**2).sum(axis=0), 1e-12)
        return np.asarray(kernel @ self._solved), np.sqrt(variance)

    def _kernel(self, x: Floats) -> Floats:
        root = np.sqrt(5 * cdist(x, self._x, "sqeuclidean"))
        return np.asarray(self._weights.scale * (1 + root + root**2 / 3) * np.exp(-root))


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
