"""Content digests of all images of an index, kept in a cache of this machine where there are many bytes."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import pyarrow as pa

from ..process.cores import n_threads
from .arrow_arrays import as_numpy
from .byte_access import FILE_READERS, content_digest, split_member, unreadable
from .errors import DataError
from .locations import Location, RemotePath, joined, location

MIN_CACHED_BYTES = 64 << 20  # less is read again faster than it is worth a file
SETTLED_S = 2.0  # a file that changed later may change again without another time stamp
CHUNK = 256  # images that a thread reads at a time
ROWS_AT_A_TIME = 1 << 16  # whose names are Python objects at the same time


def file_digests(reader: str, root: str, table: pa.Table) -> np.ndarray:
    """Return the digest of each row of ``table``, uint8 (N, 32); see ``Index.digests``.

    The digests of at least :data:`MIN_CACHED_BYTES` are kept in the cache folder, under a key of paths, sizes and
    times of the files: files that are the same since then are not read again.
    """
    paths = _Paths(root, table)
    stats = _stats(reader, paths)
    cached = _cache_file(reader, root, table, stats)
    if cached is not None and (known := _load(cached, len(table))) is not None:
        return known
    digests = _read(reader, paths, table)
    if cached is not None:
        _save(cached, digests)
    return digests


class _Paths:
    """The path of the file or container of each row, made when it is needed: a list of them would take 300 MB."""

    def __init__(self, root: str, table: pa.Table) -> None:
        container = table["container"].combine_chunks()
        self.containers: list[Location] = [joined(root, name) for name in container.dictionary.to_pylist()]
        self.codes = as_numpy(container.indices)
        self.files = table["file"].combine_chunks()

    def of(self, row: int) -> Location:
        return self.containers[int(self.codes[row])] / str(self.files[row].as_py())

    def files_of_rows(self) -> "Iterator[str | RemotePath]":
        """Yield the file of each row; those of this machine as text, because a ``Path`` takes longer than its stat."""
        folders = [place if isinstance(place, RemotePath) else str(place) for place in self.containers]
        for start in range(0, len(self.codes), ROWS_AT_A_TIME):
            names = self.files.slice(start, ROWS_AT_A_TIME).to_pylist()
            for code, name in zip(self.codes[start : start + ROWS_AT_A_TIME].tolist(), names, strict=True):
                folder = folders[code]
                yield folder / name if isinstance(folder, RemotePath) else f"{folder}/{name}"


def _stats(reader: str, paths: _Paths) -> np.ndarray:
    """Return size, times and number of each file, int64 (M, 4): of each row, or of each container."""
    files: Iterator[str | RemotePath]
    if reader in FILE_READERS:
        files = paths.files_of_rows()
    else:
        containers = (split_member(path)[0] if reader == "array" else path for path in paths.containers)
        files = (path if isinstance(path, RemotePath) else str(path) for path in containers)
    return np.array([_stat(file) for file in files], np.int64).reshape(-1, 4)


def _stat(file: str | RemotePath) -> tuple[int, int, int, int]:
    try:
        stat = file.stat() if isinstance(file, RemotePath) else os.stat(file)  # noqa: PTH116
    except OSError as error:
        raise unreadable(file if isinstance(file, RemotePath) else Path(file), error) from None
    if isinstance(stat, os.stat_result) and not S_ISREG(stat.st_mode):  # reading a pipe would wait for a writer
        raise DataError(f"an image must be a regular file, but {file} is not; remove it")
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _read(reader: str, paths: _Paths, table: pa.Table) -> np.ndarray:
    offsets, lengths = as_numpy(table["offset"]), as_numpy(table["length"])
    digests = np.empty((len(table), 32), np.uint8)
    order = np.lexsort((offsets, paths.codes))

    def read(rows: np.ndarray) -> None:
        for row in rows.tolist():
            file = paths.of(row) if reader in FILE_READERS else paths.containers[paths.codes[row]]
            digest = content_digest(reader, file, int(offsets[row]), int(lengths[row]))
            digests[row] = np.frombuffer(digest, np.uint8)

    with ThreadPoolExecutor(n_threads()) as pool:
        list(pool.map(read, np.array_split(order, max(1, len(order) // CHUNK))))
    return digests


def cache_folder() -> Path | None:
    """Return the folder for caches of this machine: ``ARCHSIEVE_CACHE``, or ``archsieve`` in the user's cache folder.

    None without a home folder.
    """
    if named := os.environ.get("ARCHSIEVE_CACHE"):
        return Path(named).expanduser()
    with suppress(RuntimeError):  # a user without a home folder, as in some containers
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archsieve"
    return None


def _cache_file(reader: str, root: str, table: pa.Table, stats: np.ndarray) -> Path | None:
    """Return the file that has, or may get, these digests; None where they are not kept."""
    folder = cache_folder()
    # the time of a remote file may be unknown, 0
    settled = len(stats) and stats[:, 2].min() > 0 and stats[:, 2].max() < (time.time() - SETTLED_S) * 1e9
    if folder is None or not settled or stats[:, 0].sum() < MIN_CACHED_BYTES:
        return None
    place = location(root)
    key = sha256(f"{reader} {place if isinstance(place, RemotePath) else place.resolve()}".encode() + stats.tobytes())
    for name in ("container", "file", "offset"):
        column: Any = table[name].combine_chunks()
        column = column.cast(pa.string()) if name == "container" else column
        for buffer in column.buffers():
            key.update(buffer if buffer is not None else b"-")
    return folder / "digests" / f"{key.hexdigest()}.bin"


def _load(file: Path, n: int) -> np.ndarray | None:
    with suppress(OSError):
        content = file.read_bytes()
        if len(content) == 32 * n + 32 and sha256(content[:-32]).digest() == content[-32:]:
            return np.frombuffer(content[:-32], np.uint8).reshape(n, 32)
    return None


def _save(file: Path, digests: np.ndarray) -> None:
    content, draft = digests.tobytes(), file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be written costs time and nothing else
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content + sha256(content).digest())
        draft.replace(file)
