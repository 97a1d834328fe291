"""Shapes of the known data sets, without loading a pixel or importing torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...spaces.parameters.lookup import look_up, unknown
from ...spaces.parameters.task_kinds import DATASETS_WITH_TEXTS
from ..image_files.errors import DataError
from ..image_files.locations import Location, location


class DataShape(NamedTuple):
    """The shape that a network must fit: ``input_shape`` is (channels, height, width).

    ``multi_label``: whether an image may have several labels, or none.
    """

    input_shape: tuple[int, int, int]
    n_classes: int
    multi_label: bool = False


IMAGES = "images"
IMAGE_FOLDER = "imagefolder"  # the name of version 0.1.0
OWN_IMAGES = (IMAGES, IMAGE_FOLDER)
FILES_HASH = "files-"  # begins the hashes of own images, except those of version 0.1.0
FEATURES = "features"  # own image features
ZERO_SHOT_DATASETS = ("glyphs", FEATURES, *OWN_IMAGES, "cub-200", "flowers102")
WITHOUT_FILES = (
    "digits",
    "fashion-mnist",
    "cifar10",
    "cifar100",
    "svhn",
    "glyphs",
    FEATURES,
)  # no image file is decoded
GLYPH_SIDE = 32  # pixels, if the request has no image_size
SHAPES: dict[str, DataShape | None] = {
    "digits": DataShape((1, 8, 8), 10),
    "fashion-mnist": DataShape((1, 28, 28), 10),
    "cifar10": DataShape((3, 32, 32), 10),
    "cifar100": DataShape((3, 32, 32), 100),
    "svhn": DataShape((3, 32, 32), 10),
    **dict.fromkeys(OWN_IMAGES),  # read from the files
}


def describe_data(
    name: str,
    *,
    path: str | Location | None = None,
    image_size: int | None = None,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    nested: bool = False,
    label_separator: str | None = None,
) -> DataShape:
    """Return input shape and number of classes of ``load_data(name, path=path, image_size=image_size, ...)``.

    Own images are listed, but not opened. Raises ``ValueError`` for an unknown name and :class:`DataError` for a path
    that has no labelled images.
    """
    if name not in SHAPES:
        # Data sets with texts have another loader, but the error suggests them too: the user may mean one of them.
        raise ValueError(unknown("data set", name, (*SHAPES, *DATASETS_WITH_TEXTS)))
    shape = SHAPES[name]
    check_image_size(image_size)
    if shape is None:
        size, root = require_folder_options(path, image_size)
        from ..readers.read_index import read_classes

        classes, multi_label = read_classes(root, columns=columns, nested=nested, label_separator=label_separator)
        return DataShape((3, size, size), len(classes), multi_label)
    channels, height, width = shape.input_shape
    return shape._replace(input_shape=(channels, image_size or height, image_size or width))


def is_data_name(name: str) -> bool:
    """Return whether ``name`` is that of a data set, with or without texts."""
    return name in SHAPES or name in DATASETS_WITH_TEXTS


# Images for training and validation together: all but the test images, which are a fifth of the digits.
N_TRAINING_IMAGES = {"digits": 1438, "fashion-mnist": 60_000, "cifar10": 50_000, "cifar100": 50_000, "svhn": 73_257}


def count_training_images(
    name: str,
    *,
    path: str | Location | None = None,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    nested: bool = False,
    label_separator: str | None = None,
) -> int:
    """Return the number of images of a data set for training and validation together.

    Own images are listed; without a test split all of them count. Raises what :func:`describe_data` raises.
    """
    if name not in OWN_IMAGES:
        return int(look_up(N_TRAINING_IMAGES, name, "data set"))
    from ..readers.read_index import read_index

    _, root = require_folder_options(path, 1)  # the image size does not change the count
    index = read_index(root, columns=columns, nested=nested, label_separator=label_separator)
    return sum(len(rows) for split, rows in index.rows.items() if split != "test")


def describe_zero_shot(
    name: str, *, path: str | Path | None = None, texts: str | Path | None = None, image_size: int | None = None
) -> DataShape:
    """Return the input shape of a zero-shot data set, with 0 as the number of classes, which only its files contain.

    Raises ``ValueError`` for an unknown name and :class:`DataError` if an argument that has no default is missing.
    """
    look_up(dict.fromkeys(ZERO_SHOT_DATASETS), name, "zero-shot data set")  # raises for an unknown name
    check_image_size(image_size)
    if name == "glyphs":
        return DataShape((1, image_size or GLYPH_SIDE, image_size or GLYPH_SIDE), 0)
    if name == FEATURES:
        return DataShape((_feature_width(path, image_size), 1, 1), 0)
    for key, value in (("path", path), ("texts", texts), ("image_size", image_size)):
        if value is None:
            raise DataError(f"data set {name!r} needs {key}, but got none; set path, texts and image_size")
    assert image_size is not None
    return DataShape((3, image_size, image_size), 0)


def _feature_width(path: str | Path | None, image_size: int | None) -> int:
    from ..readers.feature_files import feature_width

    if path is None:
        raise DataError("data set 'features' needs a path, but got none; set path to an .npz file or a folder")
    if image_size is not None:
        raise DataError(f"image_size must be left out for data set 'features', but got {image_size}; remove it")
    return feature_width(Path(path).expanduser())


def check_image_size(image_size: int | None) -> None:
    """Raise :class:`DataError` if the side in pixels is not a whole number of at least 1."""
    if image_size is not None and (type(image_size) is not int or image_size < 1):
        raise DataError(
            f"image_size must be a whole number of pixels of at least 1, but got {image_size!r}; use 64, for example"
        )


def require_folder_options(path: str | Location | None, image_size: int | None) -> tuple[int, Location]:
    """Return side in pixels and path of an image folder. Raises :class:`DataError` if one of them is None."""
    names = f"your own images ({IMAGES!r}, {IMAGE_FOLDER!r})"
    if path is None:
        raise DataError(f"{names} need a path, but got none; set path to a folder of class folders, or to a manifest")
    if image_size is None:
        raise DataError(f"{names} need image_size, but got none; set it to a side in pixels, such as 64")
    return image_size, location(path)
