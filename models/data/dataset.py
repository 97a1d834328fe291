"""Labelled images as tensors: the output of every loader and the input of every fit.

Shapes: N images of C channels, H rows and W columns; B images in a batch; K classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..image_files.decoding_rules import (
    INTERPOLATIONS,
    RULES,
    WHITE,
    Decoding,
    check_background,
    check_crop_pct,
    check_value_range,
)
from ..image_files.errors import DataError
from ..image_files.locations import Location, RemotePath
from ..storage.choice import AUTO, DEFAULT_CACHE, DEFAULT_STORAGE, CacheLocation, StorageChoice, StorageOptions
from ..storage.file_images import FileImages
from ..storage.images import Images, RowsOf, StoredImages, batches_of
from ..storage.sharing import as_array, as_tensor
from ..storage.statistics import channel_statistics
from .shapes import check_image_size
from .splits import check_fractions, check_limit, check_weights

Device = str | torch.device
HASHED_AT_A_TIME = 1024  # images or labels


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels.

    ``images`` (N, C, H, W): uint8 in 0..255 or float32 in [0, 1], as a tensor or in a storage, which gives a tensor for
    an index. ``labels``: int64 (N,) in 0..K-1, or bool (N, K) where an image has any number of labels. ``groups``:
    int64 (N,), equal for samples that must stay on one side of a split, such as those of one patient; None if each
    sample is its own group. ``weights``: float32 (N,) of at least 0, of the images in the training loss; None for equal
    ones.
    Raises :class:`DataError` for other types and shapes. None of them may be changed in place: workers on one machine
    share their memory.
    """

    images: Images
    labels: Tensor
    groups: Tensor | None = None
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            if not isinstance(values, Tensor | StoredImages) and (values is not None or name in ("images", "labels")):
                raise DataError(f"{name} must be a torch.Tensor, but got {type(values).__name__}; convert it")
        if self.images.dim() != 4 or self.images.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"images must be uint8 or float32 (N, C, H, W), but got {_dtype_and_shape(self.images)}; convert them"
            )
        one = self.labels.dtype == torch.int64 and self.labels.dim() == 1
        several = self.labels.dtype == torch.bool and self.labels.dim() == 2
        if not (one or several) or len(self.labels) != len(self.images):
            raise DataError(
                f"labels must be int64 ({len(self.images)},), but got {_dtype_and_shape(self.labels)}; "
                "give one class index per image, or bool (N, K) for several labels"
            )
        shapes = {"groups": (self.groups, torch.int64), "weights": (self.weights, torch.float32)}
        for name, (values, dtype) in shapes.items():
            if values is not None and (values.dtype, values.shape) != (dtype, self.labels.shape[:1]):
                raise DataError(
                    f"{name} must be {_dtype(dtype)} ({len(self.images)},), but got {_dtype_and_shape(values)}; give "
                    "one number per image, or None"
                )

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> Any:
        images = as_array(self.images) if isinstance(self.images, Tensor) else self.images
        return _unpickled, (
            images,
            as_array(self.labels),
            *(None if part is None else as_array(part) for part in (self.groups, self.weights)),
        )

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.labels.dim() == 2

    def take(self, index: Tensor) -> "Batch":
        """Return a copy of the samples at ``index``, int64 (M,), without their groups."""
        return Batch(self.images[index], self.labels[index], None, _at(self.weights, index))

    def subset(self, index: Tensor) -> "Split":
        """Return the samples at ``index``, int64 (M,): a copy of images in a tensor, and a view of those in a storage.

        The index of a view is on the device of the images.
        """
        images = self.images[index] if isinstance(self.images, Tensor) else RowsOf(self.images, index)
        return Split(images, self.labels[index], _at(self.groups, index), _at(self.weights, index))

    def prefetch(self, batches: Sequence[Tensor]) -> None:
        """Announce the indices of the next calls of :meth:`take`, so that a storage can read ahead."""
        if isinstance(self.images, StoredImages):
            self.images.prefetch(batches)

    def to(self, device: Device) -> Self:
        """Return the split on ``device``, without a copy if it is already there."""
        images, labels = self.images.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)
        groups, weights = _on(self.groups, device), _on(self.weights, device)
        return replace(self, images=images, labels=labels, groups=groups, weights=weights)


@dataclass(frozen=True, eq=False)
class Batch(Split):
    """Samples in memory: the images are a tensor."""

    images: Tensor


