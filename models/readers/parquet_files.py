"""Parquet and Arrow files with images in them, as Hugging Face ``datasets`` writes: an image and a label column."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..image_files.byte_access import image_column, row_columns, row_schema
from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from ..image_files.locations import Location, relative
from .labels import as_column, check_split_classes, codes_of_classes, encode_labels, encode_splits, named
from .manifest import column_notes, find_columns, optional_columns
from .split_names import split_in


def has_images(file: Location) -> bool:
    """Return whether a Parquet file has a column with the bytes of images. Raises :class:`DataError` for a bad file."""
    try:
        return image_column(file) is not None
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(file, error) from None


def read_parquet_files(files: Sequence[Location], root: Location, columns: Mapping[str, str] | None = None) -> Index:
    """Return the index of files with an image column, in the order of files and rows; no image is read.

    Class names are those that Hugging Face writes into the schema, or the labels. The split is a column, or a word of
    the path such as in ``validation-00000-of-00001.parquet``. Raises :class:`DataError`.
    """
    for file in files:
        if not has_images(file):
            names = ", ".join(map(repr, row_schema(file).names))
            raise DataError(
                f"Parquet files need a column with the bytes of the images, but {file} has only {names}; "
                "save the images into it, or a column with their paths"
            )
    tables = [_read(file, columns or {}) for file in files]
    rows = [table.num_rows for table in tables]
    table, use = _joined(tables, files), find_columns(tables[0].column_names, columns or {}, str(files[0]), ())
    codes = pa.array(np.repeat(np.arange(len(files), dtype=np.int32), rows))
    classes, labels = _labels(files, table, use["label"])
    part = [SPLITS.index(split_in(str(relative(file, root))) or "train") for file in files]
    splits = np.repeat(np.array(part, np.int8), rows)
    if "split" in use:
        splits = encode_splits(table[use["split"]], len(labels), f"column {use['split']!r} of {files[0]}")
    index = index_table(
        pa.DictionaryArray.from_arrays(codes, pa.array([str(relative(file, root)) for file in files], pa.string())),
        pa.array(np.zeros(len(labels), "U1")).cast(pa.string()),
        labels,
        splits,
        offset=np.concatenate([np.arange(n) for n in rows]),
        length=np.zeros(len(labels), np.int64),
        **optional_columns(table, use, str(files[0])),
    )
    return check_split_classes(Index(classes, "parquet", str(root), index, column_notes(use)))


def _broken(file: Location, error: Exception) -> DataError:
    return DataError(f"a Parquet file must be complete, but {file} is not: {error}; copy or download it again")


def _read(file: Location, columns: Mapping[str, str]) -> pa.Table:
    """Return the columns of a file except the images."""
    names = [name for name in row_schema(file).names if name != image_column(file)]
    given = {role: name for role, name in columns.items() if role != "path"}
    use = find_columns(names, given, str(file), ("label",))
    use.pop("path", None)
    try:
        return row_columns(file, list(dict.fromkeys(use.values())))
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(file, error) from None


def _joined(tables: Sequence[pa.Table], files: Sequence[Location]) -> pa.Table:
    first = tables[0].schema.remove_metadata()
    for table, file in zip(tables, files, strict=True):
        if not table.schema.remove_metadata().equals(first):
            raise DataError(
                f"the Parquet files of a data set must have the same columns, but {files[0]} has "
                f"{_columns(first)} and {file} has {_columns(table.schema)}; use the files of one data set"
            )
    return pa.concat_tables([table.replace_schema_metadata() for table in tables])


def _columns(schema: Any) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def _labels(files: Sequence[Location], table: pa.Table, column: str) -> tuple[tuple[str, ...], np.ndarray]:
    names, where = _common_class_names(files, column), f"column {column!r} of {files[0]}"
    values = as_column(table[column])
    if names is None or not pa.types.is_integer(values.type):
        return encode_labels(values, where)
    codes = values.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes_of_classes(codes, names, where)


def _common_class_names(files: Sequence[Location], column: str) -> list[str] | None:
    """Return the names of the classes of all files; None without them. Raises :class:`DataError` if they differ."""
    first = _class_names(files[0], column)
    for file in files[1:]:
        if (names := _class_names(file, column)) != first:
            raise DataError(
                f"the Parquet files of a data set must have the same class names in the same order, but column "
                f"{column!r} of {files[0]} has {_named_classes(first)} and that of {file} has {_named_classes(names)}; "
                "use the files of one data set, or write them with the same features"
            )
    return first


def _named_classes(names: list[str] | None) -> str:
    return "none" if names is None else named(list(map(repr, names)))


def _class_names(file: Location, column: str) -> list[str] | None:
    """Return the names of the classes that Hugging Face wrote into the schema; None without them."""
    try:
        features = json.loads((row_schema(file).metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
