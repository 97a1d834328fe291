"""Data sets that torchvision reads and downloads: CIFAR-10, CIFAR-100 and SVHN, colour images of 32x32 pixels.

Sources: Krizhevsky 2009, "Learning multiple layers of features from tiny images"; Netzer et al. 2011, "Reading digits
in natural images with unsupervised feature learning".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..image_files.errors import DataError
from .dataset import Request, Source, Split

DEFAULT_PATH = Path("data")


def load_cifar10(request: Request) -> Source:
    """Load 50,000 training and 10,000 test images, uint8 (N, 3, 32, 32)."""
    return _load_cifar("CIFAR10", request)


def load_cifar100(request: Request) -> Source:
    """Load 50,000 training and 10,000 test images, uint8 (N, 3, 32, 32)."""
    return _load_cifar("CIFAR100", request)


def load_svhn(request: Request) -> Source:
    """Load 73,257 training and 26,032 test images of house numbers, uint8 (N, 3, 32, 32), without the extra images."""
    train, test = (_open("SVHN", request, split=split) for split in ("train", "test"))
    digits = tuple(str(digit) for digit in range(10))
    return Source(digits, _svhn_split(train), test=_svhn_split(test))


@contextmanager
def as_data_error(name: str, root: Path) -> Iterator[None]:
    """Turn the errors of torchvision for a missing or broken data set into :class:`DataError`."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"data set {name} must be in {root}, but torchvision reports: {error}; "
            "set path to its folder, or set download = true to download it"
        ) from None


def _open(kind: str, request: Request, **part: Any) -> Any:
    from torchvision import datasets

    root = request.folder or DEFAULT_PATH
    with as_data_error(kind, root):
        return getattr(datasets, kind)(str(root), download=request.download, **part)


def _load_cifar(kind: str, request: Request) -> Source:
    train, test = (_open(kind, request, train=train) for train in (True, False))
    return Source(tuple(train.classes), _cifar_split(train), test=_cifar_split(test))


def _cifar_split(dataset: Any) -> Split:
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()  # torchvision keeps (N, H, W, C)
    return Split(images, torch.tensor(dataset.targets))


def _svhn_split(dataset: Any) -> Split:
    return Split(torch.from_numpy(dataset.data).contiguous(), torch.from_numpy(dataset.labels).long())
