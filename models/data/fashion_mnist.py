"""Fashion-MNIST: 70,000 grey 28x28 images of clothes (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747)."""

from pathlib import Path

from .data_error import DataError
from .dataset import Request, Source, Split
from .idx import has_idx, read_idx
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
