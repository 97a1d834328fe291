"""Stratified splits: every part has its share of each class."""

from collections.abc import Container, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..image_files.errors import DataError
from ..image_files.index import label_set_numbers
from .group_split import grouped_split
from .iterative_split import check_parts, iterative_parts


def stratified_split(
    labels: Tensor,
    fractions: Mapping[str, float],
    classes: Sequence[str],
    *,
    seed: int,
    groups: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """Return ascending indices of each part: the given fraction of every class, drawn by ``seed``.

    The part ``"train"`` is the rest. ``labels`` is int64 (N,); labels bool (N, K) are split by
    :func:`~.iterative_split.iterative_parts`. ``groups``, int64 (N,), has equal numbers for samples
    that stay in one part; the fractions are then met as nearly as the groups allow. Every part has at least one sample
    of every class; otherwise a :class:`DataError` names the class.
    """
    if labels.dim() == 2:
        return _iterative_split(labels.numpy(), fractions, classes, seed, groups)
    if groups is not None and fractions:
        parts_of_groups = grouped_split(labels.numpy(), groups, fractions, classes, seed=seed)
        return {part: torch.from_numpy(parts_of_groups[part]) for part in (*fractions, "train")}
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {part: [] for part in (*fractions, "train")}
    for label, name in enumerate(classes):
        members = rng.permutation(np.flatnonzero(labels.numpy() == label))
        cuts = np.cumsum(_sizes(len(members), fractions, name))
        for chunks, chunk in zip(parts.values(), np.split(members, cuts), strict=True):
            chunks.append(chunk)
    return {part: torch.from_numpy(np.sort(np.concatenate(chunks))) for part, chunks in parts.items()}


def _iterative_split(
    labels: np.ndarray, fractions: Mapping[str, float], classes: Sequence[str], seed: int, groups: np.ndarray | None
) -> dict[str, Tensor]:
    parts, shares = (*fractions, "train"), (*fractions.values(), 1 - sum(fractions.values()))
    part_of = iterative_parts(labels, shares, seed=seed, groups=groups)
    check_parts(labels, part_of, parts, classes)
    return {part: torch.from_numpy(np.flatnonzero(part_of == code)) for code, part in enumerate(parts)}


def stratified_sample(labels: Tensor, limit: int | None, *, seed: int) -> Tensor:
    """Return ascending indices of at most ``limit`` samples, drawn by ``seed``; all if ``limit`` is None.

    Classes keep their proportions where ``labels`` is int64 (N,). Labels bool (N, K) are sampled at equal distances in
    the order of their sets, in which most sets may have a single image.
    """
    if limit is None or limit >= len(labels):
        return torch.arange(len(labels))
    rng = np.random.default_rng(seed)
    if labels.dim() == 2:
        return _systematic_sample(label_set_numbers(labels.numpy()), limit, rng)
    # Each class is shuffled and spread evenly over [0, 1]. The `limit` samples nearest to 0 then have the proportions
    # of the classes and exactly the wanted size, which a rounded number per class would not have.
    positions = np.empty(len(labels))
    for label in torch.unique(labels).tolist():
        members = rng.permutation(np.flatnonzero(labels.numpy() == label))
        positions[members] = (np.arange(len(members)) + 0.5) / len(members)
    return torch.from_numpy(np.sort(np.argsort(positions, kind="stable")[:limit]))


def _systematic_sample(strata: np.ndarray, limit: int, rng: np.random.Generator) -> Tensor:
    """Return ascending indices of ``limit`` samples; each one is drawn with the same probability.

    The rows in the order of their numbers ``strata`` (N,), in random order where these are equal, are taken at equal
    distances from a random start.
    """
    order = np.lexsort((rng.random(len(strata)), strata))
    taken = np.floor((np.arange(limit) + rng.random()) * (len(strata) / limit)).astype(np.int64)
    return torch.from_numpy(np.sort(order[np.minimum(taken, len(strata) - 1)]))


def missing_parts(published: Container[str], val_fraction: float, test_fraction: float) -> dict[str, float]:
    """Return the fraction of each part that is split off from ``train``, given which parts were published.

    A test part is split off only where neither ``val`` nor ``test`` was published.
    """
    if "val" in published:
        return {}
    return {"val": val_fraction} | ({"test": test_fraction} if "test" not in published and test_fraction > 0 else {})


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Raise :class:`DataError` if no training images would remain."""
    if not 0 < val_fraction < 1:
        raise DataError(f"`0 < val_fraction < 1` must hold, but got {val_fraction!r}; use a number such as 0.2")
    if not 0 <= test_fraction < 1:
        raise DataError(f"`0 <= test_fraction < 1` must hold, but got {test_fraction!r}; use a number such as 0.2")
    if val_fraction + test_fraction >= 1:
        raise DataError(
            f"`val_fraction + test_fraction < 1` must hold, but got {val_fraction} + {test_fraction}; "
            "lower one of them, so that training images remain"
        )


def check_limit(limit: int | None) -> None:
    """Raise :class:`DataError` if ``limit`` is no number of images."""
    if limit is not None and (type(limit) is not int or limit < 1):
        raise DataError(
            f"limit must be a whole number of images of at least 1, but got {limit!r}; use a number such as 1000"
        )


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


def check_weights(part: str, weights: Tensor) -> None:
    """Raise :class:`DataError` unless the weights of the split ``part`` are at least 0, and of train not all 0."""
    bad = weights[~(weights.isfinite() & (weights >= 0))]
    if len(bad):
        raise DataError(
            f"weights must be finite numbers of at least 0, but {len(bad):,} of {len(weights):,} of {part} are not, "
            f"such as {float(bad[0]):g}; correct them"
        )
    if part == "train" and not bool(weights.any()):
        raise DataError(
            f"the weights of training images must not all be 0, but those of all {len(weights):,} are; correct them"
        )
