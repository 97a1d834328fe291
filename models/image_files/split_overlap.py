"""The overlap of splits: files with equal content in two of them."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from .errors import DataError

MAX_NAMED = 3  # pairs of files in an error message


def check_no_shared_files(files: Mapping[str, Sequence[tuple[Path, int]]]) -> None:
    """Raise :class:`DataError` if two splits contain the same file: a network would be measured on its training images.

    ``files`` are the (file, label) pairs of each split.
    """
    for one, other in combinations(files, 2):
        # Files of different size differ, so that only files of a size that both splits have are read.
        by_size_one, by_size_other = (_by_size(files[split]) for split in (one, other))
        shared = [
            pair
            for size in sorted(by_size_one.keys() & by_size_other.keys())
            for pair in _duplicates(by_size_one[size], by_size_other[size])
        ]
        if shared:
            named = ", ".join(f"{a} is {b}" for a, b in shared[:MAX_NAMED])
            more = f" and {len(shared) - MAX_NAMED} more" if len(shared) > MAX_NAMED else ""
            raise DataError(
                f"{one} and {other} must not share images, but {len(shared)} of {other} are in {one} too: "
                f"{named}{more}; remove them from one of the two"
            )


def _by_size(files: Sequence[tuple[Path, int]]) -> dict[int, list[Path]]:
    sizes = defaultdict(list)
    for file, _ in files:
        if file.exists() and (size := file.stat().st_size):  # missing and empty files are reported by decode
            sizes[size].append(file)
    return sizes


def _duplicates(files: Sequence[Path], others: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return each file of ``others`` that has the content of one of ``files``, with that one."""
    by_digest = {_digest(file): file for file in files}
    return [(file, by_digest[digest]) for file in others if (digest := _digest(file)) in by_digest]


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
