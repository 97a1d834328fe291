"""The usual recipe: what the first trial of a run is trained by, so that all others have a measure."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...results.database.records import History
from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .base import Proposal, Searcher

# "SGD with momentum, batch norm and dropout usually works very well": the recipe's own defaults say all but the last,
# and batch norm is the blocks'
USUAL: Mapping[str, Any] = {"dropout": 0.1}


class UsualFirst(Searcher):
    """What ``searcher`` proposes, but the first trial of all by :func:`usual_recipe`, to measure all others by."""

    def __init__(self, searcher: Searcher) -> None:
        super().__init__(searcher.sieve, searcher.recipes)
        self.searcher = searcher

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        proposal = self.searcher.ask(history, rng)
        if proposal is None or len(history):
            return proposal
        return replace(proposal, recipe=usual_recipe(self.recipes))


def usual_recipe(recipes: RecipeSpace) -> Recipe:
    """Of ``recipes`` the one nearest to the usual: each searched key at its usual value, or at the next to it."""
    usual = {name: USUAL.get(name, getattr(recipes.kind, name)) for name in recipes.holes}
    return recipes.fill({name: _nearest(hole, usual[name]) for name, hole in recipes.holes.items()})


def _nearest(hole: Choice | Range, usual: Any) -> Any:
    """What ``hole`` offers next to ``usual``; its first option where they are words and ``usual`` is none of them."""
    if isinstance(hole, Range):
        return min(max(usual, hole.low), hole.high)
    if usual in hole.options:
        return usual
    numbers = [option for option in hole.options if isinstance(option, int | float)]
    return min(numbers, key=lambda option: abs(option - usual), default=hole.options[0])
