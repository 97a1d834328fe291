"""Reserved space: a file that is removed when the disk is full, so that the last reports and the end can be written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RESERVED_BYTES = 4 * 2**20  # some hundred reports, and the end of a run in the database
_NAME = ".reserved-space"


@contextmanager
def reserved_space(folder: Path) -> Iterator[None]:
    """Reserve space in ``folder`` during the block; a disk that is too full for it is not an error here."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _NAME).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)
    try:
        yield
    finally:
        release_space(folder)


def release_space(folder: Path) -> bool:
    """Remove the reserved file of ``folder``; return whether there was one."""
    try:
        (folder / _NAME).unlink()
    except OSError:
        return False
    return True


def disk_space(folder: Path) -> str:
    """Return how much of the disk of ``folder`` is free, for a message."""
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    usage = shutil.disk_usage(nearest)
    return f"{usage.free / 1e6:,.1f} MB of {usage.total / 1e6:,.0f} MB are free on the disk of {nearest}"
