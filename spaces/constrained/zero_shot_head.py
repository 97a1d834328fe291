"""Zero-shot heads: what one costs, and the largest that a recipe space can put behind the networks of a space."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from ..architectures.architecture import Architecture
from ..architectures.budget import Budget
from ..blocks.base import Shape
from ..blocks.cost import FLOAT_BYTES, Cost
from ..recipes.recipe import RecipeSpace
from ..recipes.zero_shot_recipe import ZeroShotRecipe
from .constrained_space import BudgetError
from .graph import Edge, Graph

WORDS = ("form", "similarity", "loss")  # of a recipe: what a head's cost hangs on, beside its sizes
LIMITED = ("params", "macs", "activations", "memory_bytes")

Map = tuple[int, int, int]  # channels, height, width


class HeadCost(NamedTuple):
    """What joins an image network to texts.

    ``image`` is the head behind the image network, for one image. ``text`` is the text network, for one text; it runs
    once for a class and never for an image, so what it keeps is not counted. ``per_class`` is what a class costs:
    stored numbers, and multiply-accumulates for each image that is scored against it.
    """

    image: Cost
    text: Cost
    per_class: Cost


def zero_shot_cost(recipe: ZeroShotRecipe, words: int, features: int, feature_map: Map) -> HeadCost:
    """The closed-form cost of the heads on ``features`` F, a map (C, H, W) and texts of ``words`` p entries."""
    channels, height, width = feature_map
    vector = Cost(features * recipe.k + recipe.k, features * recipe.k, recipe.k) if recipe.has_vector else Cost()
    filters, weights = Cost(), channels * recipe.filters * 9
    if recipe.has_filters:
        filters = Cost(weights + recipe.filters, weights * height * width, recipe.filters * height * width)
    scale = Cost(params=2 if recipe.compares_by == "cosine" else 0)
    image = vector + filters + scale
    products = words * recipe.hidden + recipe.hidden * recipe.embedding
    return HeadCost(
        # of an image the head keeps what it reads and what it puts out
        image._replace(kept_bytes=FLOAT_BYTES * 2 * image.activations),
        Cost(products + recipe.hidden + recipe.embedding, products, recipe.hidden + recipe.embedding),
        Cost(recipe.embedding, recipe.embedding),
    )


def largest_head(graph: Graph, recipes: RecipeSpace) -> Cost:
    """The most that the layers behind an image network of ``graph`` cost, each number apart from the others.

    Over all feature maps of the space and all recipes.
    """
    costs = [
        zero_shot_cost(recipe, 0, graph.space.classes, shape).image
        for recipe in _largest(recipes)
        for shape in set(_last_maps(graph))
    ]
    return Cost(*map(max, zip(*costs, strict=True))).at(recipes.largest("batch_size"))


def left_for_image_network(budget: Budget, head: Cost) -> Budget:
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
        shape = layer.out_shape(shape)
        if len(shape) == 3:
            yield _map(shape)


def _map(shape: Shape) -> Map:
    channels, height, width = shape
    return channels, height, width


def last_map(architecture: Architecture) -> Map:
    """The shape (C, H, W) of the feature map that filters read: the last that has rows and columns."""
    shapes = [placed.out_shape for placed in architecture.walk() if len(placed.out_shape) == 3]
    return _map(shapes[-1]) if shapes else architecture.input_shape
