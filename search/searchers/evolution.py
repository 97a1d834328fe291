"""Evolutionary searchers: regularised evolution and NSGA-II, with the crossover and mutation that they share."""

import math
import random
from collections.abc import Sequence

from ...results.database.records import History, Trial
from ...results.query.pareto import OBJECTIVES, fronts
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.mutation import crossover, mutate, repair
from ...spaces.parameters.lookup import unknown
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .ranking import score
from .recipe_sampling import Values, cross_values, mutate_values, recipe_of, values_of
from .unexplored import IsNew

POPULATION = 20  # the papers' 100 is more than most searches here train
N_INITIAL = 10  # scored trials before the first crossover; until then, uniform over what fits
TOURNAMENT = 5  # of the population, of which the best is a parent: a quarter of it, as in the paper
CROSSOVER_PROBABILITY = 0.5
RECIPE_MUTATION_PROBABILITY = 0.5
MAX_TRIES = 20  # results that are not new, before one is drawn at random
DEFAULT_OBJECTIVES = ("val_accuracy", "macs")


class Evolution(Searcher):
    """Regularised evolution (Real et al. 2019, arXiv 1802.01548): parents come from the youngest trials, good or not.

    A parent is the best of a sample of the population. Unlike in the paper, half of the proposals have two parents,
    each is repaired into the budget, and none is made twice. Age is the trial's number, so that the order in which
    workers finish hardly matters.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        scored = [trial for trial in history.finished if trial.val_accuracy is not None]
        if len(scored) < N_INITIAL:
            return self.random_proposal(history, rng)
        alive = scored[-POPULATION:]
        parents = _best_of_sample(alive, rng), _best_of_sample(alive, rng)
        return cross_and_mutate(self, history, *parents, rng)


def _best_of_sample(alive: Sequence[Trial], rng: random.Random) -> Trial:
    return max(rng.sample(alive, min(TOURNAMENT, len(alive))), key=score)


class NSGA2(Searcher):
    """NSGA-II (Deb et al. 2002): several objectives at once, such as accuracy against multiply-accumulates.

    The parents are the first fronts of all trials, thinned where they crowd; the nearer the front, the likelier.
    A trial without one of the objectives (one that failed, or whose latency was not measured) is no parent. Unlike in
    the paper, a proposal is made when it is asked for, not a generation at a time: no worker waits.
    """

    def __init__(
        self, sieve: ConstrainedSpace, recipes: RecipeSpace, objectives: Sequence[str] = DEFAULT_OBJECTIVES
    ) -> None:
        super().__init__(sieve, recipes)
        for name in objectives:
            if name not in OBJECTIVES:
                raise ValueError(f"search.objectives: {unknown('objective', name, OBJECTIVES)}")
        if not objectives or len(set(objectives)) < len(objectives):
            raise ValueError(f"search.objectives must be different ones, at least one, but got {list(objectives)}")
        self.objectives = tuple(objectives)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        ranked = survivors(history.finished, self.objectives)
        if len(ranked) < N_INITIAL:
            return self.random_proposal(history, rng)
        parents = _better_of_two(ranked, rng), _better_of_two(ranked, rng)
        return cross_and_mutate(self, history, *parents, rng)


def _better_of_two(ranked: Sequence[Trial], rng: random.Random) -> Trial:
    return ranked[min(rng.randrange(len(ranked)) for _ in range(2))]


def survivors(trials: Sequence[Trial], objectives: Sequence[str], most: int = POPULATION) -> list[Trial]:
    """Return the ``most`` best, in order: front by front, and inside a front by falling crowding distance."""
    chosen: list[Trial] = []
    for front in fronts(trials, objectives):
        distance = crowding(front, objectives)
        chosen += sorted(front, key=lambda trial: (-distance[trial.trial], trial.trial))
        if len(chosen) >= most:
            break
    return chosen[:most]


def crowding(front: Sequence[Trial], objectives: Sequence[str]) -> dict[int, float]:
    """Return the crowding distance of each trial of a front, by its id.

    It is the sum over the objectives of the gap between the trial's two neighbours, as a fraction of the front's whole
    range; the ends of the front have an infinite distance.
    """
    distance = dict.fromkeys((trial.trial for trial in front), 0.0)
    for name in objectives:
        values = sorted((OBJECTIVES[name](trial) or 0.0, trial.trial) for trial in front)
        span = values[-1][0] - values[0][0]
        distance[values[0][1]] = distance[values[-1][1]] = math.inf
        for (before, _), (_, trial), (after, _) in zip(values, values[1:], values[2:], strict=False):
            distance[trial] += (after - before) / span if span else 0.0
    return distance


def cross_and_mutate(
    searcher: Searcher, history: History, mother: Trial, father: Trial, rng: random.Random
) -> Proposal | None:
    """Return a new proposal made from the two trials, always inside the budget.

    After ``MAX_TRIES`` results that are not new it is uniform over what is left; None where nothing is.
    """
    is_new = searcher.unexplored.is_new(history)
    for _ in range(MAX_TRIES):
        proposal = _varied(searcher, mother, father, is_new, rng)
        if proposal is not None:
            return proposal
    return searcher.random_proposal(history, rng)


def _varied(searcher: Searcher, mother: Trial, father: Trial, is_new: IsNew, rng: random.Random) -> Proposal | None:
    """Return the result of the crossover where it is new, else with one decision mutated; None where neither is new."""
    sieve, recipes = searcher.sieve, searcher.recipes
    decisions, values = None, _values(searcher, mother)
    crossed = mother.trial != father.trial and rng.random() < CROSSOVER_PROBABILITY
    if crossed:
        values = cross_values(values, _values(searcher, father), rng)
        decisions = crossover(sieve, mother.choices, father.choices, rng)
    # a parent may lie outside: trials have run out of memory since, or an earlier run had a wider budget
    decisions = decisions or repair(sieve, mother.choices, rng)
    if decisions is None:
        return None
    if rng.random() < RECIPE_MUTATION_PROBABILITY:
        values = mutate_values(recipes, values, rng)
    architecture, recipe = sieve.space.architecture(decisions), recipes.fill(values)
    if not is_new(architecture.fingerprint, recipe):
        mutated = mutate(sieve, decisions, rng)
        if mutated is None:
            return None
        architecture = sieve.space.architecture(mutated)
    return searcher.propose(architecture, recipe) if is_new(architecture.fingerprint, recipe) else None


def _values(searcher: Searcher, trial: Trial) -> Values:
    return values_of(searcher.recipes, recipe_of(trial.recipe))
