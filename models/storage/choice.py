"""The choice of a storage: by the size of the decoded images, and the memory and disk of this machine."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..image_files.digests import cache_folder as machine_cache_folder
from ..image_files.errors import DataError

KINDS = ("memory", "cache", "stream")
AUTO = "auto"
CACHE_VARIABLE = "ARCHSIEVE_CACHE"
SMALL_BYTES = 64 * 2**20  # decoded again at every start; larger data sets are decoded once into a cache file
# Loading needs a second copy for a moment, and Ray's shared memory holds one more for the workers.
MEMORY_FRACTION = 0.25
SET_MEMORY_FRACTION = 0.5  # where data.storage = "memory" is set: the images and the copy
DISK_RESERVE_BYTES = 2**30  # left free for checkpoints and the database


Progress = Callable[[int, int], None]  # (images done, all images)


@dataclass(frozen=True)
class StorageOptions:
    """``kind``: auto, memory, cache or stream. ``cache``: folder of cache files; None for the default.

    ``write`` False: no file is written. Images that belong into a cache that does not exist yet are then streamed.
    ``progress`` is called while images are decoded.
    """

    kind: str = AUTO
    cache: str | None = None
    write: bool = True
    progress: Progress | None = None


DEFAULT_STORAGE = StorageOptions()


@dataclass(frozen=True)
class CacheLocation:
    """Where features of a data set are kept: in ``folder``, None for the default, if files may be written."""

    folder: str | None = None
    write: bool = True


DEFAULT_CACHE = CacheLocation()


@dataclass(frozen=True)
class StorageChoice:
    """Where decoded images are: ``memory``, ``cache`` or ``stream``, and why, in words.

    ``bytes`` is the size of all images as uint8 or float32 pixels.
    """

    kind: str
    reason: str
    bytes: int


@dataclass(frozen=True)
class Capacity:
    """What this machine has: free memory, free disk at the cache folder, and whether the cache file is there.

    ``disk_bytes`` is None if nothing can be written to the cache folder.
    """

    memory_bytes: int
    disk_bytes: int | None
    folder: Path
    cached: bool = False


def cache_folder(setting: str | Path | None = None) -> Path:
    """Return the folder of cache files: ``setting``, else the variable ARCHSIEVE_CACHE, else ~/.cache/archsieve.

    Raises :class:`DataError` without a home folder.
    """
    folder = Path(setting).expanduser() if setting else machine_cache_folder()
    if folder is None:
        raise DataError(f"a cache needs a folder, but there is no home folder; set data.cache or {CACHE_VARIABLE}")
    return folder


def measure_capacity(folder: Path, *, cached: bool = False) -> Capacity:
    """Return the free memory and disk of this machine for a cache in ``folder``, which need not exist yet."""
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    disk = shutil.disk_usage(nearest).free if writable else None
    return Capacity(free_memory(), disk, folder, cached)


def free_memory() -> int:
    """Return the bytes that this process can still allocate: what the machine has free, or its container."""
    import psutil  # type: ignore[import-untyped]

    free = int(psutil.virtual_memory().available)
    return min([free, *_cgroup_free()])


def choose_storage(wanted: str, n_bytes: int, capacity: Capacity) -> StorageChoice:
    """Return the storage of images that take ``n_bytes`` when decoded.

    ``wanted`` is a kind, or ``auto`` for the first that fits. Raises :class:`DataError` if the wanted one does not fit.
    """
    if wanted == AUTO:
        return _automatic(n_bytes, capacity)
    if wanted not in KINDS:
        raise DataError(f"storage must be one of auto, {', '.join(KINDS)}, but got {wanted!r}; use auto")
    if wanted == "memory" and n_bytes > SET_MEMORY_FRACTION * capacity.memory_bytes:
        raise DataError(
            f'storage = "memory" needs {size_text(n_bytes)}, and twice as much while the splits are made, but '
            f'{size_text(capacity.memory_bytes)} of memory are free; use storage = "cache", or a smaller image_size'
        )
    if wanted == "cache" and not capacity.cached:
        check_disk(n_bytes, capacity.disk_bytes, capacity.folder)
    return StorageChoice(wanted, "data.storage is set", n_bytes)


def check_disk(n_bytes: int, free: int | None, folder: Path) -> None:
    """Raise :class:`DataError` if a cache of ``n_bytes`` cannot be written to ``folder``."""
    if free is None:
        raise DataError(
            f"the cache folder must be writable, but {folder} is not; set data.cache or {CACHE_VARIABLE} to another "
            'folder, or use storage = "memory" or "stream"'
        )
    if n_bytes > free:
        raise DataError(
            f"the cache needs {size_text(n_bytes)} of disk, but {folder} has {size_text(free)} free; free some space, "
            f'set data.cache or {CACHE_VARIABLE} to another disk, or use storage = "stream"'
        )


def size_text(n_bytes: float) -> str:
    """Return a size in bytes, KiB, MiB, GiB or TiB.

    >>> size_text(5), size_text(3 * 2**20), size_text(193e9)
    ('5 B', '3.0 MiB', '179.7 GiB')
    """
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes:.0f} B"


def _automatic(n_bytes: int, capacity: Capacity) -> StorageChoice:
    size, fits = size_text(n_bytes), n_bytes <= MEMORY_FRACTION * capacity.memory_bytes
    if capacity.cached:
        return StorageChoice("cache", f"the cache file of {size} is already in {capacity.folder}", n_bytes)
    if n_bytes <= SMALL_BYTES and fits:
        reason = f"the images take {size}, and sets of at most {size_text(SMALL_BYTES)} are kept in memory"
        return StorageChoice("memory", reason, n_bytes)
    no_cache = _why_no_cache(n_bytes, capacity)
    if not no_cache:
        return StorageChoice(
            "cache", f"the images take {size}; they are decoded once, into a file in {capacity.folder}", n_bytes
        )
    if fits:
        return StorageChoice("memory", f"{no_cache}, and the images take {size} of memory", n_bytes)
    free = size_text(capacity.memory_bytes)
    return StorageChoice("stream", f"{no_cache}, and {size} are too much for {free} of free memory", n_bytes)


def _why_no_cache(n_bytes: int, capacity: Capacity) -> str:
    """Return why the images cannot be in a cache file; empty if they can."""
    if capacity.disk_bytes is None:
        return f"the cache folder {capacity.folder} is not writable"
    if n_bytes + DISK_RESERVE_BYTES > capacity.disk_bytes:
        return f"{capacity.folder} has {size_text(capacity.disk_bytes)} free, too little for a cache"
    return ""


def _cgroup_free() -> list[int]:
    """Return the bytes left to this process's container, by Linux control groups v2; empty without a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return []
    # Pages of files that the kernel can drop count as used, but they are free for others.
    dropped = int(statistics.get("inactive_file", 0))
    return [] if limit == "max" else [max(0, int(limit) - int(used) + dropped)]
