"""Pareto fronts and non-dominated sorting of trials."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TypeVar

from ...spaces.metrics.registry import is_metric, stored_name
from ...spaces.parameters.lookup import look_up
from ..database.records import COSTS, DEVICE_COSTS, Trial

_MINIMIZED = (*COSTS, *DEVICE_COSTS, "latency_ms", "duration_s", "val_loss", "val_error")
Point = tuple[float, ...]
T = TypeVar("T")

# Each function returns the value to minimize. Test accuracy is not an objective: selecting trials by it would bias the
# test estimate.
Objective = Callable[[Trial], float | None]
OBJECTIVES: dict[str, Callable[[Trial], float | None]] = {
    "val_accuracy": lambda trial: None if trial.val_accuracy is None else -trial.val_accuracy,
    **{name: attrgetter(name) for name in _MINIMIZED},
}


def pareto(trials: Iterable[Trial], objectives: Sequence[str] = ("val_accuracy", "macs")) -> list[Trial]:
    """Return the Pareto front: the finished trials that no other trial dominates in ``objectives``.

    Accuracy is maximized; costs, errors and losses are minimized; a recorded metric has its own direction. Of trials
    that are equal in all objectives, only the one with the lowest id is on the front. The front is sorted by the first
    objective, best first.

    The run time is O(n log n) for n trials and up to two objectives, and O(n f) for more objectives and a front of f
    trials.

    Raises ``ValueError`` for an unknown objective or for none, and ``TypeError`` for a text in place of a list.
    """
    return next(fronts(trials, objectives), [])


def fronts(trials: Iterable[Trial], objectives: Sequence[str]) -> Iterator[list[Trial]]:
    """Sort trials by non-domination (Deb et al. 2002): yield the front of ``trials``, then of the rest, and so on.

    Each front is computed only when the iterator reaches it. Unfinished trials and trials without a value for an
    objective are in no front.
    """
    if isinstance(objectives, str):
        raise TypeError(f"objectives must be a list of names, but got {objectives!r}; write [{objectives!r}]")
    if not objectives:
        raise ValueError(f"a Pareto front needs an objective, got none; choose from {', '.join(sorted(OBJECTIVES))}")
    trials = tuple(trials)
    # No trial may have the metric yet although the run records it: then all fronts are empty.
    recorded = {name for trial in trials for name in (trial.metric, *trial.metrics)}
    for name in objectives:
        if objective_name(name) not in {*OBJECTIVES, *recorded} and not is_metric(name):
            look_up({**OBJECTIVES, **dict.fromkeys(recorded)}, name, "objective")
    getters = [objective(name) for name in objectives]
    points = [(point, trial.trial, trial) for trial in trials if (point := _point(trial, getters)) is not None]
    # Without the trial itself in the key: trials cannot be compared, and the id is already unique.
    points.sort(key=lambda entry: entry[:2])
    split = sweep if len(objectives) <= 2 else _filter
    while points:
        front, points = split(points)
        yield [trial for _, _, trial in front]


def objective_name(name: str) -> str:
    """Return the name under which an objective is recorded: ``accuracy`` is ``val_accuracy``."""
    return name if name in OBJECTIVES else stored_name(name.removeprefix("val_"))


def objective(name: str) -> Objective:
    """Return the function that returns the value to minimize: a cost, or the negative score of a recorded metric."""
    name = objective_name(name)
    if name in OBJECTIVES:
        return OBJECTIVES[name]

    def negative_score(trial: Trial) -> float | None:
        score = trial.score_of(name)
        return None if score is None else -score

    return negative_score


def _point(trial: Trial, getters: Sequence[Callable[[Trial], float | None]]) -> Point | None:
    """Return the values to minimize, or None if the trial is unfinished or has no value for an objective."""
    if not trial.state.finished:
        return None
    values = [get(trial) for get in getters]
    return None if None in values else tuple(value for value in values if value is not None)


def sweep(points: Sequence[tuple[Point, int, T]]) -> tuple[list[tuple[Point, int, T]], list[tuple[Point, int, T]]]:
    """Split sorted points of up to two objectives into the front and the rest, in one pass.

    A point is the values to minimize, an id that orders equal points, and what it belongs to. The points are sorted by
    the first objective. A point is therefore on the front exactly if its last objective is smaller than that of all
    points before it.
    """
    front: list[tuple[Point, int, T]] = []
    rest: list[tuple[Point, int, T]] = []
    smallest = float("inf")
    for entry in points:
        # The first point is always on the front, also if its last objective is infinite.
        if not front or entry[0][-1] < smallest:
            front.append(entry)
            smallest = entry[0][-1]
        else:
            rest.append(entry)
    return front, rest


def _filter(points: Sequence[tuple[Point, int, T]]) -> tuple[list[tuple[Point, int, T]], list[tuple[Point, int, T]]]:
    """Split sorted points of any number of objectives into the front and the rest.

    The points are in lexicographic order, so a point can only be dominated by a point before it. It is enough to
    compare with the points already on the front.
    """
    front: list[tuple[Point, int, T]] = []
    rest: list[tuple[Point, int, T]] = []
    for entry in points:
        dominated = any(all(a <= b for a, b in zip(other[0], entry[0], strict=True)) for other in front)
        (rest if dominated else front).append(entry)
    return front, rest
