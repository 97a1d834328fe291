"""Map-style data sets of Python, such as ``torch.utils.data.Dataset``: each item is an image with a label."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ...spaces.parameters.lookup import unknown
from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from ..image_files.items import DatasetItems, pixels_digest
from .labels import check_split_classes, codes_of_classes, encode_labels
from .split_names import SPLIT_NAMES, split_of


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
    number or text. Numbers are positions in the attribute ``classes`` of the data set, if it has one. Each item is read
    once for its label and digest, and must be the same whenever it is read. Raises :class:`DataError`.
    """
    parts = _parts(data)
    items = DatasetItems(parts)
    digests, labels = list[bytes](), list[Any]()
    for part, dataset in parts.items():
        for row in range(len(dataset)):
            pixels, label = items.item(part, row)
            digests.append(pixels_digest(pixels))
            labels.append(_plain_label(label, f"item {row} of {part}"))
    classes, codes = _classes(parts, labels)
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
    )
    index = Index(classes, "dataset", type(next(iter(parts.values()))).__name__, table, items=items)
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


def _plain_label(label: Any, where: str) -> int | str:
    if isinstance(label, str):
        return label
    value = label.item() if hasattr(label, "item") and getattr(label, "shape", None) == () else label
    if isinstance(value, int):
        return int(value)
    raise DataError(
        f"a label must be a whole number or text, but that of {where} is {type(label).__name__} {str(label)[:80]}; "
        "return the class of the image"
    )


def _classes(parts: Mapping[str, Any], labels: list[int | str]) -> tuple[tuple[str, ...], np.ndarray]:
    kinds = sorted({type(label).__name__ for label in labels})
    if len(kinds) > 1:
        raise DataError(f"the labels of a data set must be of one type, but are {' and '.join(kinds)}; use numbers")
    names = {part: _class_names(dataset) for part, dataset in parts.items()}
    of_train = next(iter(names.values()))
    for part, of_part in names.items():
        if of_part != of_train:
            raise DataError(
                f"the splits must have the same classes in the same order, but 'classes' of {next(iter(names))} and of "
                f"{part} differ: {_shown(of_train)} and {_shown(of_part)}; use the same"
            )
    where = f"the {' and '.join(parts)} data"
    if of_train is None or kinds != ["int"]:
        return encode_labels(pa.array(labels), f"the labels of {where}")
    return codes_of_classes(np.array(labels, np.int64), of_train, where)


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
