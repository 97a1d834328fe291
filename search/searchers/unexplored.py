"""What a history has left unexplored of a constrained space: drawn uniformly, or listed to the last one."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from ...results.database.records import History
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.indexing import architecture_at, walk
from ...spaces.constrained.sampling import sample_one
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from .recipe_sampling import all_recipes, draw_recipe, explored_pairs, finite

MAX_ARCHITECTURE_DRAWS = 100  # before the unexplored architectures are listed
MAX_PAIR_DRAWS = 1000  # of an architecture with a recipe, before the unexplored pairs are listed
IsNew = Callable[[str, Recipe], bool]

T = TypeVar("T")


class CachedIterator(Generic[T]):
    """``items`` from the first, any number of times; each is computed once, when it is first reached."""

    def __init__(self, items: Iterable[T]) -> None:
        self._cache: list[T] = []
        self._rest = iter(items)

    def __iter__(self) -> Iterator[T]:
        position = 0
        while position < len(self._cache) or self._advance():
            yield self._cache[position]
            position += 1

    def _advance(self) -> bool:
        for item in self._rest:
            self._cache.append(item)
            return True
        return False


class Unexplored:
    """What is left to try: architectures, and once all that fit have been tried, new recipes for them.

    The walk over the space is cached as far as it has come, so that it is made once and not at every proposal.
    """

    def __init__(self, sieve: ConstrainedSpace, recipes: RecipeSpace) -> None:
        self.sieve, self.recipes = sieve, recipes
        # (index, fingerprint) of all that fits, in the order of the indices
        self.walked = CachedIterator((index, architecture.fingerprint) for index, architecture in walk(sieve))

    def indices(self, history: History) -> Iterator[int]:
        """Yield the indices of the architectures that fit and are not in ``history``."""
        explored = history.fingerprints
        return (index for index, fingerprint in self.walked if fingerprint not in explored)

    def none_left(self, history: History) -> bool:
        """Return whether every architecture that fits is in ``history``."""
        return next(self.indices(history), None) is None

    def is_new(self, history: History) -> IsNew:
        """Return whether an architecture (by fingerprint) with a recipe may be proposed, as a function."""
        explored = history.fingerprints
        if not self.none_left(history):
            return lambda fingerprint, recipe: fingerprint not in explored
        pairs = explored_pairs(history)
        return lambda fingerprint, recipe: (fingerprint, recipe) not in pairs

    def draw(self, history: History, rng: random.Random) -> tuple[Architecture, Recipe] | None:
        """Draw one of what is left, each architecture equally likely; None where nothing is."""
        architecture = self._architecture(history, rng)
        if architecture is not None:
            return architecture, draw_recipe(self.recipes, rng)
        return self._pair(history, rng) if self.recipes.holes else None

    def _architecture(self, history: History, rng: random.Random) -> Architecture | None:
        for _ in range(MAX_ARCHITECTURE_DRAWS):
            architecture = sample_one(self.sieve, rng)
            if architecture.fingerprint not in history.fingerprints:
                return architecture
        left = list(self.indices(history))
        return architecture_at(self.sieve, rng.choice(left)) if left else None

    def _pair(self, history: History, rng: random.Random) -> tuple[Architecture, Recipe] | None:
        """Draw a new recipe for an architecture that was tried already."""
        explored = explored_pairs(history)
        for _ in range(MAX_PAIR_DRAWS):
            architecture, recipe = sample_one(self.sieve, rng), draw_recipe(self.recipes, rng)
            if (architecture.fingerprint, recipe) not in explored:
                return architecture, recipe
        if not finite(self.recipes):
            return None
        recipes = list(all_recipes(self.recipes))
        left = [(index, recipe) for index, name in self.walked for recipe in recipes if (name, recipe) not in explored]
        if not left:
            return None
        index, recipe = rng.choice(left)
        return architecture_at(self.sieve, index), recipe
