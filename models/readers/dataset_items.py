"""Map-style data sets of Python, such as ``torch.utils.data.Dataset``: each item is an image with its labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ...spaces.parameters.lookup import unknown
from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from ..image_files.items import DatasetItems, Item, pixels_digest
from .label_sets import Labels, encode_column, encode_indicators, label_notes
from .labels import check_split_classes, named
from .manifest import column_notes, optional_columns
from .split_names import SPLIT_NAMES, split_of

PlainLabel = int | str | list[int | str] | np.ndarray
EMPTY = "empty lists"
ARROW_TYPES = {
    "numbers": pa.int64(),
    "text": pa.string(),
    "lists of numbers": pa.list_(pa.int64()),
    "lists of text": pa.list_(pa.string()),
    EMPTY: pa.list_(pa.string()),
}


def is_dataset(value: Any) -> bool:
    """Return whether ``value`` is a map-style data set: an object with length and items, no text, list or array."""
    has_items = all(hasattr(type(value), name) for name in ("__len__", "__getitem__"))
    return has_items and not isinstance(value, str | bytes | list | tuple | Mapping | np.ndarray)


def is_datasets(value: Any) -> bool:
    """Return whether ``value`` is a map-style data set, or a mapping of names of splits to data sets."""
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(name, str) and split_of(name) for name in value)
    return is_dataset(value)


def read_items(data: Any) -> Index:
    """Return the index of a map-style data set, or of a mapping such as ``{"train": ..., "test": ...}``.

    An item is a pair of an image, see :func:`~archsieve.models.image_files.items.pixel_array`, and a label, a whole
    number or text. Numbers are positions in the attribute ``classes`` of the data set, if it has one. Several labels
    are a list of such labels, or an array or tensor (K,) with 1 where the image has the class. A mapping may also have
    a weight and a group. Each item is read once for its labels and digest, and must be the same whenever it is read.
    Raises :class:`DataError`.
    """
    parts = _parts(data)
    items = DatasetItems(parts)
    digests, labels, optional = list[bytes](), list[PlainLabel](), _Optional()
    for part, dataset in parts.items():
        for row in range(len(dataset)):
            item = items.item(part, row)
            digests.append(pixels_digest(item.image))
            labels.append(_plain_label(item.label, f"item {row} of {part}"))
            optional.add(item, f"item {row} of {part}")
    classes, codes = _classes(parts, labels)
    columns, notes = optional.columns(f"the items of the {' and '.join(parts)} data")
    counts = [len(dataset) for dataset in parts.values()]
    containers = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    table = index_table(
        pa.DictionaryArray.from_arrays(pa.array(containers), pa.array(list(parts), pa.string())),
        pa.array([""] * len(labels), pa.string()),
        codes,
        np.array([SPLITS.index(part) for part in parts], np.int8)[containers],
        offset=np.concatenate([np.arange(n) for n in counts]),
        length=np.zeros(len(labels), np.int64),
        digest=pa.array(digests, pa.binary(32)),
        **columns,
    )
    root = type(next(iter(parts.values()))).__name__
    index = Index(classes, "dataset", root, table, (*notes, *label_notes(codes)), items)
    _check_repeatable(index)
    return check_split_classes(index)


def _parts(data: Any) -> dict[str, Any]:
    """Return the data set of each split, in the order of the splits."""
    given = data if isinstance(data, Mapping) else {"train": data}
    parts = dict[str, Any]()
    for name, dataset in given.items():
        if (split := split_of(str(name))) is None:
            raise DataError(f"data: {unknown('split', str(name), SPLIT_NAMES)}")
        if not is_dataset(dataset):
            raise DataError(
                f"a data set must have __len__ and __getitem__ (map style), but {split} is a {type(dataset).__name__}; "
                "write these two methods, or save the images as files"
            )
        if split in parts:
            raise DataError(f"a split must be one data set, but {split!r} is given twice; join them")
        parts[split] = dataset
    if not any(map(len, parts.values())):
        raise DataError(f"a data set needs items, but {', '.join(parts)} has none; check how it is made")
    return {split: parts[split] for split in SPLITS if split in parts}


class _Optional:
    """The weights and groups of the items; a column of which no item has a value is left out."""

    def __init__(self) -> None:
        self.weights, self.groups = list[float | None](), list[str | None]()

    def add(self, item: Item, where: str) -> None:
        try:
            self.weights.append(None if item.weight is None else float(item.weight))
        except (TypeError, ValueError):
            raise DataError(
                f"a weight must be a number, but that of {where} is {type(item.weight).__name__} "
                f"{str(item.weight)[:80]}; return a number of at least 0"
            ) from None
        self.groups.append(None if item.group is None else str(_scalar(item.group)))

    def columns(self, where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the columns of an index, and notes on them."""
        values = {"weight": pa.array(self.weights, pa.float64()), "group": pa.array(self.groups, pa.string())}
        table = pa.table({name: column for name, column in values.items() if column.null_count < len(column)})
        use = {name: name for name in table.column_names}
        return optional_columns(table, use, where), column_notes(use)


