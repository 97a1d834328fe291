"""Data sets that torchvision reads and fetches: CIFAR-10, CIFAR-100 and SVHN, colour images of 32x32.

Sources: Krizhevsky 2009, "Learning multiple layers of features from tiny images"; Netzer et al. 2011, "Reading digits
in natural images with unsupervised feature learning".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .dataset import Request, Source, Split
from .errors import DataError

DEFAULT_PATH = Path("data")


def load_cifar10(request: Request) -> Source:
    """50,000 training and 10,000 test images, uint8 (N, 3, 32, 32)."""
    return _load_cifar("CIFAR10", request)


def load_cifar100(request: Request) -> Source:
    """50,000 training and 10,000 test images, uint8 (N, 3, 32, 32)."""
    return _load_cifar("CIFAR100", request)


def load_svhn(request: Request) -> Source:
    """73,257 training and 26,032 test images of house numbers, uint8 (N, 3, 32, 32); the extra ones are left out."""
    train, test = (_open("SVHN", request, split=split) for split in ("train", "test"))
    digits = tuple(str(digit) for digit in range(10))
    return Source(digits, _svhn_split(train), test=_svhn_split(test))


@contextmanager
def fetching(name: str, root: Path) -> Iterator[None]:
    """Turn torchvision's many ways of not having a data set into one :class:`DataError`."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"data set {name} must lie under {root}, but torchvision says: {error}; "
            "set path to where it lies, or download = true to fetch it"
        ) from None


def _open(kind: str, request: Request, **which: Any) -> Any:
    from torchvision import datasets

    root = request.path or DEFAULT_PATH
    with fetching(kind, root):
        return getattr(datasets, kind)(str(root), download=request.download, **which)


def _load_cifar(kind: str, request: Request) -> Source:
    train, test = (_open(kind, request, train=train) for train in (True, False))
    return Source(tuple(train.classes), _cifar_split(train), test=_cifar_split(test))


def _cifar_split(dataset: Any) -> Split:
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(dataset.targets))


def _svhn_split(dataset: Any) -> Split:
    return Split(torch.from_numpy(dataset.data).contiguous(), torch.from_numpy(dataset.labels).long())
