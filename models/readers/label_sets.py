"""Several labels for each image: a column with a separator, a column of lists, or one column of 0 and 1 for each class.

Shapes: N images, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..image_files.errors import DataError
from .labels import as_column, as_text, check_no_regression, check_two, codes_of_classes, encode_labels, named
from .split_names import normalised

Labels = tuple[tuple[str, ...], np.ndarray]  # class names, sorted; labels int32 (N,), or bool (N, K)
YES, NO = ("1", "true", "1.0"), ("0", "false", "0.0")


def encode_column(values: Any, separator: str | None, where: str, names: Sequence[str] | None = None) -> Labels:
    """Return class names and labels of a column, which ``where`` names for errors.

    Lists, and texts where a ``separator`` is given, are several labels of each image; others are one label. ``names``
    are the classes that whole numbers stand for. Raises :class:`DataError` for labels that cannot be used.
    """
    column = as_column(values)
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if separator is not None and is_list:
        raise DataError(f"label_separator is for labels in a text, but {where} has lists of labels; leave it out")
    if separator is not None:
        return _encode(*_separated(as_text(column, where), separator, where), where)
    if is_list:
        return _encode_lists(column, where, names)
    if names is not None and pa.types.is_integer(column.type):
        return codes_of_classes(column.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), names, where)
    return encode_labels(column, where)


def encode_indicators(columns: Mapping[str, Any], where: str) -> Labels:
    """Return class names and labels of one column for each class, with 1 or true where an image has the label.

    Raises :class:`DataError` for other values.
    """
    classes = tuple(sorted(normalised(name.strip()) for name in columns))
    if len(set(classes)) < len(classes):
        raise DataError(
            f"label columns must have different names, but those of {where} are {named(classes)}; rename one"
        )
    check_two(classes, where)
    by_class = {normalised(name.strip()): _indicator(name, values, where) for name, values in columns.items()}
    return classes, np.stack([by_class[name] for name in classes], axis=1)


def label_notes(labels: np.ndarray) -> tuple[str, ...]:
    """Return a sentence on images without labels, and one where several labels never occur; () for labels (N,)."""
    if labels.ndim == 1:
        return ()
    counts, notes = labels.sum(1), list[str]()
    if n_empty := int((counts == 0).sum()):
        notes.append(f"{n_empty:,} of {len(labels):,} images have no label: the network learns that they have no class")
    if bool((counts == 1).all()):
        notes.append("every image has exactly one label: one column of class names trains a softmax, which fits better")
    return tuple(notes)


def _separated(texts: pa.Array, separator: str, where: str) -> tuple[np.ndarray, pa.Array, int]:
    """Return the row of each label, the labels, and the number of rows; spaces around a label are removed."""
    if not pc.any(pc.match_substring(texts, separator)).as_py():
        raise DataError(
            f"label_separator must occur in the labels, but {separator!r} is in none of the {len(texts):,} rows of "
            f"{where}, such as {texts[0].as_py()!r}; correct it, or leave it out if each image has one label"
        )
    parts = pc.split_pattern(texts, separator)
    labels = pc.utf8_trim_whitespace(parts.flatten())
    rows = np.repeat(np.arange(len(texts)), parts.value_lengths().to_numpy())
    is_label = pc.not_equal(labels, "")  # an empty text is no label, and so is the end of "cat;"
    return rows[is_label.to_numpy(zero_copy_only=False)], labels.filter(is_label), len(texts)


def _encode_lists(column: Any, where: str, names: Sequence[str] | None) -> Labels:
    if column.null_count:
        rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        raise DataError(
            f"every row needs a list of labels, but {len(rows):,} of {len(column):,} rows of {where} have none: rows "
            f"{named((rows + 1).tolist())}; use an empty list for an image without labels"
        )
    rows, values = np.repeat(np.arange(len(column)), column.value_lengths().to_numpy()), column.flatten()
    if values.null_count:
        with_null = np.unique(rows[values.is_null().to_numpy(zero_copy_only=False)]) + 1
        raise DataError(
            f"a list of labels must have no empty entries, but {len(with_null):,} of {len(column):,} rows of {where} "
            f"have one: rows {named(with_null.tolist())}; remove these entries"
        )
    if names is None or not pa.types.is_integer(values.type):
        classes, has = _encode(rows, as_text(values, where), len(column), where)
    else:
        codes = values.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        classes, labels = codes_of_classes(codes, names, where)
        has = _matrix(rows, labels, len(column), len(classes))
    if len(rows) > has.sum():
        first = int(np.flatnonzero(np.bincount(rows, minlength=len(column)) > has.sum(1))[0])
        raise DataError(
            f"a list of labels must have each label once, but row {first + 1} of {where} has "
            f"{named(column[first].as_py())}; if lists have 0 or 1 for each class, write a column for each class"
        )
    return classes, has


def _encode(rows: np.ndarray, texts: pa.Array, n: int, where: str) -> Labels:
    encoded = texts.dictionary_encode()
    names = [normalised(name.strip()) for name in encoded.dictionary.to_pylist()]
    if "" in names:
        raise DataError(f"a label must have a name, but {where} has an empty one in a list; remove it")
    check_no_regression(names, len(texts), where)
    classes = tuple(sorted(set(names)))
    check_two(classes, where)
    code = {name: label for label, name in enumerate(classes)}
    of_dictionary = np.array([code[name] for name in names], np.int32)
    labels = of_dictionary[encoded.indices.to_numpy(zero_copy_only=False)]
    return classes, _matrix(rows, labels, n, len(classes))


def _matrix(rows: np.ndarray, labels: np.ndarray, n: int, n_classes: int) -> np.ndarray:
    has = np.zeros((n, n_classes), bool)
    has[rows, labels] = True
    return has


def _indicator(name: str, values: Any, where: str) -> np.ndarray:
    """Return a column of 0 and 1 as bool (N,)."""
    column = as_column(values)
    where = f"column {name!r} of {where}"
    if pa.types.is_nested(column.type):
        raise DataError(f"a label column must have 0 and 1, but {where} has {column.type}; name other columns")
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string()).fill_null("")))
    yes = pc.is_in(texts, pa.array(YES))
    other = pc.invert(pc.or_(yes, pc.is_in(texts, pa.array(NO))))
    if n_other := int(pc.sum(other).as_py() or 0):
        present = texts.filter(other).unique().to_pylist()
        check_no_regression(texts.unique().to_pylist(), len(texts), where)
        raise DataError(
            f"a label column must have 0 and 1, or true and false, but {n_other:,} of {len(texts):,} rows of {where} "
            f"have other values: {named(list(map(repr, present)))}; correct them, or leave the column out"
        )
    return np.asarray(yes.to_numpy(zero_copy_only=False))
