"""Equal images: groups that stay on one side of a split, images with two labels, and images in two splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations

import numpy as np

from ..image_files.errors import DataError
from ..image_files.index import Index

MAX_NAMED = 3  # examples in a message
EMPTY_FILE = np.frombuffer(sha256(b"").digest(), np.uint8)


@dataclass(frozen=True, eq=False)
class EqualImages:
    """Sets of rows with equal content, each an ascending int64 array of at least two rows of the index."""

    index: Index
    sets: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, index: Index) -> "EqualImages":
        """Find the sets in ``index``."""
        contents = _contents(index)
        repeated = np.flatnonzero(np.bincount(contents)[contents] > 1)
        order = repeated[np.argsort(contents[repeated], kind="stable")]
        bounds = np.flatnonzero(np.diff(contents[order])) + 1
        return cls(index, tuple(np.split(order, bounds)) if len(order) else ())

    @property
    def n_copies(self) -> int:
        """The number of images that repeat another one."""
        return sum(len(rows) - 1 for rows in self.sets)

    @property
    def conflicts(self) -> tuple[np.ndarray, ...]:
        """The sets whose rows have different labels."""
        labels = self.index.label_sets
        return tuple(rows for rows in self.sets if len(np.unique(labels[rows])) > 1)

    def notes(self) -> tuple[str, ...]:
        """Return a sentence on copies, and one on equal images with different labels, with numbers and examples."""
        notes = []
        if self.sets:
            notes.append(
                f"{self.n_copies:,} of {len(self.index):,} images repeat another one, such as "
                f"{_joined(self.examples(self.sets))}; copies stay on one side of a split"
            )
        if conflicts := self.conflicts:
            n = sum(map(len, conflicts))
            notes.append(
                f"{n:,} images are equal to one of another class, such as {_joined(self.examples(conflicts))}; "
                "no network can be right on all of them: correct their labels"
            )
        return tuple(notes)

    def examples(self, sets: Sequence[np.ndarray]) -> list[list[str]]:
        """Return the names of two images of each of the first three ``sets``, with their classes where they differ."""
        return [self._pair(rows) for rows in sets[:MAX_NAMED]]

    def _pair(self, rows: np.ndarray) -> list[str]:
        labels, name = self.index.label_sets[rows], self.index.name
        if not (differing := np.flatnonzero(labels != labels[0])).size:
            return [name(int(row)) for row in rows[:2]]
        pair = (0, int(differing[0]))
        return [f"{name(int(rows[at]))} ({self.index.label_text(int(rows[at]))})" for at in pair]


def _joined(pairs: Sequence[Sequence[str]]) -> str:
    return ", ".join(" = ".join(pair) for pair in pairs)


def check_no_overlap(index: Index) -> None:
    """Raise :class:`DataError` if two splits contain equal images: networks would be measured on training images."""
    contents = _contents(index)
    for (one, rows), (other, other_rows) in combinations(index.rows.items(), 2):
        shared = other_rows[np.isin(contents[other_rows], contents[rows])]
        if len(shared):
            originals = rows[np.isin(contents[rows], contents[shared[:MAX_NAMED]])]
            row_of = dict(zip(contents[originals].tolist(), originals.tolist(), strict=True))
            pairs = [(index.name(row), index.name(row_of[contents[row]])) for row in shared[:MAX_NAMED].tolist()]
            more = f" and {len(shared) - MAX_NAMED:,} more" if len(shared) > MAX_NAMED else ""
            raise DataError(
                f"{one} and {other} must not share images, but {len(shared):,} of {other} are in {one} too: "
                f"{', '.join(f'{a} is {b}' for a, b in pairs)}{more}; remove them from one of the two"
            )


def group_notes(index: Index) -> tuple[str, ...]:
    """Return a sentence for each pair of published splits that share groups, such as patients."""
    groups, notes = index.groups, list[str]()
    if groups is None:
        return ()
    for one, other in combinations(index.rows, 2):
        shared = np.intersect1d(groups[index.rows[one]], groups[index.rows[other]])
        if len(shared := shared[shared >= 0]):
            names = index.table["group"].combine_chunks().dictionary.take(shared[:MAX_NAMED]).to_pylist()
            notes.append(
                f"{len(shared):,} groups have images in {one} and in {other}, such as {', '.join(names)}; the "
                f"accuracy on {other} is too high if their images are alike"
            )
    return tuple(notes)


def split_groups(index: Index) -> np.ndarray | None:
    """Return a number for each row, int64 (N,), that is equal for rows which must be on one side of a split.

    These are rows with equal content or of one group, directly or through other rows. None if all groups have one row.
    """
    groups, contents = index.groups, _contents(index)
    numbers = contents if groups is None else numbered(connected(contents, groups))
    return None if numbers.max(initial=-1) + 1 == len(index) else numbers


def connected(contents: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the connected component of each row; rows of one content or group are connected, a group of -1 is none."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # rows are the edges of a bipartite graph between contents and groups
    n_contents, has_group = contents.max() + 1, groups >= 0
    size = n_contents + groups.max() + 1
    ones = np.ones(int(has_group.sum()), np.int8)
    edges = coo_array((ones, (contents[has_group], n_contents + groups[has_group])), (size, size))
    return np.asarray(connected_components(edges, directed=False)[1][contents])


def _contents(index: Index) -> np.ndarray:
    """Return a number for the content of each row, int64 (N,): equal numbers are equal images.

    Empty files are no images, and have a number each; the decoder reports them.
    """
    contents = numbered(np.ascontiguousarray(index.digests).view("V32").ravel())
    empty = np.flatnonzero((index.digests == EMPTY_FILE).all(1))
    contents[empty] = contents.max(initial=0) + 1 + np.arange(len(empty))
    return numbered(contents) if len(empty) else contents


def numbered(keys: np.ndarray) -> np.ndarray:
    """Return the number of each key, int64 (N,), counted from 0 in the order of first appearance."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return number[inverse.ravel()]
