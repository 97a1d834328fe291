"""The layout of image folders on disk: ``root/CLASS/*`` or ``root/{train,val,test}/CLASS/*``.

This module opens no image and does not import torch. Hidden files and folders (with a leading dot) are ignored.
"""

from pathlib import Path

from .errors import DataError

SPLITS = ("train", "val", "test")


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each existing split, or ``{"train": root}`` if the root contains the class folders.

    A folder ``root/train`` that contains files and no folders is a class named train. Raises :class:`DataError` if
    the root is not a folder, or if a folder next to ``train`` is not a split.
    """
    folders = _folders(root)
    if "train" not in folders or not _folders(root / "train"):
        return {"train": root}
    unexpected = [name for name in folders if name not in SPLITS]
    if unexpected:
        raise DataError(
            f"a folder with 'train' may have only 'val' and 'test' next to it, but {root} has {unexpected[0]!r}; "
            "rename or move it"
        )
    return {split: root / split for split in SPLITS if split in folders}


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the class names of a folder, sorted. Raises :class:`DataError` if there are fewer than two."""
    names = tuple(_folders(folder))
    if len(names) < 2:
        present = f"one, {names[0]!r}" if names else "none"
        raise DataError(
            f"an image folder needs one folder per class and at least two classes, but {folder} has {present}; "
            "arrange the images as CLASS/image.png"
        )
    return names


def list_splits(root: Path) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    """Return the class names, and the files of each split with their labels, sorted by class and file name.

    Raises :class:`DataError` if the splits have different classes, or a class is empty or contains folders.
    """
    folders = split_folders(root)
    classes = class_names(folders["train"])
    for folder in folders.values():
        _check_same_classes(folders["train"], classes, folder)
    return classes, {split: _labelled_files(folder, classes) for split, folder in folders.items()}


def _check_same_classes(train: Path, classes: tuple[str, ...], folder: Path) -> None:
    differing = sorted(set(classes) ^ set(class_names(folder)))
    if differing:
        has, lacks = (train, folder) if differing[0] in classes else (folder, train)
        raise DataError(
            f"the splits of an image folder must have the same classes, but {differing[0]!r} is in {has} "
            f"and not in {lacks}; add or remove it"
        )


def _labelled_files(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    return [(file, label) for label, name in enumerate(classes) for file in _files(folder / name)]


def _files(folder: Path) -> list[Path]:
    entries = _visible(folder)
    nested = [entry for entry in entries if entry.is_dir()]
    if nested:
        raise DataError(f"a class folder may contain only images, but {nested[0]} is a folder; move its images up")
    if not entries:
        raise DataError(f"every class needs images, but {folder} is empty; add images or remove the folder")
    return entries


def _folders(root: Path) -> list[str]:
    return [entry.name for entry in _visible(root) if entry.is_dir()]


def _visible(folder: Path) -> list[Path]:
    try:
        # Sorted, because the order of iterdir depends on the file system, and labels and hashes follow the order.
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"the data path must exist, but {folder} does not; check the path") from None
    except NotADirectoryError:
        raise DataError(f"the data path must be a folder, but {folder} is a file; use the folder it is in") from None
    except OSError as error:
        raise DataError(
            f"the data path must be readable, but listing {folder} failed: {error.strerror}; check its permissions"
        ) from None
