"""Manifests: a CSV, TSV, JSON-lines or Parquet file with a path and a label for each image."""

import json
import os
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...spaces.parameters.lookup import unknown
from ..image_files.errors import DataError
from ..image_files.index import Index, index_table
from ..image_files.locations import Location, RemotePath, joined
from .class_folders import is_utf8
from .delimited import read_delimited
from .label_sets import Labels, encode_column, encode_indicators, label_notes
from .labels import MAX_NAMED, as_column, check_split_classes, encode_splits, named
from .missing_paths import check_paths_exist
from .split_names import normalised

# the names under which a column is recognised, in any case; the first that exists is used
COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "path": (
        *("path", "file_path", "filepath", "image_path", "img_path", "file_name", "filename", "file"),
        *("image", "img", "image_file", "image_name", "images", "paths", "filenames", "files"),
    ),
    "label": ("label", "class", "target", "category", "class_name", "label_name", "labels", "class_id", "y"),
    "split": ("split", "subset", "partition", "part", "set"),
    "group": ("group", "group_id", "groups", "patient", "patient_id", "subject", "subject_id", "series", "series_id"),
    "weight": ("weight", "weights", "sample_weight"),
}
REQUIRED = ("path", "label")
Columns = Mapping[str, str | Sequence[str]]  # the column of each role; of "label" also a list, one for each class
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def read_manifest(file: Location, columns: Columns | None = None, label_separator: str | None = None) -> Index:
    """Return the index of a manifest, in the order of its rows.

    ``columns`` names the columns "path", "label", "split", "group" and "weight"; others are recognised by common names.
    Several columns for "label" have 1 where an image has the class with the name of the column; with
    ``label_separator`` the texts of one column are several labels. Paths are relative to the folder of the manifest,
    absolute, or URLs. Raises :class:`DataError` for missing columns, labels or images.
    """
    table = read_table(file, columns or {})
    use = find_columns(table.column_names, columns or {}, str(file), REQUIRED)
    if table.num_rows == 0:
        raise DataError(f"a manifest needs a row for each image, but {file} has none; add rows")
    classes, labels = table_labels(table, use, columns or {}, label_separator, str(file))
    container, names = _paths(table[use["path"]], file)
    split = table[use["split"]] if "split" in use else None
    return check_split_classes(
        Index(
            classes,
            "manifest",
            str(file.parent),
            index_table(
                container,
                names,
                labels,
                encode_splits(split, len(labels), f"column {use.get('split')!r} of {file}"),
                **optional_columns(table, use, str(file)),
            ),
            (*column_notes(use), *label_notes(labels)),
        )
    )


def table_labels(
    table: pa.Table,
    use: Mapping[str, str],
    columns: Columns,
    label_separator: str | None,
    where: str,
    names: Sequence[str] | None = None,
) -> Labels:
    """Return class names and labels of a table whose columns :func:`find_columns` found; ``names`` as for a column."""
    if several := label_columns(columns):
        if label_separator is not None:
            raise DataError(
                f"labels are in several columns or in one with a separator, but data.columns.label has {len(several)} "
                f"columns and label_separator is {label_separator!r}; leave one of them out"
            )
        return encode_indicators({name: table[name] for name in several}, where)
    return encode_column(table[use["label"]], label_separator, f"column {use['label']!r} of {where}", names)


def label_columns(columns: Columns) -> tuple[str, ...]:
    """Return the label columns if there are several, one for each class; otherwise none."""
    label = columns.get("label", "")
    return () if isinstance(label, str) else tuple(label)


def read_table(file: Location, columns: Columns) -> pa.Table:
    """Return the table of a manifest; columns of CSV and TSV files are text. Raises :class:`DataError`."""
    suffix = file.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            cure = "every row needs as many values as the first line has names; quote values that have a delimiter"
            return read_delimited(file, _known_names(columns))
        if suffix == ".parquet":
            from pyarrow import parquet

            cure = "copy or download it again"
            return parquet.read_table(_arrow_source(file))
        cure = "every line must be an object whose values have the same types in all lines, such as text as labels"
        return _read_json(file)
    except UnicodeDecodeError as error:
        reason, cure = str(error), "save it again, as UTF-8"
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, RecursionError, OSError) as error:
        if isinstance(error, DataError):
            raise
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(
                f"a manifest must be readable, but {file} is not: {error.strerror}; check its permissions"
            ) from None
        reason, cure = str(error), "save it again, as UTF-8" if "invalid UTF8" in str(error) else cure
    raise DataError(f"a manifest must have the format of its suffix, but {file} is not valid: {reason}; {cure}")


