"""Evolutionary searchers: regularised evolution and NSGA-II, with their common crossover and mutation."""

import math
import random
from collections.abc import Sequence

from ...results.database.records import History, Trial
from ...results.query.pareto import fronts, objective
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.mutation import crossover, mutate, repair
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .ranking import checked_objectives, score
from .recipe_sampling import Values, cross_values, mutate_values, recipe_of, values_of
from .unexplored import IsNew

POPULATION = 20  # the papers use 100, which is more trials than most searches here train
N_INITIAL = 10  # scored trials before the first crossover; until then, proposals are uniform over the feasible ones
TOURNAMENT = 5  # trials drawn from the population, the best is a parent: a quarter of the population, as in the paper
CROSSOVER_PROBABILITY = 0.5
RECIPE_MUTATION_PROBABILITY = 0.5
MAX_TRIES = 20  # children that are not new, before a random proposal replaces them
DEFAULT_OBJECTIVES = ("val_accuracy", "macs")


class Evolution(Searcher):
    """Regularised evolution (Real et al. 2019, arXiv 1802.01548): the population is the youngest scored trials.

    A parent is the best trial of a sample of the population. Three things differ from the paper: half of the proposals
    have two parents, each proposal is repaired into the budget, and no trial is proposed twice. The age of a trial is
    its number, so that the order in which workers finish has little influence.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        scored = [trial for trial in history.finished if trial.score is not None]
        if len(scored) < N_INITIAL:
            return self.random_proposal(history, rng)
        alive = scored[-POPULATION:]
        parents = _best_of_sample(alive, rng), _best_of_sample(alive, rng)
        return cross_and_mutate(self, history, *parents, rng)


def _best_of_sample(alive: Sequence[Trial], rng: random.Random) -> Trial:
    return max(rng.sample(alive, min(TOURNAMENT, len(alive))), key=score)


class NSGA2(Searcher):
    """NSGA-II (Deb et al. 2002): several objectives together, such as accuracy against multiply-accumulates.

    The population is the first fronts of all trials; the last front is cut by crowding distance. A parent is the
    better of two random members, so trials of the first front are parents more often. A trial without a value for an
    objective (it failed, or its latency was not measured) is never a parent.

    Unlike in the paper, each call of :meth:`ask` makes one proposal, not a whole generation: no worker has to wait for
    the end of a generation.
    """

    def __init__(
        self, constrained: ConstrainedSpace, recipes: RecipeSpace, objectives: Sequence[str] = DEFAULT_OBJECTIVES
    ) -> None:
        super().__init__(constrained, recipes)
        self.objectives = checked_objectives(objectives)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        ranked = survivors(history.finished, self.objectives)
        if len(ranked) < N_INITIAL:
            return self.random_proposal(history, rng)
        parents = _better_of_two(ranked, rng), _better_of_two(ranked, rng)
        return cross_and_mutate(self, history, *parents, rng)


def _better_of_two(ranked: Sequence[Trial], rng: random.Random) -> Trial:
    # binary tournament selection, as in the paper: the smaller index is the better rank
    return ranked[min(rng.randrange(len(ranked)) for _ in range(2))]


def survivors(trials: Sequence[Trial], objectives: Sequence[str], most: int = POPULATION) -> list[Trial]:
    """Return the ``most`` best trials in order: front by front, in a front by decreasing crowding distance."""
    chosen: list[Trial] = []
    for front in fronts(trials, objectives):
        distance = crowding(front, objectives)
        # the id breaks ties, so that a resumed run selects the same survivors
        chosen += sorted(front, key=lambda trial: (-distance[trial.trial], trial.trial))
        if len(chosen) >= most:
            break
    return chosen[:most]


def crowding(front: Sequence[Trial], objectives: Sequence[str]) -> dict[int, float]:
    """Return the crowding distance of each trial of a front, by trial id.

    It is the sum over the objectives of the gap between the trial's two neighbours, as a fraction of the front's
    range in this objective. The ends of the front have an infinite distance, so that they always survive.
    """
    distance = dict.fromkeys((trial.trial for trial in front), 0.0)
    for name in objectives:
        value = objective(name)
        values = sorted((value(trial) or 0.0, trial.trial) for trial in front)
        span = values[-1][0] - values[0][0]
        distance[values[0][1]] = distance[values[-1][1]] = math.inf
        for (before, _), (_, trial), (after, _) in zip(values, values[1:], values[2:], strict=False):
            distance[trial] += (after - before) / span if span else 0.0
    return distance


def cross_and_mutate(
    searcher: Searcher, history: History, mother: Trial, father: Trial, rng: random.Random
) -> Proposal | None:
    """Return a new proposal derived from the two trials, always inside the budget.

    After ``MAX_TRIES`` children that are not new, return a random proposal instead; None if no new trial is left.
    """
    is_new = searcher.unexplored.is_new(history)
    for _ in range(MAX_TRIES):
        proposal = _child(searcher, mother, father, is_new, rng)
        if proposal is not None:
            return proposal
    return searcher.random_proposal(history, rng)


def _child(searcher: Searcher, mother: Trial, father: Trial, is_new: IsNew, rng: random.Random) -> Proposal | None:
    """Return the result of the crossover if it is new, else a mutation of it; None if neither is new."""
    constrained, recipes = searcher.constrained, searcher.recipes
    decisions, values = None, _values(searcher, mother)
    has_two_parents = mother.trial != father.trial and rng.random() < CROSSOVER_PROBABILITY
    if has_two_parents:
        values = cross_values(values, _values(searcher, father), rng)
        decisions = crossover(constrained, mother.choices, father.choices, rng)
    # a parent may be outside the budget: out-of-memory failures have lowered the limit since then, or the trial comes
    # from an earlier run with a wider budget
    decisions = decisions or repair(constrained, mother.choices, rng)
    if decisions is None:
        return None
    if rng.random() < RECIPE_MUTATION_PROBABILITY:
        values = mutate_values(recipes, values, rng)
    architecture, recipe = constrained.space.architecture(decisions), recipes.fill(values)
    if not is_new(architecture.fingerprint, recipe):
        # without a crossover the child equals its parent, so this mutates most children of one parent
        mutated = mutate(constrained, decisions, rng)
        if mutated is None:
            return None
        architecture = constrained.space.architecture(mutated)
    return searcher.propose(architecture, recipe) if is_new(architecture.fingerprint, recipe) else None


def _values(searcher: Searcher, trial: Trial) -> Values:
    return values_of(searcher.recipes, recipe_of(trial.recipe))
