"""The searcher's contract: two words, ``ask`` and history."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...results.records import History
from ...spaces.architecture import Architecture
from ...spaces.choices import Choice
from ...spaces.parse import decisions_of
from ...spaces.recipe import Recipe, RecipeSpace
from ...spaces.sieve import Sieve


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

    A searcher keeps no state of its own: a resumed search builds a new one and hands it the same history. It never
    proposes an architecture outside the sieve, never an (architecture, recipe) pair that is in the history, and no
    architecture twice before each one that fits has been tried.
    """

    def __init__(self, sieve: Sieve, recipes: RecipeSpace) -> None:
        self.sieve = sieve
        self.recipes = recipes

    @abstractmethod
    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        """The next proposal, or None where nothing new is left; ``rng`` is the only source of chance."""

    def propose(self, architecture: Architecture, recipe: Recipe) -> Proposal:
        """A proposal with its decisions read back from the architecture."""
        return Proposal(architecture, recipe, decisions_of(self.sieve.space, architecture) or {})


def tried(history: History) -> set[tuple[str, Recipe]]:
    """The keys of every proposal in ``history``, whatever became of it."""
    return {(trial.fingerprint, Recipe.from_json(trial.recipe)) for trial in history}


def draw_recipe(recipes: RecipeSpace, rng: random.Random) -> Recipe:
    """One recipe, each hole drawn on its own: options evenly, ranges evenly on their own scale."""
    return recipes.fill(
        {
            name: rng.choice(hole.options) if isinstance(hole, Choice) else hole.at(rng.random())
            for name, hole in recipes.holes.items()
        }
    )


def unseen(sieve: Sieve, history: History, rng: random.Random, tries: int = 100) -> Architecture | None:
    """One architecture that fits and is new to ``history``, uniform over these; None where all have been tried."""
    seen = history.fingerprints
    for _ in range(tries):
        architecture = sieve.sample(rng)
        if architecture.fingerprint not in seen:
            return architecture
    left = [index for index, fingerprint in _fingerprints(sieve) if fingerprint not in seen]
    return sieve.architecture(rng.choice(left)) if left else None


def _fingerprints(sieve: Sieve) -> Iterator[tuple[int, str]]:
    return ((index, architecture.fingerprint) for index, architecture in sieve.walk())
