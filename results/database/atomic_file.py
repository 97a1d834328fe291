"""Atomic file writes: a file gets its final name only after all of its content is on the disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file to write; if the block raises nothing, the file replaces ``path``.

    If the process is killed before that, ``path`` is unchanged, and a temporary file remains whose name starts with
    a dot.
    """
    # In the same folder, because a rename is atomic only within one file system. The process id keeps the temporary
    # files of two processes apart.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())  # the content must be on the disk before the rename
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
