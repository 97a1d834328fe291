"""Stratified splits: every part has its share of each class."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..image_files.errors import DataError


def stratified_split(
    labels: Tensor, fractions: Mapping[str, float], classes: Sequence[str], *, seed: int
) -> dict[str, Tensor]:
    """Return ascending indices of each part: the given fraction of every class, drawn by ``seed``.

    The part ``"train"`` is the rest. ``labels`` is int64 (N,). Every part has at least one sample of every class;
    otherwise a :class:`DataError` names the class.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {part: [] for part in (*fractions, "train")}
    for label, name in enumerate(classes):
        members = rng.permutation(np.flatnonzero(labels.numpy() == label))
        cuts = np.cumsum(_sizes(len(members), fractions, name))
        for chunks, chunk in zip(parts.values(), np.split(members, cuts), strict=True):
            chunks.append(chunk)
    return {part: torch.from_numpy(np.sort(np.concatenate(chunks))) for part, chunks in parts.items()}


def stratified_sample(labels: Tensor, limit: int | None, *, seed: int) -> Tensor:
    """Return ascending indices of at most ``limit`` samples, drawn by ``seed``; all if ``limit`` is None.

    Classes keep their proportions. ``labels`` is int64 (N,).
    """
    if limit is None or limit >= len(labels):
        return torch.arange(len(labels))
    rng = np.random.default_rng(seed)
    # Each class is shuffled and spread evenly over [0, 1]. The `limit` samples nearest to 0 then have the proportions
    # of the classes and exactly the wanted size, which a rounded number per class would not have.
    positions = np.empty(len(labels))
    for label in np.unique(labels.numpy()):
        members = rng.permutation(np.flatnonzero(labels.numpy() == label))
        positions[members] = (np.arange(len(members)) + 0.5) / len(members)
    return torch.from_numpy(np.sort(np.argsort(positions, kind="stable")[:limit]))


def _sizes(n: int, fractions: Mapping[str, float], name: str) -> list[int]:
    """Return the number of samples of each part, of the ``n`` samples of the class ``name``."""
    sizes = [max(1, round(n * fraction)) for fraction in fractions.values()]
    if n <= sum(sizes):
        parts = ", ".join(f"{part} {fraction:g}" for part, fraction in fractions.items())
        raise DataError(
            f"every class needs an image in train and in each part split off from it ({parts}), but class {name!r} has "
            f"{n}; add images, raise `limit`, or lower the fractions"
        )
    return sizes
