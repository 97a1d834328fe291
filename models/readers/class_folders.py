"""Class folders: ``root/CLASS/*`` or ``root/{train,val,test}/CLASS/*``, listed without opening an image.

Hidden entries, and those that archive tools and file managers write, are ignored.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..image_files.arrow_arrays import as_arrow, texts_as_arrow
from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from ..image_files.locations import Location, RemotePath, relative
from .labels import class_name_notes
from .split_names import IMAGE_SUFFIXES, is_ignored, normalised, split_of

ClassFolders = dict[str, list[str]]  # class name -> its folders, relative to the root


def read_class_folders(root: Location, *, nested: bool = False) -> Index:
    """Return the index of class folders, ordered by split, class and file name.

    With ``nested`` every folder that contains files is a class, named by its path, as in ``bird/owl``. Names that
    differ only in the Unicode form (NFC, NFD) are one class.

    Raises :class:`DataError` if there are fewer than two classes, the splits have different classes, a class is empty
    or contains folders, or a name is not UTF-8.
    """
    folders_of = split_folders(root)
    splits = {split: _classes_below(root, folder, nested) for split, folder in folders_of.items()}
    classes = _common_classes(root, splits)
    parts = [
        _ClassFiles(root, folder, label, SPLITS.index(split), nested)
        for split, folders in splits.items()
        for label, name in enumerate(classes)
        for folder in folders[name]
    ]
    notes = (*_loose_images(root, folders_of.values()), *class_name_notes(classes))
    return Index(classes, "folder", str(root), _table(parts), notes)


def _loose_images(root: Location, split_names: Iterable[str]) -> tuple[str, ...]:
    """Return a note on images that are in no class folder: next to the class folders or the folders of the splits."""
    places = dict.fromkeys([root, *(root / name for name in split_names)])
    files = [place / name for place in places for name in list_folder(place)[1]]
    loose = [file for file in files if file.suffix[1:].lower() in IMAGE_SUFFIXES]
    if not loose:
        return ()
    return (f"{len(loose):,} images in no class folder are not used, such as {loose[0]}; move them into one",)


def class_names(root: Location, *, nested: bool = False) -> tuple[str, ...]:
    """Return the class names of the training split, sorted, without listing the files of a class.

    Raises :class:`DataError` if there are fewer than two.
    """
    return _checked_names(root, split_folders(root)["train"], nested)[0]


def split_folders(root: Location) -> dict[str, str]:
    """Return the folder of each split relative to ``root``, or ``{"train": ""}`` if the root has the class folders.

    A folder named train that contains files and no folders is a class. Raises :class:`DataError` if the root is not a
    folder, a folder next to the training split is no split, two are the same split, or the training split is missing.
    """
    names = _folders(root)
    with_folders = [name for name in names if split_of(name) and _folders(root / name)]
    if "train" not in map(split_of, with_folders):
        if with_folders and all(map(split_of, names)):
            raise DataError(
                f"images need a training split, but {root} has only {', '.join(map(repr, names))}; "
                "rename one to 'train', or use a path to class folders"
            )
        return {"train": ""}
    for name in names:
        if split_of(name) is None:
            raise DataError(
                f"a folder of splits may contain only 'train', 'val' and 'test', but {root} has {name!r}; "
                "rename or move it"
            )
    _check_one_folder_each(root, names)
    return {split: name for split in SPLITS for name in names if split_of(name) == split}


def _check_one_folder_each(root: Location, names: list[str]) -> None:
    split, count = Counter(map(split_of, names)).most_common(1)[0]
    if count > 1:
        same = " and ".join(repr(name) for name in names if split_of(name) == split)
        raise DataError(f"a split must be one folder, but {root} has {same} for {split!r}; merge or rename them")


def _checked_names(root: Location, folder: str, nested: bool) -> tuple[tuple[str, ...], ClassFolders]:
    below = root / folder
    folders = dict(_nested_classes(root, below)) if nested else _plain_classes(root, below)
    names = tuple(sorted(folders))
    if len(names) < 2:
        present = f"one, {names[0]!r}" if names else "none"
        raise DataError(
            f"an image folder needs one folder per class and at least two classes, but {below} has {present}; "
            f"{_advice(below, names, folder)}"
        )
    return names, folders


def _advice(folder: Location, names: tuple[str, ...], split: str) -> str:
    """Return what to do with a ``folder`` that has the classes ``names``; ``split`` is its name if it is a split."""
    manifests = [name for name in list_folder(folder)[1] if Path(name).suffix.lower() in (".csv", ".tsv", ".jsonl")]
    if manifests:
        return f"if {manifests[0]!r} has their labels, use {folder / manifests[0]} as the path"
    if split_of(split) in ("val", "test") and not names and list_folder(folder)[1]:
        return f"if the labels of its images are unknown, move {split!r} away: archsieve draws missing splits"
    if len(names) == 1 and (folder / names[0]).is_dir() and len(_folders(folder / names[0])) > 1:
        return f"if the classes are in {names[0]!r}, use {folder / names[0]} as the path"
    return "arrange the images as CLASS/image.png"


def _classes_below(root: Location, folder: str, nested: bool) -> ClassFolders:
    return _checked_names(root, folder, nested)[1]


def _plain_classes(root: Location, folder: Location) -> ClassFolders:
    found: ClassFolders = defaultdict(list)
    for name in _folders(folder):
        found[normalised(name)].append(str(relative(folder / name, root)))
    return dict(found)


def _nested_classes(root: Location, top: Location) -> ClassFolders:
    found: ClassFolders = defaultdict(list)
    for folder in _walk(top):
        name = normalised(str(relative(folder, top)))
        found[name].append(str(relative(folder, root)))
    return dict(found)


def _walk(folder: Location, above: frozenset[object] = frozenset()) -> Iterator[Location]:
    """Yield the folders below ``folder`` that contain files or nothing."""
    for name in _folders(folder):
        below = folder / name
        if (identity := _identity(below)) in above:
            raise DataError(
                f"a folder must not contain itself, but {below} is a link to a folder above it; remove the link"
            )
        folders, files = list_folder(below)
        if files or not folders:
            yield below
        yield from _walk(below, above | {identity})


def _identity(folder: Location) -> object:
    """Return what is equal for a folder and the links to it; file systems at a URL have no links."""
    if isinstance(folder, RemotePath):
        return folder
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _common_classes(root: Location, splits: Mapping[str, ClassFolders]) -> tuple[str, ...]:
    classes = set(splits["train"])
    for split, folders in splits.items():
        if differing := sorted(classes ^ set(folders)):
            places = {part: root / Path(next(iter(of.values()))[0]).parts[0] for part, of in splits.items()}
            has, lacks = ("train", split) if differing[0] in classes else (split, "train")
            raise DataError(
                f"the splits of an image folder must have the same classes, but {differing[0]!r} is in {places[has]} "
                f"and not in {places[lacks]}; add or remove it"
            )
    return tuple(sorted(classes))


class _ClassFiles:
    """The files of one class folder as Arrow columns: a Python object for each row would take 200 MB in ImageNet."""

    def __init__(self, root: Location, folder: str, label: int, split: int, nested: bool) -> None:
        folders, files = list_folder(root / folder)
        if folders and not nested:
            raise DataError(
                f"a class folder may contain only images, but {root / folder / folders[0]} is a folder; "
                "move its images up, or set nested = true to make it a class"
            )
        if not files:
            raise DataError(f"every class needs images, but {root / folder} is empty; add images or remove the folder")
        self.folder, self.label, self.split = folder, label, split
        self.files = texts_as_arrow(files)


def _table(parts: list[_ClassFiles]) -> pa.Table:
    counts = [len(part.files) for part in parts]
    codes = as_arrow(np.repeat(np.arange(len(parts), dtype=np.int32), counts))
    return index_table(
        pa.DictionaryArray.from_arrays(codes, texts_as_arrow([part.folder for part in parts])),
        pa.concat_arrays([part.files for part in parts]),
        np.repeat(np.array([part.label for part in parts], np.int32), counts),
        np.repeat(np.array([part.split for part in parts], np.int8), counts),
    )


def _folders(folder: Location) -> list[str]:
    return list_folder(folder)[0]


def list_folder(folder: Location) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in ``folder``, each sorted, without ignored ones.

    Raises :class:`DataError` if it cannot be listed or a name is not UTF-8.
    """
    folders: list[str] = []
    files: list[str] = []
    try:
        for name, is_folder in _entries(folder):
            if not is_ignored(name):
                (folders if is_folder else files).append(name)
    except FileNotFoundError:
        raise DataError(f"the data path must exist, but {folder} does not; check the path") from None
    except NotADirectoryError:
        raise DataError(f"the data path must be a folder, but {folder} is a file; use the folder it is in") from None
    except OSError as error:
        raise DataError(
            f"the data path must be readable, but listing {folder} failed: {error.strerror or error}; check its "
            "permissions"
        ) from None
    _check_utf8(folder, folders + files)
    # Sorted, because the order of a listing depends on the file system, and labels and splits follow the order.
    return sorted(folders), sorted(files)


def _entries(folder: Location) -> Iterator[tuple[str, bool]]:
    """Yield name and whether it is a folder, for all that is in ``folder``."""
    if isinstance(folder, RemotePath):
        yield from folder.children()
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            # the kind is a part of the listing, so that only symbolic links cost a call
            yield entry.name, _is_folder(entry)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link: the decoder reports it as a file
        return False


def _check_utf8(folder: Location, names: list[str]) -> None:
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        bad = next(name for name in names if not is_utf8(name))
        raise DataError(
            f"names of files and folders must be UTF-8, but {os.fsencode(bad)!r} in {os.fsencode(str(folder))!r} is "
            "not; rename it"
        ) from None


def is_utf8(name: str) -> bool:
    """Return whether a name of the file system can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
