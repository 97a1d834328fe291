"""Grid search: every architecture that fits, with every recipe of the grid, in the order of their indices."""

import random

from ...results.database.records import History
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.indexing import architecture_at
from ...spaces.parameters.domains import Range
from ...spaces.recipes.recipe import RecipeSpace
from .base import Proposal, Searcher
from .recipe_sampling import all_recipes, tried
from .unexplored import Remembered


class Grid(Searcher):
    """Exactly the grid: conditional choices count only where they apply, and no point twice."""

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        super().__init__(sieve, recipes)
        for name, hole in recipes.holes.items():
            if isinstance(hole, Range):
                raise ValueError(
                    f"a grid needs options to walk through, but recipe.{name} is the range {hole.low} to {hole.high}; "
                    f"list its values, as in {name} = [{hole.low}, {hole.high}], or take another searcher"
                )
        self._grid = Remembered(all_recipes(recipes))

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        seen = tried(history)
        for index, fingerprint in self.untried.walked:
            for recipe in self._grid:
                if (fingerprint, recipe) not in seen:
                    return self.propose(architecture_at(self.sieve, index), recipe)
        return None
