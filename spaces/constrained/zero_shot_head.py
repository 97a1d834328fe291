"""The largest head that a recipe space can put behind the image networks of a space: what the budget keeps for it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..architectures.architecture import Architecture
from ..architectures.budget import Budget
from ..architectures.cost import STATES
from ..blocks.base import Shape
from ..blocks.layers import FLOAT_BYTES
from ..recipes.recipe import RecipeSpace
from ..recipes.zero_shot_recipe import ZeroShotRecipe, zero_shot_cost
from .constrained_space import BudgetError
from .graph import Edge, Graph

WORDS = ("form", "similarity", "loss")  # of a recipe: what a head's cost hangs on, beside its sizes
LIMITED = ("params", "macs", "activations", "memory_bytes")

Map = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Head:
    """The most that any head costs, each cost apart from the others."""

    params: int
    macs: int
    activations: int
    memory_bytes: int


def largest_head(graph: Graph, recipes: RecipeSpace) -> Head:
    """The most that the layers behind an image network of ``graph`` cost, over all its feature maps and all recipes."""
    costs = [
        zero_shot_cost(recipe, 0, graph.space.classes, shape)
        for recipe in _largest(recipes)
        for shape in set(_last_maps(graph))
    ]
    params, macs, activations = (
        max(getattr(cost, f"image_{name}") for cost in costs) for name in ("params", "macs", "activations")
    )
    # of a picture the head keeps what it reads and what it puts out
    memory = STATES * FLOAT_BYTES * params + recipes.largest("batch_size") * FLOAT_BYTES * 2 * activations
    return Head(params, macs, activations, memory)


def left_for_image_network(budget: Budget, head: Head) -> Budget:
    """``budget`` without what ``head`` takes; :class:`BudgetError` where nothing is left."""
    lowered = {}
    for name in LIMITED:
        high, taken = getattr(budget, name), getattr(head, name)
        if high is None:
            continue
        if high <= taken:
            raise BudgetError(
                f"budget.{name} must leave something to the image network, but of {high:,} the largest head that the "
                f"recipe allows takes {taken:,}; raise it, or lower recipe.k, recipe.filters or space.features"
            )
        lowered[name] = high - taken
    return replace(budget, **lowered)


def _largest(recipes: RecipeSpace) -> Iterator[ZeroShotRecipe]:
    """For each form the recipe of the largest head; a cosine has a scale and a bias."""
    sizes: dict[str, Any] = {name: recipes.largest(name) for name in ("k", "filters", "filter_size")}
    for words in itertools.product(*map(recipes.ends, WORDS)):
        yield ZeroShotRecipe(**{**sizes, **dict(zip(WORDS, words, strict=True))})


def _last_maps(graph: Graph) -> Iterator[Map]:
    """Every shape (C, H, W) that may be the last one with rows and columns, and some that lie inside of a block."""
    for node in graph.order:
        if len(node.shape) == 3:
            if node.last is not None:
                yield _map(node.shape)
            for edge in node.edges:
                if len(edge.target.shape) != 3:
                    yield from _maps_on(node.shape, edge)


def _maps_on(shape: Shape, edge: Edge) -> Iterator[Map]:
    yield _map(shape)
    for layer in edge.layers:
        shape = layer.price(shape).out_shape
        if len(shape) == 3:
            yield _map(shape)


def _map(shape: Shape) -> Map:
    channels, height, width = shape
    return channels, height, width


def last_map(architecture: Architecture) -> Map:
    """The shape (C, H, W) of the feature map that filters read: the last that has rows and columns."""
    shapes = [price.out_shape for *_, price in architecture.walk() if len(price.out_shape) == 3]
    return _map(shapes[-1]) if shapes else architecture.input_shape
