"""The index of a data set: where the bytes of each image are, its labels, split, group and weight. It has no pixels.

Shapes: N rows, one for each image; K classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .arrow_arrays import as_arrow, as_numpy
from .byte_access import FILE_READERS, content_digest, read_bytes
from .digests import file_digests
from .errors import DataError
from .items import DatasetItems, encoded, pixels_digest
from .locations import Location, joined

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Index:
    """The images of a data set as rows of an Arrow table. It can be pickled and read in another process.

    The columns of ``table``:

    * ``container`` (dictionary of text): folder, tar shard, Parquet or array file; relative to ``root``, or a URL.
    * ``file`` (text): name in the folder or shard; empty for Parquet files and arrays.
    * ``offset``, ``length`` (int64): place in a shard in bytes; ``offset`` is the row of a Parquet file or array.
    * ``label`` (int32): index into ``classes``; where images have several labels, a list of them, ascending.
    * ``split`` (int8): index into :data:`SPLITS`.
    * optional: ``group`` (dictionary of text), ``weight`` (float32), ``digest`` (32 bytes).

    ``reader`` is the name of the reader: "folder", "manifest", "tar", "parquet", "array" or "dataset". With "dataset",
    ``container`` is a split of ``items`` and ``offset`` the number of the item. ``notes`` are sentences for the user.
    Classes are in the order of their names for every reader, so that equal images have equal labels.

    **Order of the rows.** A reader returns rows in the order of the data: for class folders by split, class and file
    name. :meth:`canonical` orders them by split, label and content digest, which does not depend on names, containers
    or the reader. New runs use the canonical order for splits and training, so that a folder, a manifest, a tar shard
    and a Parquet file with the same images give the same splits and the same training. Version 0.1.0 used the order
    of the class folders and a hash of the pixels. The key ``data.decoding_rules = 1``, which its resumed runs have,
    keeps both.
    """

    classes: tuple[str, ...]
    reader: str
    root: str
    table: pa.Table
    notes: tuple[str, ...] = ()
    items: DatasetItems | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return bool(pa.types.is_list(self.table.schema.field("label").type))

    @property
    def labels(self) -> np.ndarray:
        """The label of each row, int64 (N,) in 0..K-1; of several labels whether a row has each class, bool (N, K)."""
        if not self.multi_label:
            return as_numpy(self.table["label"]).astype(np.int64)
        lists = self.table["label"].combine_chunks()
        has = np.zeros((len(self), len(self.classes)), bool)
        has[np.repeat(np.arange(len(self)), lists.value_lengths().to_numpy()), lists.flatten().to_numpy()] = True
        return has

    @property
    def label_sets(self) -> np.ndarray:
        """The label of each row, or the number of its set of labels, int64 (N,): equal for equal sets.

        The numbers are those of the sets in this index, in an order that depends on the sets alone.
        """
        return label_set_numbers(self.labels)

    @property
    def splits(self) -> np.ndarray:
        """The split of each row, int8 (N,): positions in :data:`SPLITS`."""
        return as_numpy(self.table["split"])

    @property
    def groups(self) -> np.ndarray | None:
        """A number for the group of each row, int64 (N,), -1 without one; None if no group is known.

        The images of a group, such as one patient, are on one side of a split.
        """
        if "group" not in self.table.column_names:
            return None
        codes = self.table["group"].combine_chunks().indices
        return np.asarray(codes.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)

    @property
    def weights(self) -> np.ndarray | None:
        """The weight of each row, float32 (N,); None without weights."""
        return np.asarray(self.table["weight"].to_numpy()) if "weight" in self.table.column_names else None

    @cached_property
    def digests(self) -> np.ndarray:
        """The sha256 of the bytes of each image, uint8 (N, 32). Reads every image unless they are in a cache.

        The digest of an image in an array is that of its shape and pixels. Raises :class:`DataError` for a file that
        cannot be read.
        """
        if "digest" in self.table.column_names:
            column = self.table["digest"].combine_chunks()
            start = 32 * column.offset
            return np.frombuffer(column.buffers()[1], np.uint8)[start : start + 32 * len(column)].reshape(-1, 32)
        return file_digests(self.reader, self.root, self.table)

    @property
    def rows(self) -> Mapping[str, np.ndarray]:
        """The row numbers of each split that has rows, in the order of :data:`SPLITS`."""
        of_row = self.splits
        rows = {split: np.flatnonzero(of_row == code) for code, split in enumerate(SPLITS)}
        return {split: numbers for split, numbers in rows.items() if len(numbers)}

    def name(self, row: int) -> str:
        """Return the path of the image for a message; for a shard or Parquet file with the member or row."""
        container, file, offset = (self.table[key][row].as_py() for key in ("container", "file", "offset"))
        if self.reader in FILE_READERS:
            return str(joined(self.root, container, file))
        place = joined(self.root, container)
        return f"{place}: {file}" if file else f"{place}, row {offset}"

    def label_text(self, row: int) -> str:
        """Return the class of the image, or its classes, for a message."""
        label = self.table["label"][row].as_py()
        return ", ".join(self.classes[one] for one in label) or "no label" if self.multi_label else self.classes[label]

    def source(self, row: int) -> Path | bytes:
        """Return the image at ``row`` for the decoder: the path of a file of this machine, or the encoded bytes.

        Raises :class:`DataError` where the bytes cannot be read.
        """
        if self.items is not None:
            return encoded(self._item(row))
        place, offset, length = self._place(row)
        if self.reader in FILE_READERS and isinstance(place, Path):
            return place
        return read_bytes(self.reader, place, offset, length)

    def content_digest(self, row: int) -> bytes:
        """Return the sha256 of the image at ``row`` as it is now. Raises :class:`DataError` if it cannot be read."""
        return (
            pixels_digest(self._item(row)) if self.items is not None else content_digest(self.reader, *self._place(row))
        )

    def _item(self, row: int) -> np.ndarray:
        assert self.items is not None
        item = self.items.item(self.table["container"][row].as_py(), self.table["offset"][row].as_py())
        return np.asarray(item.image)

    def _place(self, row: int) -> tuple[Location, int, int]:
        """Return the file, shard, Parquet or array file that has the image at ``row``, with offset and length in it."""
        keys = ("container", "file", "offset", "length")
        container, file, offset, length = (self.table[key][row].as_py() for key in keys)
        return joined(self.root, container, file if self.reader in FILE_READERS else ""), offset, length

    def unchanged_source(self, row: int) -> Path | bytes:
        """Return what :meth:`source` returns. Raises :class:`DataError` if its content is not that of ``digests``."""
        source = self.source(row)
        if isinstance(source, bytes) and self.reader not in ("array", "dataset"):
            digest = sha256(source).digest()
        else:
            digest = self.content_digest(row)
        if digest != self.digests[row].tobytes():
            raise DataError(
                f"images must be the same on every machine and during a search, but {self.name(row)} differs from the "
                "file of the driver; copy the data to this machine again, or start again if you changed them"
            )
        return source

    @cached_property
    def read_order(self) -> np.ndarray:
        """The rows in the order of their bytes on disk, int64 (N,): the fast order to read many of them."""
        containers = as_numpy(self.table["container"].combine_chunks().indices)
        return np.lexsort((as_numpy(self.table["offset"]), containers))

    def take(self, rows: np.ndarray) -> "Index":
        """Return the index of the images at ``rows``, int64 (M,), in this order."""
        return replace(self, table=self.table.take(as_arrow(rows)))

    def part(self, split: str) -> "Index":
        """Return the index of one split, in the order of its rows."""
        return self.take(np.flatnonzero(self.splits == SPLITS.index(split)))

    def with_splits(self, splits: np.ndarray) -> "Index":
        """Return the index with other splits, int8 (N,)."""
        position = self.table.column_names.index("split")
        return replace(self, table=self.table.set_column(position, "split", as_arrow(splits)))

    def with_digests(self) -> "Index":
        """Return the index with the column ``digest``, which :meth:`take` and pickle keep."""
        if "digest" in self.table.column_names:
            return self
        raw = pa.Array.from_buffers(pa.binary(32), len(self), [None, pa.py_buffer(self.digests.tobytes())])
        return replace(self, table=self.table.append_column("digest", raw))

    @cached_property
    def canonical_order(self) -> np.ndarray:
        """The rows ordered by split, label or set of labels, content digest and weight, int64 (N,)."""
        words = np.ascontiguousarray(self.digests).view(">u8")  # the order of these four numbers is that of the bytes
        weights = () if self.weights is None else (self.weights,)
        return np.lexsort((*weights, *words.T[::-1], self.label_sets, self.splits))

    def canonical(self) -> "Index":
        """Return the index with digests, and its rows ordered by split, label and content digest, then weight."""
        index = self.with_digests()
        return index.take(index.canonical_order)

    @cached_property
    def content_hash(self) -> str:
        """The sha256 of the class names, and of digest, label and split of the rows in canonical order.

        The same images, labels and splits have the same hash for every reader and order of the rows.
        """
        order = self.canonical_order
        digest = sha256(json.dumps(self.classes).encode())
        digest.update(np.ascontiguousarray(self.digests[order]).data)
        digest.update(self._label_bytes(order))
        digest.update(self.splits[order].tobytes())
        return digest.hexdigest()

    def _label_bytes(self, order: np.ndarray) -> bytes:
        labels = self.labels[order]
        if self.multi_label:
            return b"multi-label" + bytes(labels.tobytes())
        return bytes(labels.astype("<i8").tobytes())


def label_set_numbers(labels: np.ndarray) -> np.ndarray:
    """Return a number for the set of labels of each row of ``labels``, bool (N, K); labels (N,) unchanged."""
    if labels.ndim == 1:
        return labels
    packed = np.packbits(labels, axis=1)  # the first class is the highest bit, so bytes sort as the sets do
    return np.unique(packed, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def label_lists(labels: np.ndarray) -> pa.ListArray:
    """Return ``labels``, bool (N, K), as the column ``label`` of a table: ascending lists of int32."""
    rows, classes = np.nonzero(labels)
    starts = np.searchsorted(rows, np.arange(len(labels) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(classes.astype(np.int32)))


def index_table(
    container: Any, file: Any, label: Any, split: Any, *, offset: Any = None, length: Any = None, **optional: Any
) -> pa.Table:
    """Return the table of an :class:`Index` from its columns; ``None`` for a column of zeros or an optional one."""
    zeros = as_arrow(np.zeros(len(label), np.int64)) if offset is None or length is None else None
    columns = {
        "container": container,
        "file": file,
        "offset": zeros if offset is None else pa.array(offset, pa.int64()),
        "length": zeros if length is None else pa.array(length, pa.int64()),
        "label": label_lists(label) if np.ndim(label) == 2 else _numbers(label, np.int32),
        "split": _numbers(split, np.int8),
        **{name: column for name, column in optional.items() if column is not None},
    }
    return pa.table(columns)


def _numbers(values: Any, dtype: type) -> pa.Array:
    is_numpy = isinstance(values, np.ndarray)
    return as_arrow(values.astype(dtype)) if is_numpy else pa.array(values, pa.from_numpy_dtype(dtype))
