"""The baselines of the lecture (Elhoseiny, Saleh, Elgammal, ICCV 2013): GPR, DA, and their combination.

GPR predicts the hyperplanes of classes from text by Gaussian process regression. DA learns an asymmetric transform
between the text domain and the image domain. Shapes: as in ``baselines.py``; x~ = [x; 1], hyperplanes (S, d + 1).
"""

import numpy as np
import torch
from torch import Tensor

from .baselines_closed_form import Array, Scorer, TrainingData

SAME_CLASS_MIN, OTHER_CLASS_MAX = 2.0, -2.0  # bounds of DA's scores for a vector and the text of its class or another
MAX_LBFGS_STEPS = 60
CHUNK = 1024  # vectors scored together
HYPERPLANE_STRENGTH = 1.0


def gaussian_processes(data: TrainingData, noise: float = 0.1) -> Scorer:
    """Predict each coordinate of a hyperplane by a Gaussian process over text, with one kernel for all coordinates.

    c(t) = k(t)' (K + noise I)^-1 C, K_ij = exp(-|t_i - t_j|^2 / 2 s^2), s the median distance. The hyperplanes C of the
    seen classes are one-vs-all regularised least squares, a fast replacement of the paper's linear SVM for hundreds of
    classes.
    """
    mean, scale, planes = _hyperplanes(data)
    width = _median_distance(data.texts)
    kernel = _rbf(data.texts, data.texts, width) + noise * np.eye(len(data.texts))
    offset = planes.mean(0)  # the process has mean zero, so it models deviations from the mean hyperplane
    weights = np.linalg.solve(kernel, planes - offset)
    return lambda x, texts: _append_one((x - mean) / scale) @ (_rbf(texts, data.texts, width) @ weights + offset).T


def domain_adaptation(data: TrainingData, strength: float = 0.01) -> Scorer:
    """Minimise strength/2 |W|^2 + mean squared hinge of t' W x~ over pairs of a text and a vector (Kulis et al. 2011).

    The score of a vector should be above 2 for the text of its class and below -2 for other texts; both kinds of pairs
    have the same total weight. L-BFGS starts from zero. Vectors are standardised. The texts are expressed in an
    orthonormal basis, which changes W but no score. The transform is cached in ``data.cache``.
    """
    mean, scale = data.x.mean(0), data.x.std(0) + 1e-6
    key = ("da", strength)
    if key not in data.cache:
        data.cache[key] = _transform(_append_one((data.x - mean) / scale), data, strength)
    w = data.cache[key]
    return lambda x, texts: _append_one((x - mean) / scale) @ (texts @ w).T


def _transform(x: Array, data: TrainingData, strength: float) -> Array:
    """Return W (p, d + 1) for vectors x~ (N, d + 1)."""
    from scipy.optimize import minimize

    basis = _basis(data.texts)
    pairs = _Pairs(torch.from_numpy(x).float(), torch.from_numpy(data.texts @ basis).float(), data.y)

    def objective(flat: Array) -> tuple[float, Array]:
        loss, slope = pairs.loss(torch.from_numpy(flat).float().view(basis.shape[1], x.shape[1]))
        return strength / 2 * float(flat @ flat) + loss, strength * flat + slope.double().numpy().ravel()

    start = np.zeros(basis.shape[1] * x.shape[1])
    solution = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_LBFGS_STEPS}).x
    transform: Array = basis @ solution.reshape(basis.shape[1], x.shape[1])
    return transform


class _Pairs:
    """All pairs of a vector x~ (N, d + 1) and a text (S, r), scored in chunks because N x S scores need much memory."""

    def __init__(self, x: Tensor, texts: Tensor, y: Array) -> None:
        self.x, self.texts, self.y = x, texts, torch.from_numpy(y).unsqueeze(1)

    def loss(self, w: Tensor) -> tuple[float, Tensor]:
        """Return the mean squared hinge at ``w`` (r, d + 1), and its gradient."""
        hyperplanes, total = self.texts @ w, 0.0
        slope = torch.zeros_like(hyperplanes)
        same, other = len(self.x), len(self.x) * (len(self.texts) - 1)  # numbers of pairs of both kinds
        for x, y in zip(torch.split(self.x, CHUNK), torch.split(self.y, CHUNK), strict=True):
            scores = x @ hyperplanes.T
            below = (SAME_CLASS_MIN - scores.gather(1, y)).clamp_(min=0)
            above = scores.sub_(OTHER_CLASS_MAX).clamp_(min=0).scatter_(1, y, 0.0)
            total += float(above.square().sum()) / other + float(below.square().sum()) / same
            slope += above.mul_(2 / other).scatter_(1, y, -2 * below / same).T @ x
        return total, self.texts.T @ slope


