"""Stratified splits of groups: each group is in one part, and each part has about its share of every class."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..image_files.errors import DataError


def grouped_split(
    labels: np.ndarray, groups: np.ndarray, fractions: Mapping[str, float], classes: Sequence[str], *, seed: int
) -> dict[str, np.ndarray]:
    """Return ascending indices of each part, drawn by ``seed``, such that each group is in one part.

    ``labels`` and ``groups`` are int64 (N,); groups are numbered from 0. The part ``"train"`` is what remains of the
    ``fractions``. Groups of several images are placed first, the largest before the smaller ones, in the part that
    lacks most of their classes; single images then fill each class up. Raises :class:`DataError` if a class has fewer
    groups than there are parts.
    """
    parts = ("train", *fractions)
    shares = np.array([1 - sum(fractions.values()), *fractions.values()])
    _check_enough_groups(labels, groups, parts, classes)
    units = _Units(labels, groups, len(classes), np.random.default_rng(seed))
    part_of_unit = _Placement(units, shares).run()
    part_of_row = part_of_unit[groups]
    _check_complete(labels, part_of_row, parts, classes)
    return {part: np.flatnonzero(part_of_row == code) for code, part in enumerate(parts)}


def _check_enough_groups(labels: np.ndarray, groups: np.ndarray, parts: Sequence[str], classes: Sequence[str]) -> None:
    n_groups = np.bincount(np.unique(groups * len(classes) + labels) % len(classes), minlength=len(classes))
    for name, n in zip(classes, n_groups.tolist(), strict=True):
        if n < len(parts):
            raise DataError(
                f"every class needs different images or groups in each part ({', '.join(parts)}), but class {name!r} "
                f"has {n} groups of equal or related images; add images, or give the split as folders or a column"
            )


def _check_complete(labels: np.ndarray, part_of_row: np.ndarray, parts: Sequence[str], classes: Sequence[str]) -> None:
    for code, part in enumerate(parts):
        lacking = np.flatnonzero(np.bincount(labels[part_of_row == code], minlength=len(classes)) == 0)
        if len(lacking):
            raise DataError(
                f"every part needs images of every class, but no split of whole groups was found that has class "
                f"{classes[lacking[0]]!r} in {part}; add groups, or give the split as folders or a column"
            )


class _Units:
    """The groups: ``classes_of`` each one with counts, and the order in which they are placed."""

    def __init__(self, labels: np.ndarray, groups: np.ndarray, n_classes: int, rng: np.random.Generator) -> None:
        self.n, self.n_classes = int(groups.max()) + 1, n_classes
        pairs, counts = np.unique(groups * n_classes + labels, return_counts=True)
        self.unit, self.label, self.count = pairs // n_classes, pairs % n_classes, counts
        self.starts = np.searchsorted(self.unit, np.arange(self.n + 1))
        self.sizes = np.bincount(groups, minlength=self.n)
        shuffled = rng.permutation(self.n)
        # the largest first: the small ones even out what the large ones leave
        self.order = shuffled[np.argsort(-self.sizes[shuffled], kind="stable")]

    def classes_of(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes (M,) of a unit, and its number of images of each."""
        where = slice(self.starts[unit], self.starts[unit + 1])
        return self.label[where], self.count[where]


class _Placement:
    """Greedy placement of units; ``missing`` (P, K) is the number of images that a part still needs of a class."""

    def __init__(self, units: _Units, shares: np.ndarray) -> None:
        self.units = units
        self.totals = np.bincount(units.label, units.count, minlength=units.n_classes)
        self.missing = shares[:, None] * self.totals
        self.has = np.zeros((len(shares), units.n_classes), bool)
        self.units_left = np.bincount(units.label, minlength=units.n_classes)
        self.part_of = np.zeros(units.n, np.int64)

    def run(self) -> np.ndarray:
        """Return the part of each unit, int64 (U,)."""
        single = self.units.sizes[self.units.order] == 1
        for unit in self.units.order[~single].tolist():
            self._place(unit)
        self._fill(self.units.order[single])
        return self.part_of

    def _place(self, unit: int) -> None:
        labels, counts = self.units.classes_of(unit)
        # in shares of the class, so that rare classes count as much as frequent ones
        score = (self.missing[:, labels] / self.totals[labels] * counts).sum(1)
        lacks = ~self.has[:, labels]
        # a part without a class takes the unit where no more units of the class are left than such parts
        urgent = (lacks & (self.units_left[labels] <= lacks.sum(0))).any(1)
        part = int(np.argmax(np.where(urgent, score, -np.inf) if urgent.any() else score))
        self.part_of[unit] = part
        self.missing[part, labels] -= counts
        self.has[part, labels] = True
        self.units_left[labels] -= 1

    def _fill(self, singles: np.ndarray) -> None:
        """Place units of one image each: each class fills the parts up to their shares."""
        labels = self.units.label[self.units.starts[singles]]
        by_label = np.argsort(labels, kind="stable")
        bounds = np.searchsorted(labels[by_label], np.arange(self.units.n_classes + 1))
        for label in np.unique(labels).tolist():
            units = singles[by_label[bounds[label] : bounds[label + 1]]]
            sizes = _sizes(len(units), self.missing[:, label], self.has[:, label])
            self.part_of[units] = np.repeat(np.arange(len(sizes)), sizes)
            self.has[:, label] |= sizes > 0


def _sizes(n: int, missing: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Return how many of ``n`` images each part gets, int64 (P,): in proportion to what it misses, rounded to sum n.

    A part without an image of the class gets at least one where there are enough.
    """
    wanted = np.maximum(missing, 0)
    exact = wanted / wanted.sum() * n if wanted.sum() > 0 else np.eye(len(missing))[0] * n
    sizes: np.ndarray = np.floor(exact).astype(np.int64)
    sizes[np.argsort(sizes - exact, kind="stable")[: n - sizes.sum()]] += 1
    for part in np.flatnonzero(~has & (sizes == 0)):
        spare = np.where(has, sizes, sizes - 1)  # a part without an image of the class keeps one
        if (donor := int(np.argmax(spare))) != part and spare[donor] > 0:
            sizes[donor], sizes[part] = sizes[donor] - 1, 1
    return sizes
