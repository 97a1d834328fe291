"""The encoded bytes of one image: a range of a tar shard, a row of a Parquet or Arrow file, a row of an array."""

import hashlib
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from .errors import DataError
from .formats import open_image
from .items import encoded, pixels_digest
from .locations import Location, RemotePath

MAX_CACHED_BYTES = 1 << 30  # of Parquet row groups a process
BYTES_ROWS = 8  # rows in which the first image of a column is looked for
FILE_READERS = ("folder", "manifest")  # their images are whole files
ARROW = ".arrow"  # a file that save_to_disk of Hugging Face writes; each other file with rows is Parquet
ARRAY_MEMBER = "::"  # separates an .npz file from the name of the array in it


def read_bytes(reader: str, path: Location, offset: int, length: int) -> bytes:
    """Return the encoded image at ``offset`` of the shard, Parquet file or array at ``path``, or a whole file.

    An image of an array is encoded as PNG, without loss. Raises :class:`DataError` where it cannot be read.
    """
    with _explained(path):
        if reader in FILE_READERS:
            return path.read_bytes()
        if reader == "tar":
            return _range(path, offset, length)
        return row_image(path, offset) if reader == "parquet" else encoded(array_image(path, offset))


def content_digest(reader: str, path: Location, offset: int, length: int) -> bytes:
    """Return the sha256 of the content of one image.

    For an image of an array it is that of shape and pixels, because the bytes of a PNG depend on the encoder. Raises
    :class:`DataError` where it cannot be read.
    """
    if reader == "array":
        with _explained(path):
            image = array_image(path, offset)
        return pixels_digest(image)
    if reader in FILE_READERS and isinstance(path, Path):
        with _explained(path), path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").digest()
    return hashlib.sha256(read_bytes(reader, path, offset, length)).digest()


def unreadable(file: Location, error: OSError) -> DataError:
    """Return the error for a file that cannot be read."""
    return DataError(
        f"images must be readable, but {file} is not: {error.strerror or str(error).strip()}; "
        "check its path and permissions, or copy it again"
    )


@contextmanager
def _explained(path: Location) -> Iterator[None]:
    """Turn the errors of the system and of Arrow into :class:`DataError` with the path of the file or container."""
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, LookupError, NotImplementedError) as error:  # what Arrow and NumPy raise for damaged files
        if isinstance(error, DataError):
            raise
        raise DataError(f"images must be readable, but {path} is damaged: {error}; copy it again") from None


def _range(path: Location, offset: int, length: int) -> bytes:
    if isinstance(path, RemotePath):
        content = path.read_bytes(offset, offset + length)
    else:
        with path.open("rb") as shard:
            shard.seek(offset)
            content = shard.read(length)
    if len(content) < length:
        raise DataError(
            f"a tar shard must be complete, but {path} ends at byte {offset + len(content):,} inside an image of "
            f"{length:,} bytes; copy or download it again"
        )
    return content


class _Version(NamedTuple):
    """A file as it is now: what is cached of it must not be used after it has changed."""

    path: Location
    size: int
    mtime_ns: int
    number: int  # of a remote file, whose time may be unknown

    @classmethod
    def of(cls, path: Location) -> "_Version":
        stat = path.stat()
        return cls(path, stat.st_size, stat.st_mtime_ns, 0 if isinstance(path, Path) else stat.st_ino)


class _RowGroups:
    """The row groups of Parquet files that were read last, at most :data:`MAX_CACHED_BYTES` of them."""

    def __init__(self) -> None:
        self._lock, self._groups, self._bytes = threading.Lock(), OrderedDict[tuple[_Version, int], Any](), 0

    def get(self, version: _Version, group: int) -> Any:
        with self._lock:
            if (version, group) in self._groups:
                self._groups.move_to_end((version, group))
            else:
                column = _parquet_file(version).read_row_group(group, [_image_column(version)]).column(0)
                self._groups[version, group], self._bytes = column, self._bytes + column.nbytes
                while self._bytes > MAX_CACHED_BYTES and len(self._groups) > 1:
                    self._bytes -= self._groups.popitem(last=False)[1].nbytes
            return self._groups[version, group]


_ROW_GROUPS = _RowGroups()


def row_image(path: Location, row: int) -> bytes:
    """Return the bytes of the image in ``row`` of a Parquet or Arrow file with an image column."""
    version = _Version.of(path)
    if path.suffix == ARROW:
        value = _arrow_table(version)[str(_image_column(version))][row].as_py()
    else:
        starts = _row_group_starts(version)
        group = int(np.searchsorted(starts, row, side="right")) - 1
        value = _ROW_GROUPS.get(version, group)[row - int(starts[group])].as_py()
    if (content := _bytes(value)) is None:
        raise DataError(f"every row needs the bytes of an image, but row {row} of {path} has none; remove the row")
    return bytes(content)


