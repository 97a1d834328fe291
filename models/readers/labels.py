"""Labels of any kind as classes, and the checks that every reader makes of labels and splits."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...spaces.parameters.lookup import unknown
from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index
from .split_names import SPLIT_NAMES, normalised, split_of

MAX_NAMED = 3  # examples in an error message
MAX_FRACTIONAL = 20  # different fractional numbers that may be names of classes
MAX_WHOLE = 20  # different whole numbers that are always names of classes
_WHOLE = re.compile(r"^\s*-?\d+\.0+\s*$")  # a whole number as pandas writes it to CSV where the column had gaps
SEPARATORS = (";", "|", ",")  # of several labels in a text
MIN_IMAGES_OF_NUMBER = 5  # on average, for whole numbers with gaps that are names of classes


def named(values: Sequence[Any]) -> str:
    """Return the first three values, and how many more there are."""
    more = f" and {len(values) - MAX_NAMED:,} more" if len(values) > MAX_NAMED else ""
    return ", ".join(str(value) for value in values[:MAX_NAMED]) + more


def as_column(values: Any) -> pa.Array:
    """Return values as one Arrow array."""
    values = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def encode_labels(values: Any, where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names, sorted as text, and the class of each row, int32 (N,).

    ``values`` are N labels, text or whole numbers; ``where`` names their place for errors. Raises :class:`DataError`
    for missing labels, fewer than two classes, and numbers that are targets of a regression.
    """
    texts = as_text(as_column(values), where)
    encoded = texts.dictionary_encode()
    names = [normalised(name.strip()) for name in encoded.dictionary.to_pylist()]
    if "" in names:
        empty = pc.equal(pc.utf8_trim_whitespace(texts), "")
        several = "; or set label_separator" if separator_notes([name for name in names if name]) else ""
        _refuse_rows(empty, where, "every row needs a label", "have none", f"fill or remove them{several}")
    check_no_regression(names, len(texts), where)
    classes = tuple(sorted(set(names)))
    check_two(classes, where)
    code = {name: label for label, name in enumerate(classes)}
    of_dictionary = np.array([code[name] for name in names], np.int32)
    return classes, of_dictionary[encoded.indices.to_numpy(zero_copy_only=False)]


def check_two(classes: tuple[str, ...], where: str) -> None:
    """Raise :class:`DataError` for fewer than two classes."""
    if len(classes) < 2:
        present = f"one, {classes[0]!r}" if classes else "none"
        raise DataError(
            f"images need labels of at least two classes, but {where} has {present}; add images of another class"
        )


def as_text(values: pa.Array, where: str) -> pa.Array:
    """Return labels as text; whole numbers without a decimal point. Raises :class:`DataError` for missing labels.

    Texts that are all whole numbers with ".0" are such numbers, too: the same table as CSV and as Parquet has the same
    classes.
    """
    if values.null_count:
        _refuse_rows(pc.is_null(values), where, "every row needs a label", "have none", "fill or remove them")
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type):
        raise DataError(
            f"a label must be text or a number, but {where} has {values.type}; give one class for each image"
        )
    if pa.types.is_floating(values.type):
        # pandas writes whole numbers as 3.0 where the column had gaps
        whole = bool(pc.all(pc.equal(pc.floor(values), values)).as_py())
        values = values.cast(pa.int64()) if whole else values
    texts = values.cast(pa.string())
    if len(texts) and _WHOLE.search(texts[0].as_py()):  # the first one decides for most columns
        all_whole = pc.all(pc.match_substring_regex(texts, _WHOLE.pattern)).as_py()
        texts = pc.replace_substring_regex(texts, r"\.0+\s*$", "") if all_whole else texts
    return texts


def _refuse_rows(mask: Any, where: str, rule: str, fault: str, cure: str) -> None:
    rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
    found = f"{len(rows):,} of {len(mask):,} rows of {where} {fault}: rows {named((rows + 1).tolist())}"
    raise DataError(f"{rule}, but {found}; {cure}")