def _known_names(columns: Columns) -> set[str]:
    """Return the names of columns, in lower case, that are recognised or given."""
    given = {name for value in columns.values() for name in ([value] if isinstance(value, str) else value)}
    return {name.strip().lower() for name in given.union(*COLUMN_NAMES.values())}


def _read_json(file: Location) -> pa.Table:
    """Return the table of JSON lines, or of one list of objects, as pandas writes with ``orient="records"``."""
    with file.open("rb") as content:
        if not content.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            from pyarrow import json as arrow_json

            return arrow_json.read_json(_arrow_source(file))
        content.seek(0)
        rows = json.load(content)
    if not rows:
        raise DataError(f"a manifest needs a row for each image, but {file} has none; add rows")
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is a list, and an entry of it is no object")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _arrow_source(file: Location) -> Any:
    """Return what Arrow reads: a path, or an open file at a URL."""
    return file.open() if isinstance(file, RemotePath) else file


def find_columns(names: Sequence[str], given: Columns, where: str, required: Sequence[str]) -> dict[str, str]:
    """Return the column for each of :data:`COLUMN_NAMES` that there is; "label" only where it is one column.

    Raises :class:`DataError` for a required column that is missing, and for a given one that does not exist.
    """
    several = label_columns(given)
    for role, name in given.items():
        _check_given(role, name, names, where)
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    found = {
        role: by_lower[spelling]
        for role, spellings in COLUMN_NAMES.items()
        for spelling in reversed(spellings)
        if spelling in by_lower and not (several and role == "label")
    }
    use = {**found, **{role: name for role, name in given.items() if isinstance(name, str)}}
    for name in (*use.values(), *several):
        if names.count(name) > 1:
            raise DataError(f"columns must have different names, but {where} has {name!r} twice; rename one")
    for role in required:
        if role not in use and not (several and role == "label"):
            raise DataError(
                f"a manifest needs a column with the {role} of each image, such as {role!r}, but {where} has "
                f"{_shown_names(names)}; {_nearest(names, role)}name it with data.columns.{role}, or --column "
                f"{role}=NAME on the command line"
            )
    return use


def _shown_names(names: Sequence[str]) -> str:
    """Return the names of the columns; the first line of a file without names has values."""
    shown = ", ".join(map(repr, names))
    known = {spelling for spellings in COLUMN_NAMES.values() for spelling in spellings}
    none_known = known.isdisjoint(name.strip().lower() for name in names)
    return f"{shown} in its first line, which must have the names of the columns" if none_known else shown


def _check_given(role: str, name: str | Sequence[str], names: Sequence[str], where: str) -> None:
    """Raise :class:`DataError` for a role or column that does not exist, and several columns that are no labels."""
    if role not in COLUMN_NAMES:
        raise DataError(f"data.columns: {unknown('column', role, COLUMN_NAMES)}")
    several = [name] if isinstance(name, str) else list(name)
    if not isinstance(name, str) and (role != "label" or len(set(several)) < max(2, len(several))):
        rule = "at least two different names of columns" if role == "label" else "the name of one column"
        raise DataError(f"data.columns.{role} must be {rule}, but got {named(list(map(repr, several)))}; correct it")
    for one in several:
        if one not in names:
            raise DataError(f"data.columns.{role}: {where} has no column {one!r}; {unknown('column', one, names)}")


def _nearest(names: Sequence[str], role: str) -> str:
    """Return a suggestion for a misspelled column; an empty text without a similar one."""
    lower = {name.lower(): name for name in names}
    similar = [lower[near[0]] for known in COLUMN_NAMES[role] if (near := get_close_matches(known, lower, 1, 0.75))]
    return f"is it {similar[0]!r}? " if similar else ""