def gpr_with_adaptation(
    data: TrainingData, strength: float = 0.01, noise: float = 0.1, *, programme: bool = False
) -> Scorer:
    """Combine GPR and DA: by default the sum of both scores, each scaled to deviation 1 on training data (late fusion).

    ``programme`` solves the paper's quadratic programme for each class instead, with squared slack:
    min c'c - t'W c + |c - c~|^2 / 2 + sum max(0, 1 + c' x~)^2 / N, with the seen images as negatives. It is an option
    because it fails if seen images are similar to images of the new class.
    """
    regressed, adapted = gaussian_processes(data, noise), domain_adaptation(data, strength)
    if programme:
        return lambda x, texts: _solve_programme(data, regressed, adapted, x, texts)
    weighted = [(scorer, _spread(scorer, data)) for scorer in (regressed, adapted)]
    return lambda x, texts: sum((scorer(x, texts) / spread for scorer, spread in weighted), np.zeros(()))


def _spread(scorer: Scorer, data: TrainingData) -> float:
    """Return the standard deviation of the scores on at most ``CHUNK`` training vectors."""
    step = -(-len(data.x) // CHUNK)  # rounded up
    return float(scorer(data.x[::step], data.texts).std()) or 1.0


def _solve_programme(data: TrainingData, regressed: Scorer, adapted: Scorer, x: Array, texts: Array) -> Array:
    """Return the scores of ``x`` by classifiers of ``texts`` that solve the quadratic programme."""
    from scipy.optimize import minimize

    mean, scale, _ = _hyperplanes(data)
    # scores at 0 and at each unit vector determine the hyperplane of a linear scorer
    probes = np.vstack([mean[None], mean + np.diag(scale)])
    negatives, columns = _append_one((data.x - mean) / scale), []
    for text in texts[:, None]:
        planes = []
        for scorer in (regressed, adapted):
            values = scorer(probes, text)[:, 0]
            planes.append(np.append(values[1:] - values[0], values[0]))
        predicted, transformed = planes

        # defaults bind the values of this iteration
        def objective(c: Array, predicted: Array = predicted, transformed: Array = transformed) -> tuple[float, Array]:
            slack = np.clip(1 + negatives @ c, 0, None)
            loss = c @ c - transformed @ c + ((c - predicted) ** 2).sum() / 2 + (slack**2).mean()
            return float(loss), 2 * c - transformed + (c - predicted) + 2 * negatives.T @ slack / len(negatives)

        columns.append(minimize(objective, predicted, jac=True, method="L-BFGS-B").x)
    scores: Array = _append_one((x - mean) / scale) @ np.stack(columns, 1)
    return scores


def _hyperplanes(data: TrainingData) -> tuple[Array, Array, Array]:
    """Return the mean and deviation of the vectors, and the seen classes' one-vs-all hyperplanes (S, d + 1)."""
    mean, scale = data.x.mean(0), data.x.std(0) + 1e-6
    x = _append_one((data.x - mean) / scale)
    counts = np.bincount(data.y, minlength=len(data.texts))
    own = _append_one((data.centroids - mean) / scale) * counts[:, None]
    planes = np.linalg.solve(x.T @ x + HYPERPLANE_STRENGTH * np.eye(x.shape[1]), (2 * own - x.sum(0)).T).T
    return mean, scale, planes


def _append_one(x: Array) -> Array:
    return np.hstack([x, np.ones((len(x), 1))])


def _rbf(a: Array, b: Array, width: float) -> Array:
    kernel: Array = np.exp(-_squared_distances(a, b) / (2 * width**2))
    return kernel


def _squared_distances(a: Array, b: Array) -> Array:
    # rounding can make a squared distance slightly negative
    squares: Array = np.clip((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0, None)
    return squares


def _median_distance(texts: Array) -> float:
    distances = np.sqrt(_squared_distances(texts, texts))
    return float(np.median(distances[~np.eye(len(texts), dtype=bool)])) or 1.0


def _basis(texts: Array) -> Array:
    """Return an orthonormal basis (p, r) of the span of the training texts."""
    _, values, rows = np.linalg.svd(texts, full_matrices=False)
    basis: Array = rows[values > 1e-9 * values.max()].T
    return basis