@dataclass(frozen=True)
class Request:
    """The arguments of a loader.

    ``path``: folder or URL of the files, None for the loader's default. ``image_size``: side in pixels. ``limit``:
    maximum number of images of each part. ``download``: whether missing files may be downloaded. ``on_bad``: "error" or
    "skip" for images that cannot be decoded. ``resize``, ``interpolation``, ``crop_pct``, ``background`` and
    ``value_range`` are those of :class:`Decoding`; "auto" as ``interpolation`` or ``crop_pct`` means that of the
    network that is trained, and the default for other networks. ``columns``, ``label_separator`` and ``nested``: see
    :func:`~archsieve.models.readers.read_index.read_index`. ``val_fraction`` and ``test_fraction``: of the training
    images, where these parts were not published. ``channels``: 3, or 1 for grey images. ``decoding_rules``: 1 for the
    pixels, order, splits and hash of version 0.1.0. ``storage``: where the decoded images are; the name of a kind means
    its defaults.

    Raises :class:`DataError` for values that cannot work.
    """

    path: Location | None = None
    image_size: int | None = None
    limit: int | None = None
    seed: int = 0
    download: bool = False
    resize: str = "crop"
    background: tuple[int, int, int] = WHITE
    value_range: tuple[float, float] | None = None
    on_bad: str = "error"
    columns: Mapping[str, str | Sequence[str]] | None = None
    label_separator: str | None = None
    nested: bool = False
    val_fraction: float = 0.2
    test_fraction: float = 0.2
    decoding_rules: int = RULES
    channels: int = 3
    storage: StorageOptions = DEFAULT_STORAGE
    interpolation: str = INTERPOLATIONS[0]
    crop_pct: float | str = 1.0

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)
        check_limit(self.limit)
        check_image_size(self.image_size)
        if self.label_separator == "":
            raise DataError("label_separator must be a text, but got an empty one; use ';', for example")
        # TOML and JSON have lists and no tuples
        object.__setattr__(self, "background", check_background(self.background))
        object.__setattr__(self, "value_range", check_value_range(self.value_range))
        if self.crop_pct != AUTO:
            object.__setattr__(self, "crop_pct", check_crop_pct(self.crop_pct))
        if isinstance(self.storage, str):  # as in load_data(..., storage="cache")
            object.__setattr__(self, "storage", StorageOptions(self.storage))

    @property
    def has_rules_1(self) -> bool:
        """Whether the data are those of version 0.1.0: rows in the order of the folders, a hash of the pixels."""
        return self.decoding_rules == 1

    @property
    def folder(self) -> Path | None:
        """The ``path`` of data that must be on this machine. Raises :class:`DataError` for a URL."""
        if isinstance(self.path, RemotePath):
            raise DataError(f"these data must be in a folder of this machine, but path is {self.path}; copy them")
        return self.path

    @property
    def decoding(self) -> Decoding:
        """How the image files become pixels. Raises :class:`DataError` without ``image_size``."""
        if self.image_size is None:
            raise DataError(
                "images of different sizes need image_size, but got none; set it to a side in pixels, such as 64"
            )
        return Decoding(
            self.image_size,
            self.channels,
            resize=self.resize,
            background=self.background,
            value_range=self.value_range,
            rules=self.decoding_rules,
            interpolation=INTERPOLATIONS[0] if self.interpolation == AUTO else self.interpolation,
            crop_pct=1.0 if isinstance(self.crop_pct, str) else self.crop_pct,
        )

    @property
    def from_network(self) -> tuple[str, ...]:
        """The options of the decoding that are those of the network that is trained."""
        return tuple(name for name in ("interpolation", "crop_pct") if getattr(self, name) == AUTO)


@dataclass(frozen=True, eq=False)
class Source:
    """A data set with the splits that its publisher made; a part that is None may be split off from ``train``.

    ``notes`` are sentences that a user should read before training on the data. ``skipped`` has a message for each
    image that was left out because it cannot be decoded. ``storage`` is where the images are; None for arrays.
    ``content_hash`` identifies images, labels and splits; None for the hash of the pixels. ``decoding`` is how files
    became these images; None if they were no files. ``files`` decodes them in another way where each
    network has its own.
    """

    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    storage: StorageChoice | None = None
    content_hash: str | None = None
    decoding: Decoding | None = None
    files: FileImages | None = None

    def __post_init__(self) -> None:
        for part, split in {"train": self.train, "val": self.val, "test": self.test}.items():
            if not isinstance(split, Split) and (split is not None or part == "train"):
                raise DataError(
                    f"{part} must be a Split, but got {type(split).__name__}; use archsieve.Split(images, labels)"
                )
            if split is not None and len(split):
                _check_labels(part, split.labels, len(self.classes))