def optional_columns(table: pa.Table, use: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return the columns ``group`` and ``weight`` of an index, where the table has them."""
    found: dict[str, Any] = {}
    if "group" in use:
        groups = as_column(table[use["group"]]).cast(pa.string())
        # an empty cell is an image without a group
        found["group"] = pc.if_else(pc.equal(groups, ""), None, groups).dictionary_encode()
    if "weight" in use:
        weights = as_column(table[use["weight"]])
        if pa.types.is_string(weights.type):
            weights = pc.if_else(pc.equal(pc.utf8_trim_whitespace(weights), ""), None, weights)
        try:
            found["weight"] = weights.cast(pa.float32())
        except pa.ArrowInvalid as error:
            raise DataError(
                f"weights must be numbers, but column {use['weight']!r} of {where} has other values: {error}; "
                "correct or remove the column"
            ) from None
        _check_weights(found["weight"], f"column {use['weight']!r} of {where}")
    return found


def _check_weights(weights: pa.Array, where: str) -> None:
    """Raise :class:`DataError` for weights that are missing, negative or not finite."""
    values = weights.to_numpy(zero_copy_only=False)  # a missing one is NaN
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(bad):
        first = f"{values[bad[0]]:g}" if weights[int(bad[0])].is_valid else "none"
        raise DataError(
            f"weights must be finite numbers of at least 0, but {len(bad):,} of {len(values):,} rows of {where} are "
            f"not: row {bad[0] + 1} has {first}; correct them, or remove the column"
        )


def column_notes(use: Mapping[str, str]) -> tuple[str, ...]:
    """Return sentences on the optional columns in use."""
    notes = []
    if "group" in use:
        notes.append(f"images with the same {use['group']!r} stay on one side of a split")
    if "weight" in use:
        notes.append(
            f"the weights in {use['weight']!r} weigh the images in the training loss, not in validation, test or "
            "zero-shot training"
        )
    return tuple(notes)


def _paths(values: Any, file: Location) -> tuple[pa.DictionaryArray, pa.Array]:
    """Return folder and name of each image. Raises :class:`DataError` for images that do not exist."""
    paths = as_column(values)
    if not (pa.types.is_string(paths.type) or pa.types.is_large_string(paths.type)):
        raise DataError(f"paths must be text, but {file} has {paths.type}; name the column with data.columns.path")
    if missing := int(pc.sum(pc.equal(pc.fill_null(paths, ""), "")).as_py()):
        raise DataError(
            f"every row needs a path, but {missing:,} of {len(paths):,} rows of {file} have none; fill or remove them"
        )
    paths = pc.replace_substring(paths.cast(pa.string()), "\\", "/")  # manifests written on Windows
    folders, names = _split_paths(paths)
    return _existing(folders.dictionary_encode(), names, file)


def _split_paths(paths: pa.Array) -> tuple[pa.Array, pa.Array]:
    parts = pc.extract_regex(paths, r"(?s)^(?P<folder>.*/)?(?P<name>[^/]*)$")
    folder = pc.fill_null(parts.field("folder"), "")
    # the last slash goes, but that of the root folder stays
    return pc.replace_substring_regex(folder, "(.)/+$", r"\1"), parts.field("name")


def _existing(folders: pa.DictionaryArray, names: pa.Array, file: Location) -> tuple[pa.DictionaryArray, pa.Array]:
    """Return folders and names as they are on the disk, which may have another Unicode form of an accent."""
    codes = folders.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(folders.dictionary) + 1))
    on_disk, missing, renamed = list[str](), list[int](), dict[int, str]()
    for code, folder in enumerate(folders.dictionary.to_pylist()):
        rows = order[bounds[code] : bounds[code + 1]]
        actual, listed = _listed(str(file.parent), folder)
        on_disk.append(actual)
        absent = rows[~_is_in(names.take(pa.array(rows)), listed)]
        by_form = {normalised(name): name for name in listed if not name.isascii()} if len(absent) else {}
        for row in absent.tolist():
            name = by_form.get(normalised(names[row].as_py()))
            missing += [row] if name is None else []
            renamed |= {} if name is None else {row: name}
    shown = ["/".join(filter(None, (folders[row].as_py(), names[row].as_py()))) for row in sorted(missing)[:MAX_NAMED]]
    check_paths_exist(shown, len(missing), len(names), str(file), file.parent)
    texts = pa.array([renamed.get(row, text) for row, text in enumerate(names.to_pylist())]) if renamed else names
    return pa.DictionaryArray.from_arrays(folders.indices, pa.array(on_disk, pa.string())), texts


def _is_in(names: pa.Array, listed: list[str]) -> np.ndarray:
    return np.asarray(pc.is_in(names, pa.array(listed, pa.string())).to_numpy(zero_copy_only=False))


def _listed(base: str, folder: str) -> tuple[str, list[str]]:
    """Return ``folder`` as it is on the disk, and the names in it; no names where there is no such folder."""
    for form in dict.fromkeys((folder, *(unicodedata.normalize(form, folder) for form in ("NFC", "NFD")))):
        place = joined(base, form)
        try:
            names = _names(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DataError(
                f"the folders of a manifest must be readable, but listing {place} failed: {error.strerror or error}; "
                "check its permissions"
            ) from None
        return form, [name for name in names if is_utf8(name)]
    return folder, []


def _names(folder: Location) -> list[str]:
    if isinstance(folder, RemotePath):
        return [name for name, _ in folder.children()]
    return os.listdir(folder)  # noqa: PTH208 - a path for each of a million names is slow
