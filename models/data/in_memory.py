"""Images in memory as a data set: registered under a name for the duration of a search."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from torch import Tensor

from .dataset import Source
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
    SHAPES[name] = DataShape((channels, height, width), len(source.classes))
    N_TRAINING_IMAGES[name] = len(source.train)
    try:
        yield name
    finally:
        for table in (DATASETS, SHAPES, N_TRAINING_IMAGES):
            table.pop(name, None)


def _digest(source: Source) -> str:
    digest = sha256(repr(source.classes).encode())
    images = source.train.images
    assert isinstance(images, Tensor)  # the caller has them in memory
    for tensor in (images, source.train.labels):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data.cast("B"))
    return digest.hexdigest()
