"""NSGA-II (Deb et al. 2002): several objectives at once, such as accuracy against multiply-accumulates."""

import math
import random
from collections.abc import Sequence

from ...results.database.records import History, Trial
from ...results.query.pareto import OBJECTIVES, fronts
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.parameters.lookup import unknown
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .crossover import child

POPULATION = 20  # parents; the paper's 100 is more than most searches here train
FIRST = 10  # trials with all figures before the first child; until then, uniform over what fits
DEFAULT = ("val_accuracy", "macs")


class NSGA2(Searcher):
    """The parents are the first fronts of all trials, thinned where they crowd; the nearer the front, the likelier.

    A trial without one of the figures (one that failed, or whose latency was not measured) is no parent. Beside the
    paper, each child is bred as soon as it is asked for, not a generation at a time: no worker waits.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace, objectives: Sequence[str] = DEFAULT) -> None:
        super().__init__(sieve, recipes)
        for name in objectives:
            if name not in OBJECTIVES:
                raise ValueError(f"search.objectives: {unknown('objective', name, OBJECTIVES)}")
        if not objectives or len(set(objectives)) < len(objectives):
            raise ValueError(f"search.objectives must be different ones, at least one, but got {list(objectives)}")
        self.objectives = tuple(objectives)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        parents = survivors(history.finished, self.objectives)
        if len(parents) < FIRST:
            return self.anything(history, rng)
        return child(self, history, _tournament(parents, rng), _tournament(parents, rng), rng)


def _tournament(parents: Sequence[Trial], rng: random.Random) -> Trial:
    """The one that stands before the other, of two."""
    return parents[min(rng.randrange(len(parents)) for _ in range(2))]


def survivors(trials: Sequence[Trial], objectives: Sequence[str], most: int = POPULATION) -> list[Trial]:
    """The ``most`` best, in order: front by front, and inside a front those with more room around them first."""
    chosen: list[Trial] = []
    for front in fronts(trials, objectives):
        room = crowding(front, objectives)
        chosen += sorted(front, key=lambda trial: (-room[trial.trial], trial.trial))
        if len(chosen) >= most:
            break
    return chosen[:most]


def crowding(front: Sequence[Trial], objectives: Sequence[str]) -> dict[int, float]:
    """How much room each trial of a front has: the sum over the objectives of the gap between its two neighbours.

    Gaps are parts of the front's whole range; the ends of the front have infinite room.
    """
    room = dict.fromkeys((trial.trial for trial in front), 0.0)
    for name in objectives:
        figures = sorted((OBJECTIVES[name](trial) or 0.0, trial.trial) for trial in front)
        span = figures[-1][0] - figures[0][0]
        room[figures[0][1]] = room[figures[-1][1]] = math.inf
        for (before, _), (_, trial), (after, _) in zip(figures, figures[1:], figures[2:], strict=False):
            room[trial] += (after - before) / span if span else 0.0
    return room
