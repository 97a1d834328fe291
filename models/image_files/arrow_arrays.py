"""Arrow arrays from NumPy and back, without pandas, which the functions of pyarrow for that import: 0.2 s a start."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def as_arrow(values: np.ndarray) -> pa.Array:
    """Return the Arrow array of numbers (N,), without a copy of contiguous ones."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def texts_as_arrow(texts: Sequence[str]) -> pa.Array:
    """Return the Arrow array of ``texts``, which can be written as UTF-8 and have less than 2 GiB.

    >>> texts_as_arrow(["owl", "", "été"]).to_pylist()
    ['owl', '', 'été']
    """
    joined = "".join(texts)
    # the UTF-8 of a text in ASCII has one byte a character
    lengths = map(len, texts) if joined.isascii() else (len(text.encode()) for text in texts)
    ends = np.cumsum(np.fromiter(lengths, np.int64, len(texts)))
    offsets = np.concatenate([np.zeros(1, np.int32), ends.astype(np.int32)])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(joined.encode())]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def as_numpy(column: Any) -> np.ndarray:
    """Return the numbers (N,) of an Arrow array or of a column of a table, read-only; none of them may be null.

    >>> as_numpy(as_arrow(np.arange(6)[::2])[1:])
    array([2, 4])
    """
    return np.from_dlpack(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
