"""The lecture's baselines (Elhoseiny, Saleh, Elgammal, ICCV 2013): GPR, DA, and both.

GPR regresses hyperplanes of the seen classes on text; DA learns an asymmetric transform between the two domains.
Shapes: as in the table of baselines; x~ = [x; 1], hyperplanes (S, d + 1).
"""

import numpy as np
import torch
from torch import Tensor

from .baselines_closed_form import Array, Scorer, Training

HIGH, LOW = 2.0, -2.0  # where DA wants pairs of one class and of two
STEPS = 60  # of L-BFGS
PART = 1024  # vectors scored at a time
HYPERPLANE_STRENGTH = 1.0


def gaussian_processes(training: Training, noise: float = 0.1) -> Scorer:
    """Each coordinate of a hyperplane is a Gaussian process over text, with one kernel for all.

    c(t) = k(t)' (K + noise I)^-1 C, K_ij = exp(-|t_i - t_j|^2 / 2 s^2), s the median distance. The hyperplanes C of
    the seen classes are one-vs-all regularised least squares: the paper's linear SVM for hundreds of classes at once.
    """
    mean, scale, planes = _hyperplanes(training)
    width = _median_distance(training.texts)
    kernel = _rbf(training.texts, training.texts, width) + noise * np.eye(len(training.texts))
    offset = planes.mean(0)
    weights = np.linalg.solve(kernel, planes - offset)
    return lambda x, texts: _with_one((x - mean) / scale) @ (_rbf(texts, training.texts, width) @ weights + offset).T


def domain_adaptation(training: Training, strength: float = 0.01) -> Scorer:
    """min_W strength/2 |W|^2 + mean squared hinge of t' W x~ over pairs of one class and of two (Kulis et al. 2011).

    Pairs of one class should be above 2, others below -2; the two kinds weigh the same. L-BFGS from zero. Vectors are
    reduced to one mean and deviation; the texts are made orthogonal first, which changes W and no score. A ``training``
    remembers its transform.
    """
    mean, scale = training.x.mean(0), training.x.std(0) + 1e-6
    key = ("da", strength)
    if key not in training.known:
        training.known[key] = _transform(_with_one((training.x - mean) / scale), training, strength)
    w = training.known[key]
    return lambda x, texts: _with_one((x - mean) / scale) @ (texts @ w).T


def _transform(x: Array, training: Training, strength: float) -> Array:
    """W (p, d + 1) for vectors x~ (N, d + 1)."""
    from scipy.optimize import minimize

    basis = _basis(training.texts)
    pairs = _Pairs(torch.from_numpy(x).float(), torch.from_numpy(training.texts @ basis).float(), training.y)

    def objective(flat: Array) -> tuple[float, Array]:
        loss, slope = pairs.loss(torch.from_numpy(flat).float().view(basis.shape[1], x.shape[1]))
        return strength / 2 * float(flat @ flat) + loss, strength * flat + slope.double().numpy().ravel()

    start = np.zeros(basis.shape[1] * x.shape[1])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    transform: Array = basis @ found.reshape(basis.shape[1], x.shape[1])
    return transform


class _Pairs:
    """All pairs of a vector x~ (N, d + 1) and a text (S, r), a part of the vectors at a time: N x S scores are many."""

    def __init__(self, x: Tensor, texts: Tensor, y: Array) -> None:
        self.x, self.texts, self.y = x, texts, torch.from_numpy(y).unsqueeze(1)

    def loss(self, w: Tensor) -> tuple[float, Tensor]:
        """The mean squared hinge at ``w`` (r, d + 1), and its slope."""
        hyperplanes, total = self.texts @ w, 0.0
        slope = torch.zeros_like(hyperplanes)
        one, two = len(self.x), len(self.x) * (len(self.texts) - 1)
        for x, y in zip(torch.split(self.x, PART), torch.split(self.y, PART), strict=True):
            scores = x @ hyperplanes.T
            below = (HIGH - scores.gather(1, y)).clamp_(min=0)
            above = scores.sub_(LOW).clamp_(min=0).scatter_(1, y, 0.0)
            total += float(above.square().sum()) / two + float(below.square().sum()) / one
            slope += above.mul_(2 / two).scatter_(1, y, -2 * below / one).T @ x
        return total, self.texts.T @ slope


