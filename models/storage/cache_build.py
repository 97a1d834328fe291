"""Opening a cache: the file of the images if it is there, else it is built, once by all processes of a machine."""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..image_files.decoding import decode_many
from ..image_files.errors import DataError
from ..image_files.observations import Observations
from ..process.cores import usable_cores
from .cache_file import CacheFile, CacheHeader, CacheNotes, CacheWriter, InvalidCacheError, read_cache, writing
from .choice import CACHE_VARIABLE, Progress, check_disk, measure_capacity, size_text
from .encoded import EncodedImages, LazyNames, LazySources

CHUNK_BYTES = 64 * 2**20  # of pixels in memory during a build
MAX_CHUNK = 4096  # images
BAD_CHUNK = 64  # images of a cache that could not be decoded, and are tried again
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
log = logging.getLogger("archsieve")


def cache_path(images: EncodedImages, folder: Path, *, has_pixels: bool = True) -> Path:
    """Return the path of the cache file of ``images``: its name has the key, the channels and the side."""
    channels, side = images.decoding.channels, images.decoding.image_size
    return folder / f"{images.key[:32]}-{channels}x{side}.{'pixels' if has_pixels else 'sums'}"


def is_cached(images: EncodedImages, folder: Path, *, has_pixels: bool = True) -> bool:
    """Return whether the cache of ``images`` is complete in ``folder``, and has all images that can be decoded."""
    try:
        return _existing(images, cache_path(images, folder, has_pixels=has_pixels), has_pixels) is not None
    except DataError:  # it cannot be read
        return False


def open_cache(
    images: EncodedImages, folder: Path, *, has_pixels: bool = True, progress: Progress | None = None
) -> CacheFile:
    """Return the cache of ``images`` in ``folder``, and build it first if it is missing, cut off or broken.

    One process builds, others wait for it. With ``has_pixels`` False the file has the channel sums only, for images
    that are decoded per batch. Raises :class:`DataError` for an image that cannot be decoded, a folder that cannot be
    written to, and a disk that is too small or becomes full; then no file is left.
    """
    path = cache_path(images, folder, has_pixels=has_pixels)
    cache = _existing(images, path, has_pixels, warn=True)
    if cache is None:
        with _explained(images, folder, has_pixels), locked(path):
            # Another process may have built it while this one waited for the lock.
            cache = _existing(images, path, has_pixels)
            if cache is None:
                _build(images, path, has_pixels, progress)
                cache = read_cache(path, images.key, has_pixels=has_pixels)
    if cache.notes.bad and images.on_bad == "error":
        raise DataError(cache.notes.bad[0][1])
    return cache


def decode_all(images: EncodedImages, progress: Progress | None = None) -> tuple[np.ndarray, CacheNotes]:
    """Return the pixels of all images, uint8 (N, C, S, S), and what decoding found."""
    pixels, found = np.zeros(images.shape, np.uint8), _Findings(images)
    for rows in _chunks(images):
        found.decode(rows, pixels[rows.start : rows.stop], progress)
    return pixels, found.notes()


def _existing(images: EncodedImages, path: Path, has_pixels: bool, *, warn: bool = False) -> CacheFile | None:
    try:
        cache = read_cache(path, images.key, has_pixels=has_pixels)
        bad = _still_bad(images, [row for row, _ in cache.notes.bad])
        if len(bad) < len(cache.notes.bad):
            raise InvalidCacheError(f"{path} lacks images that can be decoded now")
        return replace(cache, notes=replace(cache.notes, bad=bad))
    except FileNotFoundError:
        return None
    except InvalidCacheError as error:
        if warn:
            log.warning("%s; it is built again", error)
        return None
    except OSError as error:
        raise DataError(
            f"a cache file must be readable, but {path} is not: {error.strerror}; check its permissions, or set "
            f"data.cache or {CACHE_VARIABLE} to another folder"
        ) from None


def _still_bad(images: EncodedImages, rows: Sequence[int]) -> tuple[tuple[int, str], ...]:
    """Return those of ``rows`` that cannot be decoded, with messages that have the present names of the files."""
    found = list[tuple[int, str]]()
    for start in range(0, len(rows), BAD_CHUNK):  # their pixels are not kept
        part = rows[start : start + BAD_CHUNK]
        sources = LazySources(images.index, part)
        _, bad = decode_many(sources, images.decoding, names=LazyNames(images.index, part), on_bad="skip")
        found += [(part[position], message) for position, message in bad]
    return tuple(found)


def _build(images: EncodedImages, path: Path, has_pixels: bool, progress: Progress | None) -> None:
    header = CacheHeader(images.key, images.shape, has_pixels)
    check_disk(header.file_bytes, measure_capacity(path.parent).disk_bytes, path.parent)
    found = _Findings(images, check=True)
    with writing(path, header) as writer:
        for rows in _chunks(images):
            _add_chunk(images, rows, found, writer, progress)
        writer.finish(found.notes())


def _add_chunk(
    images: EncodedImages, rows: range, found: "_Findings", writer: CacheWriter, progress: Progress | None
) -> None:
    pixels = np.zeros((len(rows), *images.shape[1:]), np.uint8)
    found.decode(rows, pixels, progress)
    writer.add(pixels)


class _Findings:
    """Decodes the images of a data set, some rows at a time, and collects what decoding finds."""

    def __init__(self, images: EncodedImages, *, check: bool = False) -> None:
        self._images, self._bad, self._seen, self._check = images, list[tuple[int, str]](), Observations(), check

    def decode(self, rows: range, out: np.ndarray, progress: Progress | None) -> None:
        """Decode ``rows`` into ``out`` on all cores. Raises :class:`DataError` for changed files, if it checks them."""
        sources = LazySources(self._images.index, rows, check=self._check)
        names, total = LazyNames(self._images.index, rows), len(self._images)
        _, bad = decode_many(
            sources,
            self._images.decoding,
            names=names,
            threads=usable_cores(),
            on_bad=self._images.on_bad,
            progress=None if progress is None else lambda done: progress(rows.start + done, total),
            observe=lambda position, decoded: self._seen.add(decoded.pixels, decoded.facts, names[position]),
            out=out,
        )
        if sources.errors:  # not a bad image that may be skipped
            raise sources.errors[0]
        self._bad += [(rows[position], message) for position, message in bad]

    def notes(self) -> CacheNotes:
        """Return what was found in all rows."""
        return CacheNotes(tuple(self._bad), self._seen.to_json())


def _chunks(images: EncodedImages) -> Iterator[range]:
    size = max(1, min(MAX_CHUNK, CHUNK_BYTES * len(images) // max(1, images.nbytes)))
    for start in range(0, len(images), size):
        yield range(start, min(start + size, len(images)))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a cache file. The system releases it when the process ends, even by SIGKILL."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("another process builds %s; waiting for it", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(images: EncodedImages, folder: Path, has_pixels: bool) -> Iterator[None]:
    """Turn errors of the disk into :class:`DataError`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_ERRNOS:
            size = size_text(CacheHeader(images.key, images.shape, has_pixels).file_bytes)
            raise DataError(
                f"the cache needs {size} of disk, but {folder} became full: {error.strerror}; free some space, set "
                f'data.cache or {CACHE_VARIABLE} to another disk, or use storage = "stream"'
            ) from None
        raise DataError(
            f"the cache folder must be writable, but {folder} is not: {error.strerror}; set data.cache or "
            f'{CACHE_VARIABLE} to another folder, or use storage = "memory" or "stream"'
        ) from None
