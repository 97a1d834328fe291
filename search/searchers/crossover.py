"""Breeding: a new trial from one or two that did well; architecture and recipe both, always inside the budget."""

import random

from ...results.database.records import History, Trial
from ...spaces.constrained.mutation import crossover, mutate, repair
from .base import Proposal, Searcher
from .recipe_sampling import Values, cross_values, mutate_values, recipe_of, values_of
from .unexplored import IsNew

CROSSED = 0.5  # share of the children that have two parents
RECIPE = 0.5  # share of the children whose recipe changes too
TRIES = 20  # children that turn out not to be new, before one is drawn at random


def child(searcher: Searcher, history: History, mother: Trial, father: Trial, rng: random.Random) -> Proposal | None:
    """A new proposal bred from the two, or uniform over what is left where they have no new child; None at the end."""
    is_new = searcher.untried.is_new(history)
    for _ in range(TRIES):
        bred = _bred(searcher, mother, father, is_new, rng)
        if bred is not None:
            return bred
    return searcher.anything(history, rng)


def _bred(searcher: Searcher, mother: Trial, father: Trial, is_new: IsNew, rng: random.Random) -> Proposal | None:
    """What crossing gives where that is new, else with one decision changed; None where that is not new either."""
    sieve, recipes = searcher.sieve, searcher.recipes
    decisions, values = None, _values(searcher, mother)
    crossed = mother.trial != father.trial and rng.random() < CROSSED
    if crossed:
        values = cross_values(values, _values(searcher, father), rng)
        decisions = crossover(sieve, mother.choices, father.choices, rng)
    # a parent may lie outside: trials have run out of memory since, or an earlier run was allowed more
    decisions = decisions or repair(sieve, mother.choices, rng)
    if decisions is None:
        return None
    if rng.random() < RECIPE:
        values = mutate_values(recipes, values, rng)
    architecture, recipe = sieve.space.architecture(decisions), recipes.fill(values)
    if not is_new(architecture.fingerprint, recipe):
        changed = mutate(sieve, decisions, rng)
        if changed is None:
            return None
        architecture = sieve.space.architecture(changed)
    return searcher.propose(architecture, recipe) if is_new(architecture.fingerprint, recipe) else None


def _values(searcher: Searcher, trial: Trial) -> Values:
    return values_of(searcher.recipes, recipe_of(trial.recipe))
