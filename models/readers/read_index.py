"""Read what a path or URL leads to as an index: class folders, a manifest, tar shards, Parquet files or arrays."""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from ..image_files.errors import DataError
from ..image_files.index import Index
from ..image_files.locations import Location, RemotePath, location, relative
from . import arrays, class_folders, manifest, parquet_files, saved_datasets, tar_shards
from .class_folders import is_utf8, list_folder
from .manifest import Columns
from .split_names import split_of

ARCHIVES = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
TABLES = (".xlsx", ".xls", ".ods", ".txt", ".dat", ".feather", ".pkl", ".sqlite", ".db")
KINDS = "class folders, or a .csv, .tsv, .jsonl, .parquet, .arrow, .tar, .npz or .npy file"
SHARD_SUFFIXES = (".tar", ".parquet", ".arrow")


def read_index(
    path: str | Location, *, columns: Columns | None = None, nested: bool = False, label_separator: str | None = None
) -> Index:
    """Return the index of the images at ``path``; no image is decoded.

    ``path`` is a folder of class folders, a manifest (.csv, .tsv, .jsonl, .parquet), tar shards or Parquet files with
    images (a file, a folder of them, or a pattern such as ``train-{000..009}.tar`` or ``data/*.parquet``), a folder
    that ``save_to_disk`` of Hugging Face wrote, or arrays (.npz, .npy). All but arrays may be at a URL that fsspec
    supports, such as ``s3://bucket/photos``. ``columns`` names the columns ("path", "label", "split", "group",
    "weight") that are not recognised. ``nested`` makes every folder with images a class. An image has several labels
    where "label" names several columns, the labels are lists or a matrix, or ``label_separator`` is in their texts.
    Raises :class:`DataError`.
    """
    path = location(path)
    if isinstance(path, RemotePath):
        path.forget_listings()
    files = _files(path)
    if files is None:
        _refuse_table_keys(path, columns, label_separator, "class folders")
        return class_folders.read_class_folders(path, nested=nested)
    root = path if path.is_dir() else _common_folder(files)
    match _suffix(files, path):
        case ".tar":
            _refuse_columns(path, columns, "tar shards")
            return tar_shards.read_tar_shards(files, root, label_separator)
        case ".npz" | ".npy" if isinstance(file := files[0], Path):
            _refuse_table_keys(path, columns, label_separator, "arrays")
            return arrays.read_arrays(file)
        case ".npz" | ".npy":
            raise DataError(f"an array file must be on this machine, but got {files[0]}; copy it, and use its path")
        case ".arrow":
            return parquet_files.read_parquet_files(files, root, columns, label_separator)
        case ".parquet" if len(files) > 1 or path.is_dir() or parquet_files.has_images(files[0]):
            return parquet_files.read_parquet_files(files, root, columns, label_separator)
        case suffix if suffix in manifest.SUFFIXES:
            return manifest.read_manifest(files[0], columns, label_separator)
    raise _no_reader(files[0])


def read_classes(
    path: str | Location, *, columns: Columns | None = None, nested: bool = False, label_separator: str | None = None
) -> tuple[tuple[str, ...], bool]:
    """Return the class names of the images at ``path``, and whether an image may have several of them.

    Of class folders no image is listed.
    """
    path = location(path)
    if _files(path) is None:
        _refuse_table_keys(path, columns, label_separator, "class folders")
        return class_folders.class_names(path, nested=nested), False
    index = read_index(path, columns=columns, nested=nested, label_separator=label_separator)
    return index.classes, index.multi_label


def _refuse_columns(path: Location, columns: Columns | None, what: str) -> None:
    if columns:
        raise DataError(
            f"columns are those of a table, but {path} has {what} and columns has "
            f"{', '.join(map(repr, list(columns)[:3]))}; leave it out, or give the path of a table"
        )


