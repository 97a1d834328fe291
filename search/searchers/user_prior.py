"""What the user expects of recipe values: ``prior`` of a range, ``weights`` of options.

The density of a range is a normal distribution around its prior on the scale of the range, cut off at the ends. Its
weight falls as trials finish, as in piBO (Hvarfner et al. 2022, arXiv 2204.11051). A searcher that draws takes the
share :func:`confidence` of its recipes from the density. One that has a model multiplies what the model expects by the
density to the power of :func:`exponent`.
"""

import math
import random
from typing import Any

from ...spaces.parameters.domains import Choice, Range
from ...spaces.recipes.recipe import RecipeSpace

PRIOR_TRIALS = 10  # finished trials whose evidence counts as much as the prior
PRIOR_STD = 0.15  # standard deviation around the prior of a range, as a fraction of the range's own scale
# density far from the prior, relative to the largest: with the tail of a normal distribution, a searcher that maximises
# would not leave the region of a wrong prior for dozens of trials
DOUBT = 0.05


def has_prior(recipes: RecipeSpace) -> bool:
    """Return whether the user expects something of a free parameter of ``recipes``."""
    return any(_is_expected(parameter) for parameter in recipes.free_parameters.values())


def confidence(finished: int) -> float:
    """Return the share of draws from the density after ``finished`` trials: 1, then 1/2 after ``PRIOR_TRIALS``."""
    return PRIOR_TRIALS / (PRIOR_TRIALS + finished)


def exponent(finished: int) -> float:
    """Return the power of the density after ``finished`` trials; it falls to 0, the power without influence."""
    return PRIOR_TRIALS / max(finished, 1)


def draw_expected(parameter: Choice | Range, rng: random.Random) -> Any:
    """Draw a value from the density of one parameter; uniformly if the user expects nothing of it."""
    if isinstance(parameter, Choice):
        return rng.choices(parameter.options, parameter.weights)[0]
    if parameter.prior is None:
        return parameter.at(rng.random())
    while True:  # at least half of the draws are inside, because the prior is
        fraction = rng.gauss(parameter.fraction(parameter.prior), PRIOR_STD)
        if 0 <= fraction <= 1:
            return parameter.at(fraction)


def log_density(recipes: RecipeSpace, values: Any) -> float:
    """Return the logarithm of the density of a recipe with the free ``values``, relative to the most expected one.

    It is at most 0. Parameters that have no effect with these values do not count.
    """
    recipe = recipes.fill(values)
    unused = recipes.without_effect(recipe)
    parameters = recipes.free_parameters.items()
    return sum(_log_density(parameter, values[name]) for name, parameter in parameters if name not in unused)


def most_expected(parameter: Choice | Range) -> Any:
    """Return the value that the user expects most of; None if there is none."""
    if isinstance(parameter, Range):
        # 2.0 is a whole number for a range, but not for a recipe
        return round(parameter.prior) if parameter.integer and parameter.prior is not None else parameter.prior
    if not _is_expected(parameter):
        return None
    assert parameter.weights is not None
    return parameter.options[parameter.weights.index(max(parameter.weights))]


def _is_expected(parameter: Choice | Range) -> bool:
    if isinstance(parameter, Range):
        return parameter.prior is not None
    return parameter.weights is not None and len(set(parameter.weights)) > 1


def _log_density(parameter: Choice | Range, value: Any) -> float:
    if not _is_expected(parameter):
        return 0.0
    if isinstance(parameter, Range):
        assert parameter.prior is not None
        distance = parameter.fraction(value) - parameter.fraction(parameter.prior)
        return math.log(DOUBT + (1 - DOUBT) * math.exp(-0.5 * (distance / PRIOR_STD) ** 2))
    assert parameter.weights is not None
    return math.log(parameter.weights[parameter.options.index(value)] / max(parameter.weights))
