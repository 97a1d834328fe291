"""Fidelities: the first epochs of a trial use a part of the data, or smaller images, and cost less.

A ladder has one rung for each fidelity below the whole one. After the last rung, a trial trains with all data at their
own size. Only these epochs are results of the network; what was measured before them serves the scheduler alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

FIDELITY = "fidelity"  # metric of an epoch: its relative cost, below 1 on a rung, 1 after the last one
DATA_SHARE, IMAGE_SIZE, CARRIED = "data_share", "image_size", "weights_carried"
FIDELITY_METRICS = (FIDELITY, DATA_SHARE, IMAGE_SIZE, CARRIED)


@dataclass(frozen=True)
class Rung:
    """One rung of a ladder, until a trial has trained for ``epochs`` epochs in total.

    ``data_share``, above 0, at most 1, is the share of the training images of each class. ``image_size`` is the side of
    the images in pixels; None for that of the data.
    """

    epochs: int
    data_share: float = 1.0
    image_size: int | None = None

    def size(self, side: int) -> int:
        """Return the side of the images in pixels, where that of the data is ``side``."""
        return side if self.image_size is None else self.image_size

    def relative_cost(self, side: int) -> float:
        """Return the cost of an epoch relative to a whole one: images times pixels, for data of this ``side``."""
        return self.data_share * (self.size(side) / side) ** 2


def rung_at(rungs: Sequence[Rung], epoch: int) -> int:
    """Return the position of the rung that trains ``epoch``, counted from 1; ``len(rungs)`` after the last rung.

    >>> [rung_at([Rung(1, 0.5), Rung(3, 0.8)], epoch) for epoch in (1, 2, 3, 4)]
    [0, 1, 1, 2]
    """
    return sum(rung.epochs < epoch for rung in rungs)


def is_whole(values: Mapping[str, float | None]) -> bool:
    """Return whether the metrics of an epoch were measured at the whole fidelity; true without a ladder."""
    fidelity = values.get(FIDELITY)
    return fidelity is None or fidelity >= 1


def whole_part(curve: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    """Return the (epoch, value) pairs by metric of the epochs at the whole fidelity; all of them without a ladder."""
    fidelities = dict(curve.get(FIDELITY, ()))
    return {
        name: [(epoch, value) for epoch, value in points if is_whole({FIDELITY: fidelities.get(epoch)})]
        for name, points in curve.items()
    }


def check_rungs(rungs: Sequence[Rung], key: str) -> None:
    """Raise ``ValueError``, which begins with ``key``, unless each rung trains longer than the previous one for more.

    A rung must cost less than the whole fidelity, and no rung may use less data or smaller images than an earlier one.
    """
    for number, rung in enumerate(rungs):
        if rung.data_share == 1 and rung.image_size is None:
            raise ValueError(
                f"{key}.{number} must have a data_share below 1 or an image_size, but has neither; leave the rung out"
            )
    for number, (before, after) in enumerate(pairwise(rungs), start=1):
        if after.epochs <= before.epochs:
            raise ValueError(
                f"{key}.{number}.epochs must be above that of the rung before it, because epochs are counted from the "
                f"start of the trial, but got {after.epochs} after {before.epochs}; raise it"
            )
        sizes = [rung.image_size or 10**9 for rung in (before, after)]
        if after.data_share < before.data_share or sizes[1] < sizes[0]:
            raise ValueError(
                f"{key}.{number} must not use less data or smaller images than the rung before it; sort the rungs"
            )
