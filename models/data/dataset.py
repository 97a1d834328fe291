"""Labelled images as tensors: what every loader gives and every fit reads.

Shapes: N images of C channels, H rows and W columns; B of them in a batch; K classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from .errors import DataError

Device = str | torch.device


@dataclass(frozen=True, eq=False)
class Split:
    """``images`` (N, C, H, W), uint8 in 0..255 or float32 in [0, 1], and their ``labels`` (N,), int64 in 0..K-1."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dim() != 4 or self.images.dtype not in (torch.uint8, torch.float32):
            raise DataError(f"images must be uint8 or float32 (N, C, H, W), but got {_facts(self.images)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(f"labels must be int64 ({len(self.images)},), but got {_facts(self.labels)}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """The samples at ``index``, int64 (M,)."""
        return Split(self.images[index], self.labels[index])

    def to(self, device: Device) -> "Split":
        """The split on ``device``; no copy where it already lies there."""
        return Split(self.images.to(device, non_blocking=True), self.labels.to(device, non_blocking=True))


@dataclass(frozen=True)
class Request:
    """What a loader is asked for; ``path`` is None where the caller leaves the place to the loader."""

    path: Path | None = None
    image_size: int | None = None
    limit: int | None = None
    seed: int = 0
    download: bool = False


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as its publisher split it; what is None may be carved from ``train``."""

    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None


@dataclass(frozen=True, eq=False)
class ImageData:
    """One data set, split. Validation selects, test is measured at the very end and never seen by a fit.

    ``mean`` and ``std`` (C,) are those of the training images in [0, 1]. ``content_hash`` is the sha256 of class names,
    pixels and labels in the order of the splits: equal hashes are equal experiments.
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
        """The data with statistics and hash computed; raises :class:`DataError` where a split does not fit the rest."""
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
        """K."""
        return len(self.classes)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that there are: train, val, test."""
        return tuple(split for split in (self.train, self.val, self.test) if split is not None)

    def to(self, device: Device) -> "ImageData":
        """The data on ``device``; no copy where it already lies there."""
        moved = {name: getattr(self, name).to(device) for name in ("train", "val", "mean", "std")}
        return replace(self, **moved, test=self.test.to(device) if self.test else None)

    def normalise(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1], on the device of the data, with the training mean at 0 and deviation at 1."""
        return (images - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)


def in_unit_range(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255, float32 is already there."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _facts(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _check_split(part: str, split: Split | None, image_shape: torch.Size, n_classes: int) -> None:
    if split is None:
        return
    if len(split) == 0:
        raise DataError(f"the {part} split must have images, but has none")
    if split.images.shape[1:] != image_shape:
        raise DataError(f"{part} images must be {tuple(image_shape)} as in train, but are {_facts(split.images)}")
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= n_classes:
        raise DataError(f"labels must be in 0..{n_classes - 1}, but {part} has labels from {low} to {high}")


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (C,) of images in [0, 1]; sums in float64 are exact for uint8, whatever the thread count."""
    total = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for chunk in torch.split(images, 1024):
        values = chunk.double()
        total += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))]).cpu()
    mean, mean_square = total / (images.numel() / images.shape[1])
    std = (mean_square - mean.square()).clamp(min=0).sqrt()
    unit = 255.0 if images.dtype == torch.uint8 else 1.0
    return (mean / unit).float(), torch.where(std > 0, std / unit, 1.0).float()


def _content_hash(classes: tuple[str, ...], splits: Mapping[str, Split | None]) -> str:
    digest = sha256(json.dumps(classes).encode())
    for part, split in splits.items():
        for tensor in (split.images, split.labels) if split else ():
            digest.update(f"{part} {_facts(tensor)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().data.cast("B"))
    return digest.hexdigest()
