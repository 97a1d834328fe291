"""Pareto fronts: the trials that no other trial beats in everything."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from ...spaces.parameters.lookup import look_up
from ..database.records import COSTS, Trial

_SMALLER_IS_BETTER = (*COSTS, "latency_ms", "duration_s", "val_loss", "val_error")
Point = tuple[float, ...]

# Each gives what is minimised. Test accuracy is not among them: nothing is ever selected by it.
OBJECTIVES: dict[str, Callable[[Trial], float | None]] = {
    "val_accuracy": lambda trial: None if trial.val_accuracy is None else -trial.val_accuracy,
    **{name: attrgetter(name) for name in _SMALLER_IS_BETTER},
}


def pareto(trials: Iterable[Trial], objectives: Sequence[str] = ("val_accuracy", "macs")) -> list[Trial]:
    """The finished trials that no other one equals or beats in all ``objectives``, the best in the first one first.

    Accuracy is maximised, costs, errors and losses are minimised. Of trials with equal figures the lowest id stays.
    Two objectives take O(n log n), more O(n f) for a front of f.
    """
    if not objectives:
        raise ValueError(f"a front needs an objective, but got none; choose from {', '.join(sorted(OBJECTIVES))}")
    figures = [look_up(OBJECTIVES, name, "objective") for name in objectives]
    points = [(point, trial.trial, trial) for trial in trials if (point := _point(trial, figures)) is not None]
    points.sort(key=lambda entry: entry[:2])
    keep = _sweep if len(objectives) <= 2 else _filter
    return keep(points)


def _point(trial: Trial, figures: Sequence[Callable[[Trial], float | None]]) -> Point | None:
    if not trial.state.finished:
        return None
    values = [figure(trial) for figure in figures]
    return None if None in values else tuple(value for value in values if value is not None)


def _sweep(points: list[tuple[Point, int, Trial]]) -> list[Trial]:
    """In order of the first objective a point is on the front when its last one is smaller than all before it."""
    front: list[Trial] = []
    smallest = float("inf")
    for point, _, trial in points:
        if not front or point[-1] < smallest:
            front.append(trial)
            smallest = point[-1]
    return front


def _filter(points: list[tuple[Point, int, Trial]]) -> list[Trial]:
    """In lexicographic order a point is beaten by one before it or by none."""
    front: list[tuple[Point, Trial]] = []
    for point, _, trial in points:
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other, _ in front):
            front.append((point, trial))
    return [trial for _, trial in front]
