"""Fashion-MNIST: 70,000 grey 28x28 images of clothes (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747)."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..image_files.errors import DataError
from .dataset import Request, Source, Split
from .torchvision_sets import DEFAULT_PATH, as_data_error

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
_STEMS = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]

_UNSIGNED_BYTES = b"\x00\x00\x08"  # the first bytes of an IDX file of uint8


def has_idx(path: Path) -> bool:
    """Return whether ``path`` or ``path.gz`` exists."""
    return path.is_file() or _gzipped(path).is_file()


def read_idx(path: Path) -> Tensor:
    """Return the uint8 array in ``path`` or ``path.gz``. Raises :class:`DataError` if the file is broken."""
    try:
        raw = path.read_bytes() if path.is_file() else gzip.decompress(_gzipped(path).read_bytes())
        if raw[:3] != _UNSIGNED_BYTES:
            raise ValueError("its first three bytes are not those of an array of unsigned bytes")
        # Layout: three bytes of type, one byte with the number of dimensions, the big-endian sizes, the data. reshape
        # raises if the file is truncated. The copy is writable, which a view of the bytes is not.
        shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(f"{path} must be a complete IDX file, but {error}; download it again") from None


def _gzipped(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def load_fashion_mnist(request: Request) -> Source:
    """Load training and test images, uint8 (N, 1, 28, 28), from IDX files.

    The files are searched in torchvision's layout below ``path``, then in ``path`` itself or, without ``path``, in the
    folder of Debian's package. Raises :class:`DataError` if they are in neither folder or broken.
    """
    folders = _candidates(request.folder)
    folder = _first_complete(folders)
    if folder is None and request.download:
        _download(request.folder or DEFAULT_PATH)
        folder = _first_complete(folders)
    if folder is None:
        searched = " nor ".join(map(str, folders))
        raise DataError(
            f"fashion-mnist needs its four IDX files, but neither {searched} has them; set path to their folder, "
            "set download = true, or install Debian's dataset-fashion-mnist and leave path out"
        )
    return Source(CLASSES, _split(folder, "train"), test=_split(folder, "t10k"))


def _candidates(path: Path | None) -> list[Path]:
    torchvision_folder = (path or DEFAULT_PATH) / "FashionMNIST" / "raw"
    return [torchvision_folder, path or DEBIAN_FOLDER]


def _first_complete(folders: list[Path]) -> Path | None:
    return next((folder for folder in folders if all(has_idx(folder / stem) for stem in _STEMS)), None)


def _download(root: Path) -> None:
    from torchvision.datasets import FashionMNIST

    with as_data_error("fashion-mnist", root):
        FashionMNIST(str(root), download=True)


def _split(folder: Path, part: str) -> Split:
    images = read_idx(folder / f"{part}-images-idx3-ubyte")
    return Split(images.unsqueeze(1), read_idx(folder / f"{part}-labels-idx1-ubyte").long())
