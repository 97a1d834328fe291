"""The untried: what a history has left of a sieve, drawn evenly or listed to the last one."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from ...results.database.records import History
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.indexing import architecture_at, walk
from ...spaces.constrained.sampling import sample_one
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .recipe_sampling import all_recipes, draw_recipe, finite, tried

DRAWS = 100  # of architectures, before those left are listed
PAIRS = 1000  # draws of an architecture with a recipe, before those left are listed
IsNew = Callable[[str, Recipe], bool]

T = TypeVar("T")


class Remembered(Generic[T]):
    """``items`` from the first, as often as one likes; each is worked out once, and only when it is come to."""

    def __init__(self, items: Iterable[T]) -> None:
        self._known: list[T] = []
        self._coming = iter(items)

    def __iter__(self) -> Iterator[T]:
        place = 0
        while place < len(self._known) or self._come():
            yield self._known[place]
            place += 1

    def _come(self) -> bool:
        for item in self._coming:
            self._known.append(item)
            return True
        return False


class Untried:
    """What is left to try: architectures, and once all that fit have been tried, new recipes for them.

    The walk over the sieve is remembered as far as it has come, so that it is made once and not at every ask.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        self.sieve, self.recipes = sieve, recipes
        # (index, fingerprint) of all that fits, in the order of the indices
        self.walked = Remembered((index, architecture.fingerprint) for index, architecture in walk(sieve))

    def left(self, history: History) -> Iterator[int]:
        """The indices of the architectures that fit and are not in ``history``."""
        seen = history.fingerprints
        return (index for index, fingerprint in self.walked if fingerprint not in seen)

    def all_tried(self, history: History) -> bool:
        """Whether every architecture that fits is in ``history``."""
        return next(self.left(history), None) is None

    def is_new(self, history: History) -> IsNew:
        """Whether an architecture (by fingerprint) with a recipe may be proposed."""
        seen = history.fingerprints
        if not self.all_tried(history):
            return lambda fingerprint, recipe: fingerprint not in seen
        pairs = tried(history)
        return lambda fingerprint, recipe: (fingerprint, recipe) not in pairs

    def draw(self, history: History, rng: random.Random) -> tuple[Architecture, Recipe] | None:
        """One of what is left, each architecture equally likely; None where nothing is."""
        architecture = self._architecture(history, rng)
        if architecture is not None:
            return architecture, draw_recipe(self.recipes, rng)
        return self._pair(history, rng) if self.recipes.holes else None

    def _architecture(self, history: History, rng: random.Random) -> Architecture | None:
        for _ in range(DRAWS):
            architecture = sample_one(self.sieve, rng)
            if architecture.fingerprint not in history.fingerprints:
                return architecture
        left = list(self.left(history))
        return architecture_at(self.sieve, rng.choice(left)) if left else None

    def _pair(self, history: History, rng: random.Random) -> tuple[Architecture, Recipe] | None:
        """A new recipe for an architecture already tried."""
        seen = tried(history)
        for _ in range(PAIRS):
            architecture, recipe = sample_one(self.sieve, rng), draw_recipe(self.recipes, rng)
            if (architecture.fingerprint, recipe) not in seen:
                return architecture, recipe
        if not finite(self.recipes):
            return None
        every = list(all_recipes(self.recipes))
        left = [(index, recipe) for index, name in self.walked for recipe in every if (name, recipe) not in seen]
        if not left:
            return None
        index, recipe = rng.choice(left)
        return architecture_at(self.sieve, index), recipe
