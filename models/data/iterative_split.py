"""Iterative stratification: splits of images with several labels, where every part has its share of each class.

Source: Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data", algorithm 1. Changes: groups
of images are placed as a whole, and a part without a class gets one of its last groups.

Shapes: N images, K classes, U groups, P parts.
"""

import heapq
from collections.abc import Sequence

import numpy as np

from ..image_files.errors import DataError


def iterative_parts(labels: np.ndarray, shares: Sequence[float], *, seed: int, groups: np.ndarray | None) -> np.ndarray:
    """Return the part of each image, int64 (N,), drawn by ``seed``; ``shares`` (P,) sum to 1.

    ``labels`` is bool (N, K). ``groups``, int64 (N,), has equal numbers, counted from 0, for images of one part. The
    class with the fewest groups that are not placed is next: its groups go, the largest first, to the part that lacks
    most images of the class, then to the one that lacks most images. Groups without labels come last.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    return np.asarray(_Placement(labels, groups, np.asarray(shares), np.random.default_rng(seed)).run()[groups])


def check_parts(labels: np.ndarray, part_of: np.ndarray, parts: Sequence[str], classes: Sequence[str]) -> None:
    """Raise :class:`DataError` if a part has no image of a class."""
    for code, part in enumerate(parts):
        lacking = np.flatnonzero(~labels[part_of == code].any(0))
        if len(lacking):
            n = int(labels[:, lacking[0]].sum())
            raise DataError(
                f"every part needs images of every class, but no split was found that has class "
                f"{classes[lacking[0]]!r} ({n:,} in all) in {part}; add images, remove the class, or give the split "
                "as a column"
            )


class _Placement:
    """Greedy placement; ``missing`` (P, K + 1) is how many images a part still needs of each class, and in all."""

    def __init__(self, labels: np.ndarray, groups: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> None:
        n_groups, self.n_classes = int(groups.max()) + 1, labels.shape[1]
        counts = np.zeros((n_groups, self.n_classes + 1), np.int32)
        np.add.at(counts, groups, np.concatenate([labels, np.ones((len(labels), 1), bool)], axis=1))
        self.counts = counts
        shuffled = rng.permutation(n_groups)
        self.order = shuffled[np.argsort(-counts[shuffled, -1], kind="stable")]  # the small ones even out the large
        self.missing = shares[:, None] * counts.sum(0)
        self.part_of = np.full(n_groups, -1)
        self.left = (counts[:, :-1] > 0).sum(0)  # groups of each class that are not placed
        self.has = np.zeros((len(shares), self.n_classes), bool)

    def run(self) -> np.ndarray:
        """Return the part of each group, int64 (U,)."""
        queue = [(int(n), label) for label, n in enumerate(self.left) if n]
        heapq.heapify(queue)
        while queue:
            n, label = heapq.heappop(queue)
            if n != self.left[label]:  # groups of this class were placed for another one
                if self.left[label]:
                    heapq.heappush(queue, (int(self.left[label]), label))
                continue
            for group in self.order[self.counts[self.order, label] > 0].tolist():
                if self.part_of[group] < 0:
                    self._place(group, label)
        for group in self.order[self.part_of[self.order] < 0].tolist():
            self._place(group, self.n_classes)
        return self.part_of

    def _place(self, group: int, label: int) -> None:
        """Place a group for ``label``, or for the number of images if that is K."""
        counts = self.counts[group]
        present = counts[:-1] > 0
        lacks = ~self.has[:, present]
        # a part without a class takes the group where no more groups of the class are left than such parts
        urgent = (lacks & (self.left[present] <= lacks.sum(0))).sum(1)
        rank = np.lexsort((self.missing[:, -1], self.missing[:, label], urgent))
        part = int(rank[-1])
        self.part_of[group] = part
        self.missing[part] -= counts
        self.has[part, present] = True
        self.left[present] -= 1
