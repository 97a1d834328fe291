"""Images of Python objects as a data set with a name: of arrays during a search, of items as long as the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any

from torch import Tensor

from ..image_files.index import Index
from ..readers.dataset_items import read_items
from .dataset import Source
from .image_folder import load_items
from .registry import DATASETS
from .shapes import N_TRAINING_IMAGES, SHAPES, DataShape


@contextmanager
def in_memory_dataset(source: Source) -> Iterator[str]:
    """Register ``source`` inside a ``with`` block, and yield the name of the data set, which follows from the content.

    The driver of a search loads the data and sends them to its workers, so that no worker needs the name.
    """
    name = f"arrays-{_digest(source)[:12]}"
    channels, height, width = source.train.images.shape[1:]
    DATASETS[name] = lambda request: source
    SHAPES[name] = DataShape((channels, height, width), len(source.classes), source.train.multi_label)
    N_TRAINING_IMAGES[name] = len(source.train)
    try:
        yield name
    finally:
        for table in (DATASETS, SHAPES, N_TRAINING_IMAGES):
            table.pop(name, None)


def register_items(data: Any, image_size: int) -> str:
    """Register a map-style data set, or a mapping of them by split, and return its name, which follows from the items.

    Its images become RGB of ``image_size`` pixels a side. It stays registered, so that this process can train its
    trials again and resume the run. Raises :class:`DataError`.
    """
    index = read_items(data)
    name = f"items-{_items_hash(index)[:12]}"
    DATASETS[name] = lambda request: load_items(index, replace(request, image_size=request.image_size or image_size))
    SHAPES[name] = DataShape((3, image_size, image_size), len(index.classes), index.multi_label)
    N_TRAINING_IMAGES[name] = sum(len(rows) for split, rows in index.rows.items() if split != "test")
    return name


def _items_hash(index: Index) -> str:
    """Return a hash of images, labels, weights and groups: other weights or groups are another data set."""
    optional = {name: index.table[name].to_pylist() for name in ("weight", "group") if name in index.table.column_names}
    return sha256(f"{index.content_hash}{optional}".encode()).hexdigest() if optional else index.content_hash


def _digest(source: Source) -> str:
    digest = sha256(repr(source.classes).encode())
    images = source.train.images
    assert isinstance(images, Tensor)  # the caller has them in memory
    for tensor in (images, source.train.labels):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data.cast("B"))
    return digest.hexdigest()
