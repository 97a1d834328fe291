"""The overlap of splits: files that stand in two of them, by their content."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from .errors import DataError

NAMED = 3


def check_apart(files: Mapping[str, Sequence[tuple[Path, int]]]) -> None:
    """Raise :class:`DataError` where two splits hold the same file: what was trained on would be measured on.

    ``files`` are the (file, label) pairs of each split. Only files of a size that two splits have are read.
    """
    for one, other in combinations(files, 2):
        here, there = (_by_size(files[split]) for split in (one, other))
        shared = [pair for size in sorted(here.keys() & there.keys()) for pair in _same(here[size], there[size])]
        if shared:
            named = ", ".join(f"{a} is {b}" for a, b in shared[:NAMED])
            more = f" and {len(shared) - NAMED} more" if len(shared) > NAMED else ""
            raise DataError(
                f"{one} and {other} must share no picture, but {len(shared)} of {other} are in {one} too: "
                f"{named}{more}; remove them from one of the two"
            )


def _by_size(files: Sequence[tuple[Path, int]]) -> dict[int, list[Path]]:
    sizes = defaultdict(list)
    for file, _ in files:
        if file.exists() and (size := file.stat().st_size):  # what is broken is told when it is decoded
            sizes[size].append(file)
    return sizes


def _same(here: Sequence[Path], there: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Each file of ``there`` with one of ``here`` that has its content."""
    first = {_digest(file): file for file in here}
    return [(file, first[digest]) for file in there if (digest := _digest(file)) in first]


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
