"""Whole files: what is written takes its name when all of it is on the disk, and not before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The path of a draft beside ``path``, to be written in the block; where that ends well, it replaces ``path``.

    A process that is killed meanwhile leaves what was there before, and a draft whose name begins with a dot.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