def check_no_regression(names: Sequence[str], n: int, where: str) -> None:
    """Raise :class:`DataError` if the different labels ``names`` of ``n`` images are targets of a regression.

    These are fractional numbers, more than a few; or more than twenty whole numbers of which most are on one image, or
    which have gaps, such as prices, and are on fewer than five images on average.
    """
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return
    if all(number.is_integer() for number in numbers):
        has_gaps = bool(numbers) and max(numbers) - min(numbers) >= 2 * len(numbers)
        few = n < 2 * len(names) or (has_gaps and n < MIN_IMAGES_OF_NUMBER * len(names))
        is_target, or_else = len(names) > MAX_WHOLE and few, "; if they are names of classes, write them as id7"
    else:
        is_target, or_else = len(names) > min(MAX_FRACTIONAL, n // 2), ""
    if is_target:
        raise DataError(
            f"labels must be classes, but {where} has {len(names):,} different numbers from {min(numbers):g} to "
            f"{max(numbers):g}: these are targets of a regression, which archsieve does not learn; "
            f"divide them into ranges with names{or_else}"
        )


def codes_of_classes(codes: np.ndarray, names: Sequence[str], where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return sorted class names and labels for ``codes``, which are positions in ``names``.

    Raises :class:`DataError` for a code without a name, and fewer than two classes.
    """
    outside = np.flatnonzero((codes < 0) | (codes >= len(names)))
    if len(outside):
        raise DataError(
            f"labels must be in 0..{len(names) - 1} for the {len(names)} classes of {where}, but {len(outside):,} are "
            f"not: {named(sorted(set(codes[outside].tolist())))}; correct or remove these rows"
        )
    classes = tuple(sorted({normalised(name) for name in names}))
    check_two(classes, where)
    code = {name: label for label, name in enumerate(classes)}
    return classes, np.array([code[normalised(name)] for name in names], np.int32)[codes]


def encode_splits(values: Any, n: int, where: str) -> np.ndarray:
    """Return the split of each row, int8 (N,); all are "train" where ``values`` is None.

    Raises :class:`DataError` for a name that is no split.
    """
    if values is None:
        return np.zeros(n, np.int8)
    texts = as_column(values).cast(pa.string()).fill_null("")
    if (empty := pc.equal(pc.utf8_trim_whitespace(texts), "")).true_count:
        cure = "fill them, or remove the column, then archsieve draws the splits"
        _refuse_rows(empty, where, "every row needs a split", "have none", cure)
    encoded = texts.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if bad := [name for name in names if split_of(name) is None]:
        raise DataError(
            f"{where}: {unknown('split', bad[0], SPLIT_NAMES)}; or remove the column, then archsieve draws the splits"
        )
    codes = np.array([SPLITS.index(str(split_of(name))) for name in names], np.int8)
    return np.asarray(codes[encoded.indices.to_numpy(zero_copy_only=False)])


def class_counts(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the number of images of each class, int64 (K,), from labels (N,), or (N, K) of several labels."""
    return np.bincount(labels, minlength=n_classes) if labels.ndim == 1 else labels.sum(0)


def class_name_notes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence on class names that may mean one class, such as ``cat`` and ``Cat``, or ``1`` and ``1.0``."""
    alike: dict[object, list[str]] = {}
    for name in classes:
        alike.setdefault(_plain_name(name), []).append(name)
    if not (repeated := [names for names in alike.values() if len(names) > 1]):
        return ()
    more = f", as do the names of {len(repeated) - 1:,} more" if len(repeated) > 1 else ""
    return (
        f"the classes {named(list(map(repr, repeated[0])))} differ only in case, spaces or the form of a number{more}; "
        "write each class in one way if they are one",
    )


def _plain_name(name: str) -> object:
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", name):
        return Decimal(name)
    return " ".join(re.split(r"[\s_-]+", name.casefold()))


def separator_notes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence if class names look like several labels of an image, such as ``cat;dog`` next to ``dog``."""
    for separator in SEPARATORS:
        parts = {name: {part.strip() for part in name.split(separator)} - {""} for name in classes}
        n_with = Counter(part for of_name in parts.values() for part in of_name)
        joined = [name for name in classes if separator in name]
        if joined and all(n_with[part] > 1 for name in joined for part in parts[name]):
            return (
                f"{len(joined):,} of {len(classes):,} class names join others with {separator!r}, such as "
                f"{joined[0]!r}; if an image has several labels, set label_separator = {separator!r}",
            )
    return ()


def check_split_classes(index: Index) -> Index:
    """Return ``index`` with notes on the names of its classes.

    Raises :class:`DataError` if a split lacks a class, or there is no training split.
    """
    if len(index) == 0 or "train" not in index.rows:
        there = ", ".join(index.rows) or "no images"
        raise DataError(f"images need a training split, but {index.root} has only {there}; name one 'train'")
    labels = index.labels
    for split, rows in index.rows.items():
        counts = class_counts(labels[rows], len(index.classes))
        missing = [index.classes[label] for label in np.flatnonzero(counts == 0)]
        if missing:
            raise DataError(
                f"every split needs images of every class, but {split} of {index.root} has none of {len(missing)} of "
                f"{len(index.classes)} classes: {named(missing)}; add images, or remove the class from all splits"
            )
    several = () if index.multi_label else separator_notes(index.classes)
    return replace(index, notes=(*index.notes, *class_name_notes(index.classes), *several))