def _refuse_table_keys(path: Location, columns: Columns | None, label_separator: str | None, what: str) -> None:
    _refuse_columns(path, columns, what)
    if label_separator is not None:
        raise DataError(
            f"label_separator is for labels in a text, but {path} has {what} and label_separator is "
            f"{label_separator!r}; leave it out, or write a manifest with a column of labels"
        )


def _files(path: Location) -> list[Location] | None:
    """Return the files that ``path`` leads to, sorted; None for class folders."""
    if not is_utf8(str(path)):
        raise DataError(f"the data path must be UTF-8, but {str(path).encode(errors='replace')!r} is not; rename it")
    if path.is_dir():
        return _files_in_folder(path)
    if path.exists():
        if isinstance(path, Path) and not path.is_file():  # reading a pipe would wait for a writer
            raise DataError(f"the data path must be {KINDS}, but {path} is no regular file; write its content to one")
        return [path]
    if re.search(r"[*?\[{]", str(path)):
        return _matching(path)
    raise DataError(f"the data path must exist, but {path} does not; check the path")


def _files_in_folder(folder: Location) -> list[Location] | None:
    """Return the shards or Parquet files of a folder, of its folder "data", or of its splits; None for class folders.

    A folder with other folders has classes, even if a table of features is next to them.
    """
    folders, names = list_folder(folder)
    if saved_datasets.is_saved(names):
        return saved_datasets.data_files(folder, names)
    files = [folder / name for name in names] if not folders else []
    if folders == ["data"] or (folders and all(map(split_of, folders))):
        files = [folder / name / file for name in folders for file in list_folder(folder / name)[1]]
    for suffix in SHARD_SUFFIXES:
        if matching := [file for file in files if file.suffix.lower() == suffix]:
            return matching
    return None


def _matching(pattern: Location) -> list[Location]:
    files = list[Location]()
    for text in _expand_braces(str(pattern)):
        found = _glob(text) if re.search(r"[*?\[]", text) else [location(text)]
        if not found or not all(file.exists() for file in found):
            raise DataError(f"the files of a pattern must exist, but {text} of {pattern} does not; check the pattern")
        files += found
    return list(dict.fromkeys(files))


def _glob(pattern: str) -> Sequence[Location]:
    path = location(pattern)
    if isinstance(path, RemotePath):
        return path.glob()
    anchor = Path(path.anchor)
    return sorted(anchor.glob(str(path.relative_to(anchor))))


def _expand_braces(text: str) -> list[str]:
    """Return the texts that a pattern with braces matches.

    >>> _expand_braces("{train,val}-{08..10}.tar")[:4]
    ['train-08.tar', 'train-09.tar', 'train-10.tar', 'val-08.tar']
    """
    parts = [_options(part) if i % 2 else [part] for i, part in enumerate(re.split(r"\{([^{}]*)\}", text))]
    return ["".join(chosen) for chosen in product(*parts)]


def _options(part: str) -> list[str]:
    if numbers := re.fullmatch(r"(\d+)\.\.(\d+)", part):
        first, last = numbers.groups()
        return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return part.split(",")


def _common_folder(files: Sequence[Location]) -> Location:
    folder = files[0].parent
    while any(relative(file, folder) is None for file in files):
        folder = folder.parent
    return folder


def _suffix(files: Sequence[Location], path: Location) -> str:
    suffixes = sorted({file.suffix.lower() for file in files})
    if len(suffixes) > 1 or (len(files) > 1 and suffixes[0] not in SHARD_SUFFIXES):
        raise DataError(
            f"a pattern must match tar shards or Parquet files of one kind, but {path} matches {len(files)} files with "
            f"{', '.join(suffixes)}; use a manifest to name images one by one"
        )
    return suffixes[0] if suffixes else ""


def _no_reader(file: Location) -> DataError:
    if file.suffix.lower() in ARCHIVES:
        return DataError(f"the data path must be {KINDS}, but {file} is an archive; unpack it first")
    cure = "save its table as CSV" if file.suffix.lower() in TABLES else "use the folder it is in, or a manifest"
    return DataError(f"the data path must be {KINDS}, but {file} is a file; {cure}")
