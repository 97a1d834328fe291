"""Uninformed searchers: random search and grid search, which use the proposed trials but not their results."""

import random

from ...results.database.records import History
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.indexing import architecture_at
from ...spaces.parameters.domains import Range
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .recipe_sampling import all_recipes, explored_pairs, values_of
from .unexplored import CachedIterator
from .user_prior import has_prior, log_density


class RandomSearch(Searcher):
    """Random search (Bergstra and Bengio 2012): uniform over the feasible architectures, none twice.

    Each free parameter of the recipe is drawn independently. Proposals depend only on the trials proposed before, not
    on their results, so they are the same with one worker or many.
    """

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        return self.random_proposal(history, rng)


class Grid(Searcher):
    """Grid search: every feasible architecture with every recipe of the grid, in the order of their indices.

    Of an architecture, the recipes that the user expects most of come first. Conditional choices count only where they
    apply, and no pair is proposed twice. Raises ``ValueError`` if the recipe
    has a range, because a range has no grid.
    """

    def __init__(self, constrained: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(constrained, recipes)
        for name, parameter in recipes.free_parameters.items():
            if isinstance(parameter, Range):
                low, high = parameter.low, parameter.high
                raise ValueError(
                    f"the grid searcher needs lists of options, but recipe.{name} is the range {low} to {high}; "
                    f"list its values, as in {name} = [{low}, {high}], or use another searcher"
                )
        ordered = all_recipes(recipes)
        if has_prior(recipes):  # the sort is stable: equally expected recipes stay in the order of the options
            ordered = iter(sorted(ordered, key=lambda one: -log_density(recipes, values_of(recipes, one))))
        self._recipes = CachedIterator(ordered)

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        explored = explored_pairs(history)
        # from the first pair each time: proposals depend on the history alone, so the searcher stores no position
        for index, fingerprint in self.unexplored.walked:
            for recipe in self._recipes:
                if (fingerprint, recipe) not in explored:
                    return self.propose(architecture_at(self.constrained, index), recipe)
        return None
