"""The file of a cache: a header, then the pixels of all images, then their channel sums, then what decoding found.

| offset | content |
|---|---|
| 0 | 16 bytes that name the format, the sha256 of the header's JSON, the JSON, zeros up to 4096 bytes |
| 4096 | pixels (N, C, H, W) uint8; nothing in a file that has sums only, for images that are decoded per batch |
| then | sums (N, 2, C) int64, little-endian: for each image the sum of each channel and of its squares |
| then | JSON of a :class:`CacheNotes`; the pixels of images that could not be decoded are zero |

The header has a digest of sums and notes, which is verified when a file is opened. The pixels are not verified, because
that would read all of them at each start.

A file is written under another name and renamed when it is complete, so a killed process leaves no file of this name.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAGIC = b"archsieve cache\n"
VERSION = 2
HEADER_BYTES = 4096


@dataclass(frozen=True)
class CacheNotes:
    """What decoding found: the rows that could not be decoded with their messages, and the JSON of observations."""

    bad: tuple[tuple[int, str], ...] = ()
    observations: Mapping[str, Any] = field(default_factory=dict)


class InvalidCacheError(ValueError):
    """A file is not the cache that was expected: cut off, broken, or of other images."""


@dataclass(frozen=True)
class CacheHeader:
    """What a cache file contains. ``key`` identifies images and decoding; ``shape`` is (N, C, H, W).

    ``tail_sha256`` is that of the bytes after the pixels: sums and notes.
    """

    key: str
    shape: tuple[int, int, int, int]
    has_pixels: bool = True
    notes_bytes: int = 0
    tail_sha256: str = ""
    version: int = VERSION

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the pixels in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) if self.has_pixels else 0

    @property
    def sums_shape(self) -> tuple[int, int, int]:
        """Shape of the channel sums: (N, 2, C)."""
        return self.shape[0], 2, self.shape[1]

    @property
    def sums_bytes(self) -> int:
        """Bytes of the channel sums in the file."""
        return 8 * int(np.prod(self.sums_shape, dtype=np.int64))

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return HEADER_BYTES + self.pixel_bytes + self.sums_bytes + self.notes_bytes

    def encoded(self) -> bytes:
        """Return the first ``HEADER_BYTES`` bytes of the file."""
        text = json.dumps(asdict(self)).encode()
        return (MAGIC + hashlib.sha256(text).digest() + text).ljust(HEADER_BYTES, b"\0")


@dataclass(frozen=True, eq=False)
class CacheFile:
    """An open cache: ``pixels`` (N, C, H, W) uint8 and ``sums`` (N, 2, C) int64, mapped read-only."""

    pixels: np.ndarray | None
    sums: np.ndarray
    notes: CacheNotes


def read_cache(path: Path, key: str, *, has_pixels: bool = True) -> CacheFile:
    """Map the cache of ``key``. Raises :class:`InvalidCacheError` for anything else, and FileNotFoundError."""
    header = _read_header(path)
    if (header.key, header.has_pixels) != (key, has_pixels):
        raise InvalidCacheError(f"{path} is the cache of other images")
    if path.stat().st_size != header.file_bytes:
        raise InvalidCacheError(f"{path} must have {header.file_bytes} bytes, but has {path.stat().st_size}")
    start = HEADER_BYTES + header.pixel_bytes
    pixels = np.memmap(path, np.uint8, "r", HEADER_BYTES, header.shape) if has_pixels else None
    sums = np.memmap(path, "<i8", "r", start, header.sums_shape)
    with path.open("rb") as file:
        file.seek(start + header.sums_bytes)
        text = file.read(header.notes_bytes)
    if _tail_digest(sums, text) != header.tail_sha256:
        raise InvalidCacheError(f"{path} is damaged after the pixels")
    notes = json.loads(text)
    bad = tuple((int(row), str(message)) for row, message in notes["bad"])
    return CacheFile(pixels, sums, CacheNotes(bad, notes["observations"]))


def _tail_digest(sums: np.ndarray, notes: bytes) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(sums, "<i8").data)
    digest.update(notes)
    return digest.hexdigest()


def _read_header(path: Path) -> CacheHeader:
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    digest_end = len(MAGIC) + hashlib.sha256().digest_size
    text = start[digest_end:].rstrip(b"\0")
    if not start.startswith(MAGIC) or hashlib.sha256(text).digest() != start[len(MAGIC) : digest_end]:
        raise InvalidCacheError(f"{path} has no header of a cache")
    fields = json.loads(text)
    if fields.get("version") != VERSION:
        raise InvalidCacheError(f"{path} has version {fields.get('version')} of the format, not {VERSION}")
    return CacheHeader(**{**fields, "shape": tuple(fields["shape"])})


class CacheWriter:
    """Writes a cache in order: :meth:`add` for each group of images, then :meth:`finish`."""

    def __init__(self, file: BinaryIO, header: CacheHeader) -> None:
        self._file, self._header, self._sums = file, header, list[np.ndarray]()
        file.write(bytes(HEADER_BYTES))  # the header comes last: without it the file is no cache

    def add(self, pixels: np.ndarray) -> None:
        """Append images (M, C, H, W) uint8."""
        if self._header.has_pixels:
            self._file.write(np.ascontiguousarray(pixels).data)
        self._sums.append(channel_sums(pixels))

    def finish(self, notes: CacheNotes) -> None:
        """Write the sums, the notes and the header, and wait until the disk has them."""
        text = json.dumps(asdict(notes)).encode()
        sums = np.concatenate(self._sums).astype("<i8")
        self._file.write(sums.data)
        self._file.write(text)
        header = replace(self._header, notes_bytes=len(text), tail_sha256=_tail_digest(sums, text))
        self._file.flush()
        self._file.seek(0)
        self._file.write(header.encoded())
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def writing(path: Path, header: CacheHeader) -> Iterator[CacheWriter]:
    """Write the cache ``path``: it exists after the block, and nothing of it does if the block raises.

    The caller holds the lock of the file: the file that is written has a fixed name.
    """
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            yield CacheWriter(file, header)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def channel_sums(pixels: np.ndarray) -> np.ndarray:
    """Return the sums of each channel and of its squares, int64 (M, 2, C), of images (M, C, H, W) uint8."""
    flat: Any = pixels.reshape(*pixels.shape[:2], -1)
    wide = flat.astype(np.uint16)  # 255 squared fits
    return np.stack([wide.sum(2, dtype=np.int64), (wide * wide).sum(2, dtype=np.int64)], axis=1)