@dataclass(frozen=True, eq=False)
class ImageData:
    """One data set with its splits.

    ``val`` selects networks. ``test`` is measured once, after the selection, and no fit reads it. ``mean`` and ``std``
    (C,) are those of the training images in [0, 1]. ``content_hash`` is the sha256 of class names, pixels and labels
    in the order of the splits, or for own images that of their files, labels, splits and decoding: equal hashes mean
    equal data. ``notes``, ``skipped``, ``storage``, ``decoding`` and ``files`` are those of the :class:`Source`.
    ``cache`` is the place for features of the images.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split | None
    mean: Tensor
    std: Tensor
    content_hash: str
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    storage: StorageChoice | None = None
    decoding: Decoding | None = None
    cache: CacheLocation = DEFAULT_CACHE
    files: FileImages | None = None

    @classmethod
    def of(
        cls,
        name: str,
        classes: tuple[str, ...],
        *,
        train: Split,
        val: Split,
        test: Split | None = None,
        notes: tuple[str, ...] = (),
        content_hash: str | None = None,
    ) -> "ImageData":
        """Compute statistics, and the hash of the pixels if ``content_hash`` is None.

        Raises :class:`DataError` if a split is empty or does not fit the others.
        """
        splits = {"train": train, "val": val, "test": test}
        for part, split in splits.items():
            _check_split(part, split, train, len(classes))
        mean, std = channel_statistics(train.images)
        digest = _content_hash(classes, splits) if content_hash is None else content_hash
        return cls(name, classes, train, val, test, mean, std, digest, notes)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return len(self.classes)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.train.multi_label

    @property
    def splits(self) -> tuple[Split, ...]:
        """The existing splits in the order train, val, test."""
        return tuple(split for split in (self.train, self.val, self.test) if split is not None)

    def to(self, device: Device) -> "ImageData":
        """Return the data on ``device``, without a copy if they are already there."""
        moved = {name: getattr(self, name).to(device) for name in ("train", "val", "mean", "std")}
        return replace(self, **moved, test=self.test.to(device) if self.test else None)

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (B, C, H, W) in [0, 1], on the device of the data, by the training mean and deviation."""
        return (images - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)


def in_unit_range(images: Tensor) -> Tensor:
    """Return images as float32 in [0, 1]: uint8 is divided by 255, float32 is returned as it is."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _dtype_and_shape(tensor: Images) -> str:
    return f"{_dtype(tensor.dtype)} {tuple(tensor.shape)}"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _at(values: Tensor | None, index: Tensor) -> Tensor | None:
    return None if values is None else values[index]


def _on(values: Tensor | None, device: Device) -> Tensor | None:
    return None if values is None else values.to(device, non_blocking=True)


def _check_split(part: str, split: Split | None, train: Split, n_classes: int) -> None:
    if split is None:
        return
    image_shape = train.images.shape[1:]
    if len(split) == 0:
        raise DataError(f"the {part} split must have images, but has none; add images or leave the split out")
    if split.images.shape[1:] != image_shape:
        raise DataError(
            f"{part} images must have the shape {tuple(image_shape)} of the train images, but are "
            f"{_dtype_and_shape(split.images)}; resize them"
        )
    if split.labels.shape[1:] != train.labels.shape[1:] or (split.multi_label and split.labels.shape[1] != n_classes):
        raise DataError(
            f"labels of all splits must be int64 (N,), or all bool (N, {n_classes}), but {part} has "
            f"{_dtype_and_shape(split.labels)} and train {_dtype_and_shape(train.labels)}; convert them"
        )
    if split.weights is not None:
        check_weights(part, split.weights)
    _check_labels(part, split.labels, n_classes)


def _check_labels(part: str, labels: Tensor, n_classes: int) -> None:
    if labels.dim() == 2:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise DataError(
            f"labels must be in 0..{n_classes - 1}, but {part} has labels from {low} to {high}; "
            "number the classes from 0 in the order of their names"
        )


def _content_hash(classes: tuple[str, ...], splits: Mapping[str, Split | None]) -> str:
    digest = sha256(json.dumps(classes).encode())
    for part, split in splits.items():
        hashed = () if split is None else (split.images, split.labels, split.weights)
        for tensor in (one for one in hashed if one is not None):
            # Part, dtype and shape are hashed too: equal bytes in another arrangement are other data.
            digest.update(f"{part} {_dtype_and_shape(tensor)}".encode())
            for chunk in batches_of(tensor, HASHED_AT_A_TIME):
                digest.update(chunk.cpu().contiguous().numpy().data.cast("B"))
    return digest.hexdigest()


def _unpickled(images: Any, labels: Any, *optional: Any) -> Split:
    images = images if isinstance(images, StoredImages) else as_tensor(images)
    return Split(images, as_tensor(labels), *(None if part is None else as_tensor(part) for part in optional))
