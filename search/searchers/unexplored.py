"""The unexplored part of a constrained space: what a history has not tried, sampled uniformly or enumerated."""

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

MAX_ARCHITECTURE_DRAWS = 100  # draws of architectures before the unexplored ones are enumerated
MAX_PAIR_DRAWS = 1000  # draws of (architecture, recipe) pairs before the unexplored ones are enumerated
IsNew = Callable[[str, Recipe], bool]  # (fingerprint, recipe) -> whether a searcher may propose the pair

T = TypeVar("T")


class CachedIterator(Generic[T]):
    """An iterable over ``items`` that can be iterated several times; each item is computed once, on first access."""

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
    """The trials that are left: unexplored architectures, and after the last of them new recipes for explored ones.

    The walk over the space is cached, so that each architecture is enumerated once and not at every proposal.
    """

    def __init__(self, constrained: ConstrainedSpace, recipes: RecipeSpace) -> None:
        self.constrained, self.recipes = constrained, recipes
        # (index, fingerprint) of the feasible architectures, in the order of the indices; not the architectures
        # themselves, which take far more memory
        self.walked = CachedIterator((index, architecture.fingerprint) for index, architecture in walk(constrained))

    def indices(self, history: History) -> Iterator[int]:
        """Yield the indices of the feasible architectures that are not in ``history``."""
        explored = history.fingerprints
        return (index for index, fingerprint in self.walked if fingerprint not in explored)

    def none_left(self, history: History) -> bool:
        """Return whether every feasible architecture is in ``history``."""
        # fast while much is unexplored: the walk stops at the first new architecture
        return next(self.indices(history), None) is None

    def is_new(self, history: History) -> IsNew:
        """Return a function that decides whether an architecture (by fingerprint) with a recipe may be proposed.

        While unexplored architectures are left, an explored one is not new with any recipe.
        """
        explored = history.fingerprints
        if not self.none_left(history):
            return lambda fingerprint, recipe: fingerprint not in explored
        pairs = explored_pairs(history)
        return lambda fingerprint, recipe: (fingerprint, recipe) not in pairs

    def draw(self, history: History, rng: random.Random) -> tuple[Architecture, Recipe] | None:
        """Draw one of the unexplored trials, each architecture equally likely; None if none is left."""
        architecture = self._architecture(history, rng)
        if architecture is not None:
            return architecture, draw_recipe(self.recipes, rng, len(history.finished))
        return self._pair(history, rng) if self.recipes.free_parameters else None

    def _architecture(self, history: History, rng: random.Random) -> Architecture | None:
        """Draw an unexplored architecture, or None if none is left."""
        # rejection is cheap while few are explored; near the end it would almost always fail
        for _ in range(MAX_ARCHITECTURE_DRAWS):
            architecture = sample_one(self.constrained, rng)
            if architecture.fingerprint not in history.fingerprints:
                return architecture
        unexplored = list(self.indices(history))
        return architecture_at(self.constrained, rng.choice(unexplored)) if unexplored else None

    def _pair(self, history: History, rng: random.Random) -> tuple[Architecture, Recipe] | None:
        """Draw an explored architecture with a new recipe, or None if there is none."""
        explored = explored_pairs(history)
        for _ in range(MAX_PAIR_DRAWS):
            architecture = sample_one(self.constrained, rng)
            recipe = draw_recipe(self.recipes, rng, len(history.finished))
            if (architecture.fingerprint, recipe) not in explored:
                return architecture, recipe
        if not finite(self.recipes):  # continuous ranges cannot be enumerated
            return None
        recipes = list(all_recipes(self.recipes))
        pairs = [(index, recipe) for index, name in self.walked for recipe in recipes if (name, recipe) not in explored]
        if not pairs:
            return None
        index, recipe = rng.choice(pairs)
        return architecture_at(self.constrained, index), recipe
