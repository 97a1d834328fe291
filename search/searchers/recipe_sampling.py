"""Operations on recipes: draw, enumerate, cross and mutate."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...results.database.records import History
from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from .user_prior import confidence, draw_expected, has_prior

MUTATION_STD = 0.2  # standard deviation of a mutation, as a fraction of the range's own scale

Values = Mapping[str, Any]  # free parameter -> value; recipes of one space differ in nothing else


def draw_recipe(recipes: RecipeSpace, rng: random.Random, finished: int = 0) -> Recipe:
    """Draw a recipe, each free parameter independently: uniform over its options, or over its range.

    A range is uniform on its own scale: linear or logarithmic. Where the user expects something of the values, a share
    of the recipes is drawn by that; the share falls with the number of ``finished`` trials (``user_prior.py``).
    """
    return recipes.fill(draw_values(recipes, rng, finished))


def draw_values(recipes: RecipeSpace, rng: random.Random, finished: int = 0) -> Values:
    """Draw the values of one recipe; see :func:`draw_recipe`."""
    # without a prior no random number is used here, so that seeds give the proposals of earlier versions
    draw = draw_expected if has_prior(recipes) and rng.random() < confidence(finished) else _draw
    return {name: draw(parameter, rng) for name, parameter in recipes.free_parameters.items()}


def values_of(recipes: RecipeSpace, recipe: Recipe) -> Values:
    """Return the values of the free parameters of ``recipe``."""
    return {name: getattr(recipe, name) for name in recipes.free_parameters}


def _draw(parameter: Choice | Range, rng: random.Random) -> Any:
    return rng.choice(parameter.options) if isinstance(parameter, Choice) else parameter.at(rng.random())


def all_recipes(recipes: RecipeSpace) -> Iterator[Recipe]:
    """Yield every recipe of a finite space once, in the order of the options."""
    parameters = recipes.free_parameters
    seen: set[Recipe] = set()
    for values in itertools.product(*map(_options, parameters.values())):
        recipe = recipes.fill(dict(zip(parameters, values, strict=True)))
        # two rows of values give one recipe if they differ only in a parameter that does not apply to it
        if recipe not in seen:
            seen.add(recipe)
            yield recipe


def finite(recipes: RecipeSpace) -> bool:
    """Return whether the recipes can be enumerated: every free parameter has options or an integer range."""
    return all(isinstance(parameter, Choice) or parameter.integer for parameter in recipes.free_parameters.values())


def _options(parameter: Choice | Range) -> Sequence[Any]:
    return parameter.options if isinstance(parameter, Choice) else range(int(parameter.low), int(parameter.high) + 1)


def mutate_values(recipes: RecipeSpace, values: Values, rng: random.Random) -> Values:
    """Return ``values`` with one of them mutated: another option, or a Gaussian step on the range's own scale."""
    parameters = recipes.free_parameters
    if not parameters:
        return values
    name = rng.choice(list(parameters))
    return {**values, name: _mutate(parameters[name], values[name], rng)}


def _mutate(parameter: Choice | Range, value: Any, rng: random.Random) -> Any:
    if isinstance(parameter, Range):
        return parameter.at(min(max(parameter.fraction(value) + rng.gauss(0, MUTATION_STD), 0.0), 1.0))
    others = [option for option in parameter.options if option != value]
    return rng.choice(others) if others else value


def cross_values(mother: Values, father: Values, rng: random.Random) -> Values:
    """Return the crossover of two recipes: each value is that of one parent, with equal probability."""
    return {name: rng.choice((mother, father))[name] for name in mother}


def recipe_of(recipe: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a trial's record; equal records are parsed once."""
    # searchers parse the whole history at each proposal; a tuple, because a cache needs hashable arguments
    return _parse(tuple(recipe.items()))


@lru_cache(maxsize=65_536)
def _parse(items: tuple[tuple[str, Any], ...]) -> Recipe:
    return recipe_from_json(dict(items))


def explored_pairs(history: History) -> set[tuple[str, Recipe]]:
    """Return the (fingerprint, recipe) of every trial in ``history``, in any state."""
    return {(trial.fingerprint, recipe_of(trial.recipe)) for trial in history}