@lru_cache(maxsize=64)
def _parquet_file(version: _Version) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(version.path if isinstance(version.path, Path) else version.path.open())


@lru_cache(maxsize=64)
def _arrow_table(version: _Version) -> Any:
    """Return the table of an Arrow file, mapped into memory, so that only the rows that are used are read."""
    import pyarrow as pa

    source = pa.memory_map(str(version.path)) if isinstance(version.path, Path) else version.path.open()
    return pa.ipc.open_stream(source).read_all()


def row_schema(path: Location) -> Any:
    """Return the Arrow schema of a Parquet or Arrow file."""
    return _row_schema(_Version.of(path))


def _row_schema(version: _Version) -> Any:
    return _arrow_table(version).schema if version.path.suffix == ARROW else _parquet_file(version).schema_arrow


def row_columns(path: Location, names: Sequence[str]) -> Any:
    """Return the columns ``names`` of a Parquet or Arrow file as an Arrow table; other columns are not read."""
    version = _Version.of(path)
    if path.suffix == ARROW:
        return _arrow_table(version).select(names)
    return _parquet_file(version).read(columns=list(names))


@lru_cache(maxsize=1024)
def _row_group_starts(version: _Version) -> np.ndarray:
    metadata = _parquet_file(version).metadata
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups - 1)]
    starts: np.ndarray = np.cumsum([0, *counts])
    return starts


def image_column(path: Location) -> str | None:
    """Return the name of the column with the images of a file with rows: binary, or a struct with ``bytes``."""
    return _image_column(_Version.of(path))


@lru_cache(maxsize=1024)
def _image_column(version: _Version) -> str | None:
    import pyarrow as pa

    binary, names = (pa.types.is_binary, pa.types.is_large_binary), list[str]()
    for field in _row_schema(version):
        value = field.type
        if pa.types.is_struct(value) and value.get_field_index("bytes") >= 0:
            value = value.field("bytes").type
        if any(is_binary(value) for is_binary in binary):
            names.append(str(field.name))
    if len(names) > 1:  # such as a binary key or an embedding next to the image
        names.sort(key=lambda name: not _has_image(version, name))
    return names[0] if names else None


def _has_image(version: _Version, column: str) -> bool:
    """Return whether the first row of ``column`` that has bytes has those of an image."""
    if version.path.suffix == ARROW:
        batches = iter([_arrow_table(version).select([column])[:BYTES_ROWS]])
    else:
        batches = _parquet_file(version).iter_batches(BYTES_ROWS, columns=[column])
    for value in next(batches, {column: ()})[column]:
        if content := _bytes(value.as_py()):
            try:
                with open_image(BytesIO(content)):
                    return True
            except Exception:  # any: what Pillow raises for bytes that are no image
                return False
    return False


def _bytes(value: Any) -> bytes | None:
    """Return the bytes in a row of an image column, which may be a struct with ``bytes``."""
    return value.get("bytes") if isinstance(value, dict) else value


def array_image(path: Location, row: int) -> np.ndarray:
    """Return one image of an array file, uint8 (H, W) or (H, W, C)."""
    image = load_array(*split_member(path))[row]
    if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[2] not in (1, 3, 4):
        image = image.transpose(1, 2, 0)
    return np.asarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)


def split_member(path: Location) -> tuple[Path, str]:
    """Return the file of an array, and its name in an .npz file. Folders may have ``::`` in their names, too.

    Raises :class:`DataError` for a URL: arrays are mapped into memory.
    """
    if isinstance(path, RemotePath):
        raise DataError(f"an array file must be on this machine, but got {path}; copy it, and use its path")
    if match := re.fullmatch(rf"(.*?\.npz){ARRAY_MEMBER}(.*)", str(path), re.IGNORECASE | re.DOTALL):
        return Path(match[1]), match[2]
    return path, ""


def load_array(file: Path, member: str) -> np.ndarray:
    """Return an array of an .npz file, or a memory map of an .npy file. Objects are refused, because they run code."""
    stat = file.stat()
    return _load_array(file, (stat.st_size, stat.st_mtime_ns), member)


@lru_cache(maxsize=8)
def _load_array(file: Path, version: tuple[int, int], member: str) -> np.ndarray:
    try:
        if not member:
            return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
        with np.load(file, allow_pickle=False) as arrays:
            return np.asarray(arrays[member])
    except (ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"an array file must be complete and must not contain Python objects, but {file} is not valid: {error}; "
            "save it again"
        ) from None
