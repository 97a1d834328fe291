"""Labelled images as tensors: the output of every loader and the input of every fit.

Shapes: N images of C channels, H rows and W columns; B images in a batch; K classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from ..image_files.errors import DataError

Device = str | torch.device


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels.

    ``images`` (N, C, H, W): uint8 in 0..255 or float32 in [0, 1]. ``labels`` (N,): int64 in 0..K-1. Raises
    :class:`DataError` for other types and shapes.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dim() != 4 or self.images.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"images must be uint8 or float32 (N, C, H, W), but got {_dtype_and_shape(self.images)}; convert them"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"labels must be int64 ({len(self.images)},), but got {_dtype_and_shape(self.labels)}; "
                "give one class index per image"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """Return the samples at ``index``, int64 (M,)."""
        return Split(self.images[index], self.labels[index])

    def to(self, device: Device) -> "Split":
        """Return the split on ``device``, without a copy if it is already there."""
        return Split(self.images.to(device, non_blocking=True), self.labels.to(device, non_blocking=True))


@dataclass(frozen=True)
class Request:
    """The arguments of a loader.

    ``path``: folder of the files, None for the loader's default. ``image_size``: side in pixels. ``limit``: maximum
    number of images of each part. ``download``: whether missing files may be downloaded.
    """

    path: Path | None = None
    image_size: int | None = None
    limit: int | None = None
    seed: int = 0
    download: bool = False


@dataclass(frozen=True, eq=False)
class Source:
    """A data set with the splits that its publisher made; a part that is None may be split off from ``train``."""

    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None


@dataclass(frozen=True, eq=False)
class ImageData:
    """One data set with its splits.

    ``val`` selects networks. ``test`` is measured once, after the selection, and no fit reads it. ``mean`` and ``std``
    (C,) are those of the training images in [0, 1]. ``content_hash`` is the sha256 of class names, pixels and labels
    in the order of the splits: equal hashes mean equal data.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split | None
    mean: Tensor
    std: Tensor
    content_hash: str

    @classmethod
    def of(
        cls, name: str, classes: tuple[str, ...], *, train: Split, val: Split, test: Split | None = None
    ) -> "ImageData":
        """Compute statistics and hash. Raises :class:`DataError` if a split is empty or does not fit the others."""
        splits = {"train": train, "val": val, "test": test}
        for part, split in splits.items():
            _check_split(part, split, train.images.shape[1:], len(classes))
        mean, std = _statistics(train.images)
        return cls(name, classes, train, val, test, mean, std, _content_hash(classes, splits))

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


def _dtype_and_shape(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _check_split(part: str, split: Split | None, image_shape: torch.Size, n_classes: int) -> None:
    if split is None:
        return
    if len(split) == 0:
        raise DataError(f"the {part} split must have images, but has none; add images or leave the split out")
    if split.images.shape[1:] != image_shape:
        raise DataError(
            f"{part} images must have the shape {tuple(image_shape)} of the train images, but are "
            f"{_dtype_and_shape(split.images)}; resize them"
        )
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= n_classes:
        raise DataError(
            f"labels must be in 0..{n_classes - 1}, but {part} has labels from {low} to {high}; "
            "number the classes from 0 in the order of their names"
        )


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C,) of images as numbers in [0, 1]."""
    # Sums of uint8 values are exact in float64, so the result does not depend on the number of threads.
    total = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for chunk in torch.split(
        images, 1024
    ):  # in chunks, because a float64 copy of uint8 images takes 8 times the memory
        values = chunk.double()
        total += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))]).cpu()
    mean, mean_square = total / (images.numel() / images.shape[1])
    # Rounding can make the variance of a constant float32 channel slightly negative. Such a channel gets deviation 1,
    # so that normalisation does not divide by zero.
    std = (mean_square - mean.square()).clamp(min=0).sqrt()
    unit = 255.0 if images.dtype == torch.uint8 else 1.0
    return (mean / unit).float(), torch.where(std > 0, std / unit, 1.0).float()


def _content_hash(classes: tuple[str, ...], splits: Mapping[str, Split | None]) -> str:
    digest = sha256(json.dumps(classes).encode())
    for part, split in splits.items():
        for tensor in (split.images, split.labels) if split else ():
            # Part, dtype and shape are hashed too: equal bytes in another arrangement are other data.
            digest.update(f"{part} {_dtype_and_shape(tensor)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().data.cast("B"))
    return digest.hexdigest()
