"""Folds: the pictures that are not for the test, dealt out for cross-validation (Stone 1974).

N pictures in the pool of training and validation, K classes.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ...spaces.parameters.lookup import look_up
from .dataset import ImageData, Split
from .errors import DataError

Indices = tuple[Tensor, Tensor]


def cross_folds(data: ImageData, count: int, *, seed: int, by: str = "sample") -> list[ImageData]:
    """``data`` as ``count`` data sets: each picture of train and val is in the ``val`` of exactly one.

    Each has the mean and deviation of its own training pictures. ``test`` is the same in all, and in no fold. The
    pictures are copied: all folds together take ``count`` times the memory of the pool.
    """
    pool = Split(*(torch.cat(parts) for parts in zip(_tensors(data.train), _tensors(data.val), strict=True)))
    return [
        ImageData.of(
            f"{data.name}, fold {fold} of {count}",
            data.classes,
            train=pool.take(train),
            val=pool.take(val),
            test=data.test,
        )
        for fold, (train, val) in enumerate(fold_indices(pool.labels, data.classes, count, seed=seed, by=by), start=1)
    ]


def fold_indices(
    labels: Tensor, classes: tuple[str, ...], count: int, *, seed: int, by: str = "sample"
) -> list[Indices]:
    """Ascending indices to train on and to validate on, for each of ``count`` folds drawn by ``seed``.

    ``by="sample"``: stratified, each class gives its share to every fold. ``by="class"``: a class lies in one fold
    whole, so that a network is validated on classes it has never seen (zero-shot).

    ``labels`` is int64 (N,). Raises :class:`DataError` where there is too little for so many folds.
    """
    if type(count) is not int or count < 2:
        raise DataError(f"folds must be a whole number of at least 2, but got {count!r}")
    split = look_up(FOLDS, by, "kind of fold")
    rows = np.zeros((len(labels), 1))
    return [_ascending(*pair) for pair in split(rows, labels.numpy(), classes, count, seed)]


def check_folds(data: ImageData, count: int, *, seed: int, by: str = "sample") -> None:
    """Raise :class:`DataError` where :func:`cross_folds` would, without copying a picture."""
    fold_indices(torch.cat([data.train.labels, data.val.labels]), data.classes, count, seed=seed, by=by)


def fold_seed(seed: int, fold: int) -> int:
    """The seed of the network of fold number ``fold``: folds differ in their weights too."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0] >> 1)


Pairs = Iterator[tuple[np.ndarray, np.ndarray]]


def _by_sample(rows: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], count: int, seed: int) -> Pairs:
    from sklearn.model_selection import StratifiedKFold

    sizes = np.bincount(labels, minlength=len(classes))
    least = int(sizes.argmin())
    if sizes[least] < count:
        raise DataError(
            f"every class needs an image in each of the {count} folds, but class {classes[least]!r} has "
            f"{sizes[least]} outside the test; take fewer folds, or add images"
        )
    folds: Pairs = StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, labels)
    return folds


def _by_class(rows: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], count: int, seed: int) -> Pairs:
    from sklearn.model_selection import GroupKFold

    present = len(np.unique(labels))
    if present < count:
        raise DataError(f"every fold needs a class of its own, but there are {present} for {count}; take fewer folds")
    folds: Pairs = GroupKFold(count, shuffle=True, random_state=seed).split(rows, labels, groups=labels)
    return folds


FOLDS: dict[str, Callable[[np.ndarray, np.ndarray, tuple[str, ...], int, int], Pairs]] = {
    "sample": _by_sample,
    "class": _by_class,
}


def _ascending(train: np.ndarray, val: np.ndarray) -> Indices:
    return torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(val))


def _tensors(split: Split) -> tuple[Tensor, Tensor]:
    return split.images, split.labels
