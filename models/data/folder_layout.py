"""Image folders as they lie on disk: ``root/CLASS/*`` or ``root/{train,val,test}/CLASS/*``.

Nothing here opens an image or imports torch. Hidden files and folders (a leading dot) are passed over.
"""

from pathlib import Path

from .errors import DataError

SPLITS = ("train", "val", "test")


def split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split: ``{"train": root}`` where the root holds the classes, else those that there are.

    A folder ``root/train`` that holds files and no folders is a class named train. Raises :class:`DataError` where
    the root is no folder, or a folder beside ``train`` is no split.
    """
    folders = _folders(root)
    if "train" not in folders or not _folders(root / "train"):
        return {"train": root}
    strangers = [name for name in folders if name not in SPLITS]
    if strangers:
        raise DataError(
            f"beside 'train' only 'val' and 'test' may stand, but {root} has {strangers[0]!r}; rename or move it"
        )
    return {split: root / split for split in SPLITS if split in folders}


def class_names(folder: Path) -> tuple[str, ...]:
    """The classes of a folder, sorted; at least two, or a :class:`DataError`."""
    names = tuple(_folders(folder))
    if len(names) < 2:
        found = f"one, {names[0]!r}" if names else "none"
        raise DataError(
            f"an image folder needs one folder per class and two classes at least, but {folder} has {found}; "
            "lay the images out as CLASS/image.png"
        )
    return names


def list_splits(root: Path) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    """The class names, and the files of each split with their labels, sorted by class and name."""
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
        raise DataError(f"a class folder must hold images only, but {nested[0]} is a folder; move its images up")
    if not entries:
        raise DataError(f"every class needs images, but {folder} is empty; add images or remove the folder")
    return entries


def _folders(root: Path) -> list[str]:
    return [entry.name for entry in _visible(root) if entry.is_dir()]


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"the data path must exist, but {folder} does not; check the path") from None
    except NotADirectoryError:
        raise DataError(f"the data path must be a folder, but {folder} is a file; name the folder it is in") from None
    except OSError as error:
        raise DataError(f"the data path must be readable, but listing {folder} failed: {error.strerror}") from None
