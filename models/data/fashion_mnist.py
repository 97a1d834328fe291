"""Fashion-MNIST: 70,000 grey 28x28 images of clothes (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747)."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .dataset import Request, Source, Split
from .errors import DataError
from .torchvision_sets import DEFAULT_PATH, fetching

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_STEMS = [f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]

_UNSIGNED_BYTES = b"\x00\x00\x08"


def has_idx(path: Path) -> bool:
    """Whether ``path`` or ``path.gz`` is there."""
    return path.is_file() or _gzipped(path).is_file()


def read_idx(path: Path) -> Tensor:
    """The uint8 array in ``path``, or in ``path.gz``; raises :class:`DataError` where the file is broken."""
    try:
        raw = path.read_bytes() if path.is_file() else gzip.decompress(_gzipped(path).read_bytes())
        if raw[:3] != _UNSIGNED_BYTES:
            raise ValueError("it does not start as one of unsigned bytes")
        shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(f"{path} must be a whole IDX file, but {error}; fetch it again") from None


def _gzipped(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def load_fashion_mnist(request: Request) -> Source:
    """Training and test images, uint8 (N, 1, 28, 28), from IDX files: torchvision's, Debian's, or those in ``path``."""
    folders = _candidates(request.path)
    found = _complete(folders)
    if found is None and request.download:
        _download(request.path or DEFAULT_PATH)
        found = _complete(folders)
    if found is None:
        places = " nor ".join(map(str, folders))
        raise DataError(
            f"fashion-mnist needs its four IDX files, but neither {places} has them; set path to their folder, "
            "set download = true, or install Debian's dataset-fashion-mnist and leave path out"
        )
    return Source(CLASSES, _split(found, "train"), test=_split(found, "t10k"))


def _candidates(path: Path | None) -> list[Path]:
    torchvisions = (path or DEFAULT_PATH) / "FashionMNIST" / "raw"
    return [torchvisions, path or DEBIAN_FOLDER]


def _complete(folders: list[Path]) -> Path | None:
    return next((folder for folder in folders if all(has_idx(folder / stem) for stem in _STEMS)), None)


def _download(root: Path) -> None:
    from torchvision.datasets import FashionMNIST

    with fetching("fashion-mnist", root):
        FashionMNIST(str(root), download=True)


def _split(folder: Path, part: str) -> Split:
    images = read_idx(folder / f"{part}-images-idx3-ubyte")
    return Split(images.unsqueeze(1), read_idx(folder / f"{part}-labels-idx1-ubyte").long())
