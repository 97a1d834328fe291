"""The surrogate: an exact Gaussian process over grouped features (Rasmussen and Williams 2006, algorithm 2.1).

Matern 5/2 with a weight for each group of features, a scale and noise, learned by maximum a posteriori. A model of its
own because what a searcher needs is exactly what libraries lack together: one weight for all features of a choice,
priors on the weights, and a fit of 200 trials in tens of milliseconds.

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

WEIGHT, SCALE, NOISE = (0.3, 1.2), (1.0, 0.7), (0.02, 1.5)  # log-normal priors: median, spread of the logarithm
JITTER = 1e-4  # least noise, of targets with unit variance
STEPS = 40  # of the fit


@dataclass(frozen=True)
class Weights:
    """What is learned: a weight for each group (g,), the process's variance and the noise's."""

    groups: Floats
    scale: float
    noise: float


def learn(x: Floats, z: Floats, groups: Groups) -> Weights:
    """The weights that explain ``z`` (n,) at ``x`` (n, d) best, the priors considered."""
    g = int(groups.max()) + 1
    apart = np.stack([cdist(x[:, groups == i], x[:, groups == i], "sqeuclidean") for i in range(g)])
    medians = np.log([WEIGHT[0]] * g + [SCALE[0], NOISE[0]])
    spreads = np.array([WEIGHT[1]] * g + [SCALE[1], NOISE[1]])

    def loss(t: Floats) -> tuple[float, Floats]:
        value, slope = _misfit(np.exp(t), apart, z)
        away = (t - medians) / spreads
        return value + 0.5 * float(away @ away), slope + away / spreads

    found = minimize(loss, medians, jac=True, method="L-BFGS-B", bounds=[(-9, 4)] * (g + 2), options={"maxiter": STEPS})
    learned = np.exp(found.x)
    return Weights(learned[:g], float(learned[g]), float(learned[g + 1]) + JITTER)


def _misfit(values: Floats, apart: Floats, z: Floats) -> tuple[float, Floats]:
    """Minus the log likelihood of ``z``, and its slope in the logarithms of ``values`` (weights, scale, noise)."""
    g, n = len(apart), len(z)
    weights, scale, noise = values[:g], values[g], values[g + 1]
    root = np.sqrt(5 * (weights @ apart.reshape(g, -1)).reshape(n, n))
    decay = np.exp(-root)
    kernel = (1 + root + root**2 / 3) * decay
    lower = np.linalg.cholesky(scale * kernel + (noise + JITTER) * np.eye(n))
    inverse = cho_solve((lower, True), np.eye(n))
    solved = inverse @ z
    outer = 0.5 * (inverse - np.outer(solved, solved))
    by_distance = outer * (-5 / 6 * scale * (1 + root) * decay)
    slope = np.concatenate(
        [
            apart.reshape(g, -1) @ by_distance.ravel() * weights,
            [(outer * kernel).sum() * scale, np.trace(outer) * noise],
        ]
    )
    return float(0.5 * z @ solved + np.log(np.diag(lower)).sum()), slope


class Posterior:
    """What is known of the function after ``z`` (n,) at ``x`` (n, d)."""

    def __init__(self, weights: Weights, groups: Groups, x: Floats, z: Floats) -> None:
        self._weights, self._stretch = weights, np.sqrt(weights.groups[groups])
        self._x = x * self._stretch
        kernel = self._kernel(self._x) + weights.noise * np.eye(len(x))
        self._lower = np.linalg.cholesky(kernel)
        self._solved = cho_solve((self._lower, True), z)

    def at(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation at ``x`` (m, d): (m,) each."""
        kernel = self._kernel(x * self._stretch)
        spread = solve_triangular(self._lower, kernel.T, lower=True)
        variance = np.maximum(self._weights.scale - (spread**2).sum(axis=0), 1e-12)
        return np.asarray(kernel @ self._solved), np.sqrt(variance)

    def _kernel(self, x: Floats) -> Floats:
        root = np.sqrt(5 * cdist(x, self._x, "sqeuclidean"))
        return np.asarray(self._weights.scale * (1 + root + root**2 / 3) * np.exp(-root))


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """How much above ``best`` a draw is expected to be, what is below counting as nothing (Jones et al. 1998)."""
    u = (mean - best) / deviation
    density = np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (u * ndtr(u) + density))


def normal_scores(values: Floats) -> Floats:
    """The values' ranks as quantiles of the standard normal; equals share theirs: outliers lose their weight."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    middle = ends - (count - 1) / 2
    return np.asarray(ndtri((middle[place] - 0.5) / len(values)))
