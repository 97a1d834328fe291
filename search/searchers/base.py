"""The searcher's contract: two words, ``ask`` and history."""

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from ...results.database.records import History
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.search_space.encoding import decisions_of
from .unexplored import Untried


@dataclass(frozen=True)
class Proposal:
    """What to try next: an architecture inside the budget, the recipe to train it with, and the choices behind them."""

    architecture: Architecture
    recipe: Recipe
    choices: dict[str, Any]

    @property
    def key(self) -> tuple[str, Recipe]:
        """What makes two proposals the same trial."""
        return self.architecture.fingerprint, self.recipe


class Searcher(ABC):
    """Proposes what to try next, from history alone.

    A resumed search builds a new searcher, hands it the same history and gets the same proposals: what a searcher
    keeps from one ask to the next is only what it could work out again, and only so that it is quick. It never proposes
    an architecture outside the sieve, never an (architecture, recipe) pair that is in the history, and no architecture
    twice before each one that fits has been tried.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        self.sieve = sieve
        self.recipes = recipes
        self.untried = Untried(sieve, recipes)

    @abstractmethod
    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        """The next proposal, or None where nothing new is left; ``rng`` is the only source of chance."""

    def propose(self, architecture: Architecture, recipe: Recipe) -> Proposal:
        """A proposal with its decisions read back from the architecture."""
        return Proposal(architecture, recipe, decisions_of(self.sieve.space, architecture) or {})

    def anything(self, history: History, rng: random.Random) -> Proposal | None:
        """What random search would propose: uniform over what is left; None where nothing is."""
        drawn = self.untried.draw(history, rng)
        return None if drawn is None else self.propose(*drawn)
