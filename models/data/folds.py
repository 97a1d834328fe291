"""Folds for cross-validation: the training and validation images, split into parts (Stone 1974).

Shapes: N images in the pool of training and validation images, K classes.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ...spaces.parameters.lookup import look_up
from ..image_files.errors import DataError
from .dataset import ImageData, Split

Indices = tuple[Tensor, Tensor]


def cross_folds(data: ImageData, count: int, *, seed: int, by: str = "sample") -> list[ImageData]:
    """Return ``data`` as ``count`` data sets: each image of train and val is in the ``val`` of exactly one of them.

    Mean and deviation of a data set are those of its training images. ``test`` is the same in all of them and in no
    fold. The images are copied: all folds together take ``count`` times the memory of the pool. Raises what
    :func:`fold_indices` raises.
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
    """Return ascending training and validation indices for each of ``count`` folds drawn by ``seed``.

    ``by="sample"``: stratified, every fold has its share of each class. ``by="class"``: all samples of a class are in
    the same fold, so that a network is validated on classes that it was not trained on (zero-shot).

    ``labels`` is int64 (N,). Raises :class:`DataError` if there are too few samples or classes for so many folds, and
    ``ValueError`` for an unknown ``by``.
    """
    if type(count) is not int or count < 2:
        raise DataError(f"folds must be a whole number of at least 2, but got {count!r}; use a number such as 5")
    split = look_up(FOLDS, by, "kind of fold")
    rows = np.zeros((len(labels), 1))  # scikit-learn reads only the number of rows
    return [_ascending(*pair) for pair in split(rows, labels.numpy(), classes, count, seed)]


def check_folds(data: ImageData, count: int, *, seed: int, by: str = "sample") -> None:
    """Raise :class:`DataError` if :func:`cross_folds` would raise it, without copying an image."""
    fold_indices(torch.cat([data.train.labels, data.val.labels]), data.classes, count, seed=seed, by=by)


def fold_seed(seed: int, fold: int) -> int:
    """Return the 31-bit seed of the network of fold number ``fold``, so that folds start from different weights."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0] >> 1)


Pairs = Iterator[tuple[np.ndarray, np.ndarray]]


def _by_sample(rows: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], count: int, seed: int) -> Pairs:
    from sklearn.model_selection import StratifiedKFold

    # StratifiedKFold only warns about a class with fewer samples than folds; then a fold has no image of it.
    sizes = np.bincount(labels, minlength=len(classes))
    smallest = int(sizes.argmin())
    if sizes[smallest] < count:
        raise DataError(
            f"every class needs an image in each of the {count} folds, but class {classes[smallest]!r} has "
            f"{sizes[smallest]} outside the test split; use fewer folds, or add images"
        )
    folds: Pairs = StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, labels)
    return folds


def _by_class(rows: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], count: int, seed: int) -> Pairs:
    from sklearn.model_selection import GroupKFold

    n_present = len(np.unique(labels))
    if n_present < count:
        raise DataError(
            f"every fold needs at least one class, but there are {n_present} classes for {count} folds; use fewer folds"
        )
    # With the labels as groups, all samples of a class are in the same fold.
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