def gpr_with_adaptation(
    training: Training, strength: float = 0.01, noise: float = 0.1, *, programme: bool = False
) -> Scorer:
    """Both at once: by default the sum of the two scores, each with deviation 1 in training (late fusion).

    ``programme`` solves the paper's quadratic programme for each class instead, with squared slack:
    min c'c - t'W c + |c - c~|^2 / 2 + sum max(0, 1 + c' x~)^2 / N over the seen images as negatives. It is fragile
    where seen images look like those of the new class, so it is an option.
    """
    regressed, adapted = gaussian_processes(training, noise), domain_adaptation(training, strength)
    if programme:
        return lambda x, texts: _programme(training, regressed, adapted, x, texts)
    told = [(scorer, _spread(scorer, training)) for scorer in (regressed, adapted)]
    return lambda x, texts: sum((scorer(x, texts) / spread for scorer, spread in told), np.zeros(()))


def _spread(scorer: Scorer, training: Training) -> float:
    """The deviation of a scorer's scores on the training vectors, a part of them where they are many."""
    step = -(-len(training.x) // PART)
    return float(scorer(training.x[::step], training.texts).std()) or 1.0


def _programme(training: Training, regressed: Scorer, adapted: Scorer, x: Array, texts: Array) -> Array:
    """The classifiers of ``texts`` by the quadratic programme, and their scores of ``x``."""
    from scipy.optimize import minimize

    mean, scale, _ = _hyperplanes(training)
    probes = np.vstack([mean[None], mean + np.diag(scale)])  # a linear scorer at 0 and at each unit vector is its plane
    negatives, columns = _with_one((training.x - mean) / scale), []
    for text in texts[:, None]:
        planes = []
        for scorer in (regressed, adapted):
            values = scorer(probes, text)[:, 0]
            planes.append(np.append(values[1:] - values[0], values[0]))
        target, pull = planes

        def objective(c: Array, target: Array = target, pull: Array = pull) -> tuple[float, Array]:
            slack = np.clip(1 + negatives @ c, 0, None)
            loss = c @ c - pull @ c + ((c - target) ** 2).sum() / 2 + (slack**2).mean()
            return float(loss), 2 * c - pull + (c - target) + 2 * negatives.T @ slack / len(negatives)

        columns.append(minimize(objective, target, jac=True, method="L-BFGS-B").x)
    found: Array = _with_one((x - mean) / scale) @ np.stack(columns, 1)
    return found


def _hyperplanes(training: Training) -> tuple[Array, Array, Array]:
    """Mean and deviation of the vectors, and the seen classes' one-vs-all hyperplanes (S, d + 1)."""
    mean, scale = training.x.mean(0), training.x.std(0) + 1e-6
    x = _with_one((training.x - mean) / scale)
    counts = np.bincount(training.y, minlength=len(training.texts))
    own = _with_one((training.centroids - mean) / scale) * counts[:, None]
    planes = np.linalg.solve(x.T @ x + HYPERPLANE_STRENGTH * np.eye(x.shape[1]), (2 * own - x.sum(0)).T).T
    return mean, scale, planes


def _with_one(x: Array) -> Array:
    return np.hstack([x, np.ones((len(x), 1))])


def _rbf(a: Array, b: Array, width: float) -> Array:
    found: Array = np.exp(-_squares(a, b) / (2 * width**2))
    return found


def _squares(a: Array, b: Array) -> Array:
    found: Array = np.clip((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0, None)
    return found


def _median_distance(texts: Array) -> float:
    distances = np.sqrt(_squares(texts, texts))
    return float(np.median(distances[~np.eye(len(texts), dtype=bool)])) or 1.0


def _basis(texts: Array) -> Array:
    """An orthonormal basis (p, r) of what the training texts span."""
    _, values, rows = np.linalg.svd(texts, full_matrices=False)
    basis: Array = rows[values > 1e-9 * values.max()].T
    return basis