def _scalar(value: Any) -> Any:
    """Return an array or tensor with one number as a number of Python; other values unchanged."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) in ((), (1,)) else value


def _plain_label(label: Any, where: str) -> PlainLabel:
    """Return a label, a list of labels, or an array (K,) that has 1 for each class of the image."""
    if isinstance(label, list | tuple):
        return [_one_label(one, where) for one in label]
    plain = _scalar(label)
    values = plain.detach().cpu().numpy() if hasattr(plain, "detach") else plain
    return values if isinstance(values, np.ndarray) and values.ndim == 1 else _one_label(plain, where)


def _one_label(label: Any, where: str) -> int | str:
    value = _scalar(label)
    if isinstance(value, int | str):
        return value if isinstance(value, str) else int(value)
    raise DataError(
        f"a label must be a whole number or text, but that of {where} is {type(label).__name__} {str(label)[:80]}; "
        "return the class of the image, a list of its classes, or an array of 0 and 1 for all classes"
    )


def _kinds(label: PlainLabel) -> set[str]:
    if isinstance(label, np.ndarray):
        return {f"arrays of {len(label)}"}
    if isinstance(label, list):
        return {f"lists of {kind}" for one in label for kind in _kinds(one)} or {EMPTY}
    return {"text" if isinstance(label, str) else "numbers"}


def _classes(parts: Mapping[str, Any], labels: Sequence[PlainLabel]) -> Labels:
    kinds = set[str]().union(*map(_kinds, labels))
    if any(kind.startswith("lists of") for kind in kinds):
        kinds.discard(EMPTY)
    if len(kinds) > 1:
        raise DataError(
            f"the labels of a data set must be of one type, but are {named(sorted(kinds))}; return the same type always"
        )
    names, where = _common_names(parts), f"the {' and '.join(parts)} data"
    if isinstance(labels[0], np.ndarray):
        return _indicated(np.stack(labels), names, where)
    return encode_column(pa.array(labels, ARROW_TYPES[kinds.pop()]), None, where, names)


def _indicated(matrix: np.ndarray, names: list[str] | None, where: str) -> Labels:
    """Return class names and labels of ``matrix`` (N, K) of 0 and 1; without ``names`` they are "0" to "K-1"."""
    n_classes = matrix.shape[1]
    if names is not None and len(names) != n_classes:
        raise DataError(
            f"an array of labels must have a number for each class, but those of {where} have {n_classes} and "
            f"'classes' has {len(names)}; correct one of them"
        )
    columns = names or list(map(str, range(n_classes)))
    if repeated := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(
            f"classes must have different names, but 'classes' of {where} has {repeated[0]!r} twice; rename one"
        )
    return encode_indicators({name: pa.array(matrix[:, k]) for k, name in enumerate(columns)}, where)


def _common_names(parts: Mapping[str, Any]) -> list[str] | None:
    """Return the names of the classes that the data sets have; None without them."""
    names = {part: _class_names(dataset) for part, dataset in parts.items()}
    of_train = next(iter(names.values()))
    for part, of_part in names.items():
        if of_part != of_train:
            raise DataError(
                f"the splits must have the same classes in the same order, but 'classes' of {next(iter(names))} and of "
                f"{part} differ: {_shown(of_train)} and {_shown(of_part)}; use the same"
            )
    return of_train


def _shown(names: list[str] | None) -> str:
    return "none" if names is None else ", ".join(names[:3])


def _class_names(dataset: Any) -> list[str] | None:
    """Return the attribute ``classes`` of a data set, or of the one that a ``Subset`` selects from; None without it."""
    while dataset is not None:
        names = getattr(dataset, "classes", None)
        if isinstance(names, list | tuple) and names:
            return list(map(str, names))
        dataset = getattr(dataset, "dataset", None)
    return None


def _check_repeatable(index: Index) -> None:
    """Raise :class:`DataError` if an item differs when it is read again, as after a random transform."""
    for row in {0, len(index) // 2, len(index) - 1}:
        if index.content_digest(row) != index.digests[row].tobytes():
            raise DataError(
                f"an item of a data set must be the same whenever it is read, but {index.name(row)} has changed; "
                "remove random transforms, and set recipe.augmentation instead"
            )
