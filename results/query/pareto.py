"""Pareto fronts: the trials that no other trial beats in everything."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from ...spaces.parameters.lookup import look_up
from ..database.records import COSTS, Trial

_SMALLER_IS_BETTER = (*COSTS, "latency_ms", "duration_s", "val_loss", "val_error")
Point = tuple[float, ...]
Entry = tuple[Point, int, Trial]

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
    return next(fronts(trials, objectives), [])


def fronts(trials: Iterable[Trial], objectives: Sequence[str]) -> Iterator[list[Trial]]:
    """Non-dominated sorting (Deb et al. 2002): :func:`pareto` of ``trials``, then of those left, and so on.

    Each front is worked out when it is asked for. Trials that lack a figure are in none.
    """
    if not objectives:
        raise ValueError(f"a front needs an objective, but got none; choose from {', '.join(sorted(OBJECTIVES))}")
    figures = [look_up(OBJECTIVES, name, "objective") for name in objectives]
    points = [(point, trial.trial, trial) for trial in trials if (point := _point(trial, figures)) is not None]
    points.sort(key=lambda entry: entry[:2])
    split = _sweep if len(objectives) <= 2 else _filter
    while points:
        front, points = split(points)
        yield [trial for _, _, trial in front]


def _point(trial: Trial, figures: Sequence[Callable[[Trial], float | None]]) -> Point | None:
    if not trial.state.finished:
        return None
    values = [figure(trial) for figure in figures]
    return None if None in values else tuple(value for value in values if value is not None)


def _sweep(points: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """In order of the first objective a point is on the front when its last one is smaller than all before it."""
    front: list[Entry] = []
    rest: list[Entry] = []
    smallest = float("inf")
    for entry in points:
        if not front or entry[0][-1] < smallest:
            front.append(entry)
            smallest = entry[0][-1]
        else:
            rest.append(entry)
    return front, rest


def _filter(points: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """In lexicographic order a point is beaten by one before it or by none."""
    front: list[Entry] = []
    rest: list[Entry] = []
    for entry in points:
        beaten = any(all(a <= b for a, b in zip(other[0], entry[0], strict=True)) for other in front)
        (rest if beaten else front).append(entry)
    return front, rest
