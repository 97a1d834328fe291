"""Uninformed searchers: random search and grid search, which only look at what was proposed, not at results."""

import random

from ...results.database.records import History
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.indexing import architecture_at
from ...spaces.parameters.domains import Range
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .recipe_sampling import all_recipes, explored_pairs
from .unexplored import CachedIterator


class RandomSearch(Searcher):
    """Uniform over the architectures that fit, none twice (Bergstra and Bengio 2012).

    Each free parameter of the recipe is drawn on its own. Results do not count, only which trials were proposed, so
    the proposals are the same with one worker or many.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        return self.random_proposal(history, rng)


class Grid(Searcher):
    """Every architecture that fits with every recipe of the grid, in the order of their indices.

    Conditional choices count only where they apply, and no point is proposed twice. Raises ``ValueError`` for a recipe
    with a range, which has no grid.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(sieve, recipes)
        for name, parameter in recipes.holes.items():
            if isinstance(parameter, Range):
                low, high = parameter.low, parameter.high
                raise ValueError(
                    f"a grid needs options to walk through, but recipe.{name} is the range {low} to {high}; "
                    f"list its values, as in {name} = [{low}, {high}], or take another searcher"
                )
        self._recipes = CachedIterator(all_recipes(recipes))

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        explored = explored_pairs(history)
        for index, fingerprint in self.unexplored.walked:
            for recipe in self._recipes:
                if (fingerprint, recipe) not in explored:
                    return self.propose(architecture_at(self.sieve, index), recipe)
        return None
