"""An object that several processes of one machine read, with its arrays in memory that they share.

The arrays travel outside of the pickle (protocol 5), as with Ray; see :mod:`..storage.sharing`.
"""

import io
import mmap
import os
import pickle
import tempfile
from typing import Any


def share(value: Any) -> int:
    """Write ``value`` into an anonymous file in memory and return its descriptor; the caller closes it.

    The file needs no room in /dev/shm, which is small in many containers. On a system without such files it is on disk.
    """
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    header = pickle.dumps((len(pickled), [part.nbytes for part in raw]))
    file = _file()
    with open(file, "wb", closefd=False) as stream:
        stream.write(header + pickled)
        stream.writelines(raw)
    return file


def shared(file: int) -> Any:
    """Return the object of :func:`share` from the descriptor; its arrays map the file and are read-only."""
    mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    stream = io.BytesIO(mapped[: min(len(mapped), 1 << 20)])  # the header is far smaller
    length, sizes = pickle.load(stream)
    start, view = stream.tell() + length, memoryview(mapped)
    buffers = []
    for size in sizes:
        buffers.append(view[start : start + size])
        start += size
    begin = stream.tell()
    return pickle.loads(view[begin : begin + length], buffers=buffers)


def _file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("archsieve")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
