"""Recorded recipes: of which kind one is, as its keys tell."""

from collections.abc import Mapping
from typing import Any

from .recipe import Recipe
from .zero_shot_recipe import ZeroShotRecipe


def recorded_recipe(data: Mapping[str, Any]) -> Recipe:
    """The recipe that ``to_json`` of either kind wrote; unknown keys are refused, the nearest named."""
    kind = ZeroShotRecipe if "form" in data else Recipe
    return kind.from_json(data)
