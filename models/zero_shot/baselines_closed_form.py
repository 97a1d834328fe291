"""Baselines with a closed form: random scores, ridge regression from text to image centroids, and ESZSL.

Shapes: as in ``baselines.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray
Scorer = Callable[[Array, Array], Array]  # (vectors (M, d), texts (C, p)) -> scores (M, C)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The training data of every baseline: ``x`` (N, d), ``y`` (N,) in 0..S-1, ``texts`` (S, p), and a seed."""

    x: Array
    y: Array
    texts: Array
    seed: int = 0
    cache: dict[tuple[str, float], Any] = field(default_factory=dict, repr=False)  # results shared by two baselines

    @cached_property
    def centroids(self) -> Array:
        """The mean vector of each seen class, (S, d)."""
        sums = np.zeros((len(self.texts), self.x.shape[1]))
        np.add.at(sums, self.y, self.x)
        return sums / np.bincount(self.y, minlength=len(self.texts))[:, None]


def random_scores(data: TrainingData) -> Scorer:
    """Return random scores, drawn with the seed."""
    rng = np.random.default_rng(data.seed)
    return lambda x, texts: rng.random((len(x), len(texts)))


def ridge_to_centroid(data: TrainingData, strength: float = 1.0) -> Scorer:
    """Fit A = argmin |M - T A|^2 + strength |A|^2, M the centroids of seen classes; the score is cos(x, A' t).

    The regression maps text to the image space, which has fewer hubs than the reverse (Zhang et al. 2017). Vectors and
    texts are centred with the training means.
    """
    centre, texts_mean = data.x.mean(0), data.texts.mean(0)
    a = ridge_map(data, strength)
    return lambda x, texts: unit(x - centre) @ unit((texts - texts_mean) @ a).T


def eszsl(data: TrainingData, gamma: float = 1.0, strength: float = 1.0) -> Scorer:
    """Compute W = (X X' + gamma I)^-1 X Y S' (S S' + strength I)^-1, Y in {-1, 1} (Romera-Paredes and Torr 2015).

    The score is x' W a. Vectors are centred, texts are not.
    """
    centre, w = data.x.mean(0), eszsl_map(data, gamma, strength)
    return lambda x, texts: (x - centre) @ (texts @ w).T


def ridge_map(data: TrainingData, strength: float) -> Array:
    """Return A (p, d) of :func:`ridge_to_centroid`."""
    return _ridge(data.texts - data.texts.mean(0), data.centroids - data.x.mean(0), strength)


def eszsl_map(data: TrainingData, gamma: float, strength: float) -> Array:
    """Return W' (p, d) of :func:`eszsl`."""
    x, s = (data.x - data.x.mean(0)).T, data.texts.T
    # X Y without the N x S matrix Y: twice the sum of each class minus the sum of all vectors
    xy = 2 * (data.centroids - data.x.mean(0)).T * np.bincount(data.y, minlength=s.shape[1]) - x.sum(1, keepdims=True)
    # two linear systems instead of inverses: faster and numerically more stable
    left = np.linalg.solve(x @ x.T + gamma * np.eye(len(x)), xy) @ s.T
    return _solve_gram(s, left.T, strength)


def _ridge(t: Array, targets: Array, strength: float) -> Array:
    """Return (T'T + strength I)^-1 T' targets for T (S, p); the smaller of the systems S x S and p x p is solved."""
    if len(t) < t.shape[1]:
        solution: Array = t.T @ np.linalg.solve(t @ t.T + strength * np.eye(len(t)), targets)
        return solution
    return np.linalg.solve(t.T @ t + strength * np.eye(t.shape[1]), t.T @ targets)


def _solve_gram(s: Array, right: Array, strength: float) -> Array:
    """Return (S S' + strength I)^-1 right for S (p, C); with fewer classes than entries a C x C system is solved.

    By Woodbury's identity it is (right - S (S'S + strength I)^-1 S' right) / strength.
    """
    entries, classes = s.shape
    if classes < entries:
        solution: Array = (right - s @ np.linalg.solve(s.T @ s + strength * np.eye(classes), s.T @ right)) / strength
        return solution
    return np.linalg.solve(s @ s.T + strength * np.eye(entries), right)


def text_basis(texts: Array) -> Array | None:
    """Return an orthonormal basis (p, r) of the span of texts (S, p); None unless there are fewer texts than entries.

    A linear map that is learned from S texts, from zero, depends on a text through its coordinates in this basis
    alone. With few classes and many words the map (p, d) becomes one of (r, d). Texts that are all zero, such as the
    centred text of a single class, have no basis either.
    """
    if len(texts) >= texts.shape[1] or not texts.any():
        return None
    _, values, rows = np.linalg.svd(texts, full_matrices=False)
    basis: Array = rows[values > 1e-9 * values.max()].T
    return basis


def unit(rows: Array) -> Array:
    """Scale each row to length 1; a row of zeros is unchanged."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)
