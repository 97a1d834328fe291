"""Recipes drawn, walked through, varied, and written as numbers."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...results.database.records import History
from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import recorded_recipe

STEP = 0.2  # standard deviation of a mutation, in parts of the range's own scale


Values = Mapping[str, Any]  # hole -> value: all that tells one recipe of a space from another


def draw_recipe(recipes: RecipeSpace, rng: random.Random) -> Recipe:
    """One recipe, each hole drawn on its own: options evenly, ranges evenly on their own scale."""
    return recipes.fill(draw_values(recipes, rng))


def draw_values(recipes: RecipeSpace, rng: random.Random) -> Values:
    """The values of one recipe, drawn."""
    return {name: _drawn(hole, rng) for name, hole in recipes.holes.items()}


def values_of(recipes: RecipeSpace, recipe: Recipe) -> Values:
    """The values of ``recipe``."""
    return {name: getattr(recipe, name) for name in recipes.holes}


def _drawn(hole: Choice | Range, rng: random.Random) -> Any:
    return rng.choice(hole.options) if isinstance(hole, Choice) else hole.at(rng.random())


def all_recipes(recipes: RecipeSpace) -> Iterator[Recipe]:
    """Every recipe of a space whose recipes can be listed, in the order of the options."""
    holes = recipes.holes
    seen: set[Recipe] = set()
    for values in itertools.product(*map(_options, holes.values())):
        recipe = recipes.fill(dict(zip(holes, values, strict=True)))
        if recipe not in seen:  # a choice that does not apply makes no other recipe
            seen.add(recipe)
            yield recipe


def finite(recipes: RecipeSpace) -> bool:
    """Whether the recipes can be listed: every hole has options, or a range of whole numbers."""
    return all(isinstance(hole, Choice) or hole.integer for hole in recipes.holes.values())


def _options(hole: Choice | Range) -> Sequence[Any]:
    return hole.options if isinstance(hole, Choice) else range(int(hole.low), int(hole.high) + 1)


def mutate_values(recipes: RecipeSpace, values: Values, rng: random.Random) -> Values:
    """``values`` with one of them changed: another option, or a step along the range's own scale."""
    holes = recipes.holes
    if not holes:
        return values
    name = rng.choice(list(holes))
    return {**values, name: _moved(holes[name], values[name], rng)}


def _moved(hole: Choice | Range, value: Any, rng: random.Random) -> Any:
    if isinstance(hole, Range):
        return hole.at(min(max(hole.fraction(value) + rng.gauss(0, STEP), 0.0), 1.0))
    others = [option for option in hole.options if option != value]
    return rng.choice(others) if others else value


def cross_values(mother: Values, father: Values, rng: random.Random) -> Values:
    """Each value from one of the two."""
    return {name: rng.choice((mother, father))[name] for name in mother}


def recipe_of(recipe: Mapping[str, Any]) -> Recipe:
    """The recipe of a trial's record; the same record is read once."""
    return _read(tuple(recipe.items()))


@lru_cache(maxsize=65_536)
def _read(items: tuple[tuple[str, Any], ...]) -> Recipe:
    return recorded_recipe(dict(items))


def tried(history: History) -> set[tuple[str, Recipe]]:
    """The keys of every proposal in ``history``, whatever became of it."""
    return {(trial.fingerprint, recipe_of(trial.recipe)) for trial in history}
