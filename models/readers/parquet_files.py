"""Parquet and Arrow files with images in them, as Hugging Face ``datasets`` writes: an image and a label column."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..image_files.byte_access import image_column, row_columns, row_schema
from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from ..image_files.locations import Location, relative
from .label_sets import label_notes
from .labels import check_split_classes, encode_splits, named
from .manifest import Columns, column_notes, find_columns, label_columns, optional_columns, table_labels
from .split_names import split_in


def has_images(file: Location) -> bool:
    """Return whether a Parquet file has a column with the bytes of images. Raises :class:`DataError` for a bad file."""
    try:
        return image_column(file) is not None
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(file, error) from None


def read_parquet_files(
    files: Sequence[Location], root: Location, columns: Columns | None = None, label_separator: str | None = None
) -> Index:
    """Return the index of files with an image column, in the order of files and rows; no image is read.

    Class names are those that Hugging Face writes into the schema, or the labels. The split is a column, or a word of
    the path such as in ``validation-00000-of-00001.parquet``. ``columns`` and ``label_separator`` are those of a
    manifest. Raises :class:`DataError`.
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
    class_names = _common_class_names(files, use["label"]) if "label" in use else None
    classes, labels = table_labels(table, use, columns or {}, label_separator, str(files[0]), class_names)
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
    return check_split_classes(Index(classes, "parquet", str(root), index, (*column_notes(use), *label_notes(labels))))


def _broken(file: Location, error: Exception) -> DataError:
    return DataError(f"a Parquet file must be complete, but {file} is not: {error}; copy or download it again")


def _read(file: Location, columns: Columns) -> pa.Table:
    """Return the columns of a file except the images."""
    names = [name for name in row_schema(file).names if name != image_column(file)]
    given = {role: name for role, name in columns.items() if role != "path"}
    use = find_columns(names, given, str(file), ("label",))
    use.pop("path", None)
    try:
        return row_columns(file, list(dict.fromkeys([*use.values(), *label_columns(columns)])))
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
        feature = features[column]
        # a list of classes is a list with one feature, or a feature below the key of older versions
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        return [str(name) for name in feature["names"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
