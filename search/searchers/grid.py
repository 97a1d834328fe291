"""Grid search: every architecture that fits, with every recipe of the grid, in the order of their indices."""

import itertools
import random
from collections.abc import Iterator

from ...results.records import History
from ...spaces.choices import Range
from ...spaces.recipe import Recipe, RecipeSpace
from ...spaces.sieve import Sieve
from .contract import Proposal, Searcher, tried


class Grid(Searcher):
    """Exactly the grid: conditional choices count only where they apply, and no point twice."""

    def __init__(self, sieve: Sieve, recipes: RecipeSpace) -> None:
        super().__init__(sieve, recipes)
        for name, hole in recipes.holes.items():
            if isinstance(hole, Range):
                raise ValueError(
                    f"a grid needs options to walk through, but recipe.{name} is the range {hole.low} to {hole.high}; "
                    f"list its values, as in {name} = [{hole.low}, {hole.high}], or take another searcher"
                )

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        seen = tried(history)
        for _, architecture in self.sieve.walk():
            for recipe in self._recipes():
                if (architecture.fingerprint, recipe) not in seen:
                    return self.propose(architecture, recipe)
        return None

    def _recipes(self) -> Iterator[Recipe]:
        holes = self.recipes.holes
        options = (hole.options for hole in holes.values() if not isinstance(hole, Range))
        for values in itertools.product(*options):
            yield self.recipes.fill(dict(zip(holes, values, strict=True)))
