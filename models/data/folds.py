"""Folds for cross-validation: the training and validation images, split into parts (Stone 1974).

Shapes: N images in the pool of training and validation images, K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from ...spaces.parameters.lookup import look_up
from ..image_files.errors import DataError
from ..storage.images import Joined, stored
from .dataset import ImageData, Split
from .equal_images import numbered
from .iterative_split import check_parts, iterative_parts
from .shapes import FILES_HASH

Indices = tuple[Tensor, Tensor]


def cross_folds(data: ImageData, count: int, *, seed: int, by: str = "sample") -> list[ImageData]:
    """Return ``data`` as ``count`` data sets: each image of train and val is in the ``val`` of exactly one of them.

    Mean and deviation of a data set are those of its training images. ``test`` is the same in all of them and in no
    fold. The folds are views: their images share the memory of those of ``data``. Raises what :func:`fold_indices`
    raises.
    """
    images = Joined.of([stored(data.train.images), stored(data.val.images)])
    groups = _groups(data)
    pool = Split(images, torch.cat([data.train.labels, data.val.labels]), groups, _weights(data))
    folds = [
        ImageData.of(
            f"{data.name}, fold {fold} of {count}",
            data.classes,
            train=pool.subset(train),
            val=pool.subset(val),
            test=data.test,
            content_hash=_files_hash(data, train),
        )
        for fold, (train, val) in enumerate(
            fold_indices(pool.labels, data.classes, count, seed=seed, by=by, groups=groups), start=1
        )
    ]
    return [replace(fold, cache=data.cache, decoding=data.decoding) for fold in folds]


def _groups(data: ImageData) -> Tensor | None:
    """Return the group of each image of train and val; None if none has a group."""
    parts = (data.train, data.val)
    if all(part.groups is None for part in parts):
        return None
    # an image without a group is its own group: negative numbers are no group of another split
    alone = torch.split(-1 - torch.arange(sum(map(len, parts))), [len(part) for part in parts])
    groups = [rest if part.groups is None else part.groups for part, rest in zip(parts, alone, strict=True)]
    return torch.cat(groups)


def _weights(data: ImageData) -> Tensor | None:
    """Return the weight of each image of train and val; None if none has a weight."""
    parts = (data.train, data.val)
    if all(part.weights is None for part in parts):
        return None
    return torch.cat([torch.ones(len(part)) if part.weights is None else part.weights for part in parts])


def _files_hash(data: ImageData, train: Tensor) -> str | None:
    """Return the hash of the fold with the training images ``train`` (M,); None for data known by their pixels."""
    if not data.content_hash.startswith(FILES_HASH):
        return None
    return FILES_HASH + sha256(data.content_hash.encode() + train.numpy().tobytes()).hexdigest()


def fold_indices(
    labels: Tensor,
    classes: tuple[str, ...],
    count: int,
    *,
    seed: int,
    by: str = "sample",
    groups: Tensor | None = None,
) -> list[Indices]:
    """Return ascending training and validation indices for each of ``count`` folds drawn by ``seed``.

    ``by="sample"``: stratified, every fold has its share of each class, and samples with equal ``groups``, int64 (N,),
    are in one fold. ``by="class"``: all samples of a class are in
    the same fold, so that a network is validated on classes that it was not trained on (zero-shot).

    ``labels`` is int64 (N,), or bool (N, K) for folds by sample with several labels. Raises :class:`DataError` if there
    are too few samples or classes for so many folds, and ``ValueError`` for an unknown ``by``.
    """
    if type(count) is not int or count < 2:
        raise DataError(f"folds must be a whole number of at least 2, but got {count!r}; use a number such as 5")
    split = look_up(FOLDS, by, "kind of fold")
    if labels.dim() == 2 and by == "sample":
        return _iterative_folds(labels.numpy(), classes, count, seed, groups)
    rows = np.zeros((len(labels), 1))  # scikit-learn reads only the number of rows
    if groups is not None and by == "sample":
        return [_ascending(*pair) for pair in _by_group(rows, labels.numpy(), classes, count, seed, groups.numpy())]
    return [_ascending(*pair) for pair in split(rows, labels.numpy(), classes, count, seed)]


def _iterative_folds(
    labels: np.ndarray, classes: tuple[str, ...], count: int, seed: int, groups: Tensor | None
) -> list[Indices]:
    numbers = None if groups is None else numbered(groups.numpy())
    fold_of = iterative_parts(labels, [1 / count] * count, seed=seed, groups=numbers)
    check_parts(labels, fold_of, [f"fold {fold} of {count}" for fold in range(1, count + 1)], classes)
    return [_ascending(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(count)]


def check_folds(data: ImageData, count: int, *, seed: int, by: str = "sample") -> None:
    """Raise :class:`DataError` if :func:`cross_folds` would raise it, without copying an image."""
    labels = torch.cat([data.train.labels, data.val.labels])
    fold_indices(labels, data.classes, count, seed=seed, by=by, groups=_groups(data))


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


def _by_group(
    rows: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], count: int, seed: int, groups: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = [len(np.unique(groups[labels == label])) for label in range(len(classes))]
    smallest = int(np.argmin(n_groups))
    if n_groups[smallest] < count:
        raise DataError(
            f"every class needs different images or groups in each of the {count} folds, but class "
            f"{classes[smallest]!r} has {n_groups[smallest]} outside the test split; use fewer folds, or add images"
        )
    folds = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(rows, labels, groups))
    for train, val in folds:
        for part in (train, val):
            lacking = np.flatnonzero(np.bincount(labels[part], minlength=len(classes)) == 0)
            if len(lacking):
                raise DataError(
                    f"every fold needs images of every class, but no {count} folds of whole groups were found that "
                    f"have class {classes[lacking[0]]!r} in each; use fewer folds, or add groups"
                )
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
