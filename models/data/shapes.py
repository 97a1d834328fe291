"""Shapes of the known data sets, told without loading a pixel or importing torch."""

from pathlib import Path
from typing import NamedTuple

from ...spaces.parameters.lookup import look_up, unknown
from ...spaces.parameters.task_kinds import WITH_TEXTS
from .errors import DataError
from .folder_layout import class_names, list_splits, split_folders


class DataShape(NamedTuple):
    """What a network must fit: ``input_shape`` is (channels, height, width)."""

    input_shape: tuple[int, int, int]
    n_classes: int


IMAGE_FOLDER = "imagefolder"
ZERO_SHOT_DATASETS = ("glyphs", IMAGE_FOLDER, "cub-200", "flowers102")
GLYPH_SIDE = 32
SHAPES: dict[str, DataShape | None] = {
    "digits": DataShape((1, 8, 8), 10),
    "fashion-mnist": DataShape((1, 28, 28), 10),
    "cifar10": DataShape((3, 32, 32), 10),
    "cifar100": DataShape((3, 32, 32), 100),
    "svhn": DataShape((3, 32, 32), 10),
    IMAGE_FOLDER: None,  # its folders tell
}


def describe_data(name: str, *, path: str | Path | None = None, image_size: int | None = None) -> DataShape:
    """Input shape and number of classes of ``load_data(name, path=path, image_size=image_size)``.

    An image folder is listed, its images are not opened. Raises ``ValueError`` for an unknown name and
    :class:`DataError` for a folder that is none.
    """
    if name not in SHAPES:  # with those that have texts, which are loaded elsewhere: whoever asks may mean one
        raise ValueError(unknown("data set", name, (*SHAPES, *WITH_TEXTS)))
    known = SHAPES[name]
    check_image_size(image_size)
    if known is None:
        size, root = required_for_folder(path, image_size)
        return DataShape((3, size, size), len(class_names(split_folders(root)["train"])))
    channels, height, width = known.input_shape
    return DataShape((channels, image_size or height, image_size or width), known.n_classes)


# Pictures that are trained on or kept for validation: all but those of the test, a fifth of the digits.
TRAINING = {"digits": 1438, "fashion-mnist": 60_000, "cifar10": 50_000, "cifar100": 50_000, "svhn": 73_257}


def count_training(name: str, *, path: str | Path | None = None) -> int:
    """How many pictures of a data set are there to train on and to validate with; an image folder is listed.

    Where a folder has no test split, all its pictures are counted. Raises what :func:`describe_data` raises.
    """
    if name != IMAGE_FOLDER:
        return int(look_up(TRAINING, name, "data set"))
    _, root = required_for_folder(path, 1)
    files = list_splits(root)[1]
    return sum(len(files[split]) for split in ("train", "val") if split in files)


def describe_zero_shot(
    name: str, *, path: str | Path | None = None, texts: str | Path | None = None, image_size: int | None = None
) -> DataShape:
    """Input shape of a zero-shot data set; how many classes it has only its files tell, and 0 is said here.

    Raises ``ValueError`` for an unknown name and :class:`DataError` where something that only the caller knows is left
    out.
    """
    look_up(dict.fromkeys(ZERO_SHOT_DATASETS), name, "zero-shot data set")
    check_image_size(image_size)
    if name == "glyphs":
        return DataShape((1, image_size or GLYPH_SIDE, image_size or GLYPH_SIDE), 0)
    for key, value in (("path", path), ("texts", texts), ("image_size", image_size)):
        if value is None:
            raise DataError(f"data set {name!r} needs {key}, but got none; it needs path, texts and image_size")
    assert image_size is not None
    return DataShape((3, image_size, image_size), 0)


def check_image_size(image_size: int | None) -> None:
    """Refuse a side in pixels that is not a whole number of at least 1."""
    if image_size is not None and (type(image_size) is not int or image_size < 1):
        raise DataError(f"image_size must be a whole number of pixels of at least 1, but got {image_size!r}")


def required_for_folder(path: str | Path | None, image_size: int | None) -> tuple[int, Path]:
    """The two things that only the caller knows about an image folder: its side in pixels and its place."""
    if path is None:
        raise DataError(
            f"data set {IMAGE_FOLDER!r} needs a path, but got none; set path to the folder of class folders"
        )
    if image_size is None:
        raise DataError(
            f"data set {IMAGE_FOLDER!r} needs image_size, but got none; set it to a side in pixels, as in 64"
        )
    return image_size, Path(path)
