"""Baselines with a closed form: chance, ridge from text to image centroids, and ESZSL.

Shapes: as in the table of baselines.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray
Scorer = Callable[[Array, Array], Array]  # (vectors (M, d), texts (C, p)) -> scores (M, C)


@dataclass(frozen=True, eq=False)
class Training:
    """What every baseline learns from: ``x`` (N, d), ``y`` (N,) in 0..S-1, ``texts`` (S, p), and a seed."""

    x: Array
    y: Array
    texts: Array
    seed: int = 0
    known: dict[tuple[str, float], Any] = field(default_factory=dict, repr=False)  # what two baselines both need

    @cached_property
    def centroids(self) -> Array:
        """The mean vector of each seen class, (S, d)."""
        sums = np.zeros((len(self.texts), self.x.shape[1]))
        np.add.at(sums, self.y, self.x)
        return sums / np.bincount(self.y, minlength=len(self.texts))[:, None]


def random_scores(training: Training) -> Scorer:
    """Chance, drawn by the seed."""
    rng = np.random.default_rng(training.seed)
    return lambda x, texts: rng.random((len(x), len(texts)))


def ridge_to_centroid(training: Training, strength: float = 1.0) -> Scorer:
    """A = argmin |M - T A|^2 + strength |A|^2, M the seen centroids; the score is cos(x, A' t).

    Into visual space, where there are fewer hubs (Zhang et al. 2017). Vectors and texts are centred on training means.
    """
    centre, texts_mean = training.x.mean(0), training.texts.mean(0)
    t = training.texts - texts_mean
    a = np.linalg.solve(t.T @ t + strength * np.eye(t.shape[1]), t.T @ (training.centroids - centre))
    return lambda x, texts: unit(x - centre) @ unit((texts - texts_mean) @ a).T


def eszsl(training: Training, gamma: float = 1.0, strength: float = 1.0) -> Scorer:
    """W = (X X' + gamma I)^-1 X Y S' (S S' + strength I)^-1 with Y in {-1, 1} (Romera-Paredes and Torr 2015).

    The score is x' W a. Vectors are centred; texts are as given.
    """
    centre = training.x.mean(0)
    x, s = (training.x - centre).T, training.texts.T
    # X Y without an N x S matrix: twice the sums by class, less the sum of all
    xy = 2 * (training.centroids - centre).T * np.bincount(training.y, minlength=s.shape[1]) - x.sum(1, keepdims=True)
    left = np.linalg.solve(x @ x.T + gamma * np.eye(len(x)), xy @ s.T)
    w = np.linalg.solve(s @ s.T + strength * np.eye(len(s)), left.T).T
    return lambda x, texts: (x - centre) @ w @ texts.T


def unit(rows: Array) -> Array:
    """Rows of length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)
