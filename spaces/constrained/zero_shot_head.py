"""Costs of zero-shot heads, and the largest head that a recipe space allows for the networks of a space."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from ..architectures.architecture import Architecture
from ..architectures.budget import Budget
from ..blocks.backbone import Backbone
from ..blocks.base import Shape
from ..blocks.cost import FLOAT_BYTES, Cost
from ..recipes.recipe import RecipeSpace
from ..recipes.zero_shot_recipe import ZeroShotRecipe
from .constrained_space import BudgetError
from .graph import Edge, Graph

CATEGORICAL_KEYS = ("form", "similarity", "loss")  # keys of a recipe, apart from sizes, that change the cost of a head
LIMITED_COSTS = ("params", "macs", "activations", "memory_bytes")

FeatureMap = tuple[int, int, int]  # channels, height, width


class HeadCost(NamedTuple):
    """The cost of the parts that connect an image network with texts.

    ``image`` is the head after the image network, for one image. ``text`` is the text network, for one text. It runs
    once per class and never per image, therefore its saved bytes are not counted. ``per_class`` is the cost of one
    class: stored numbers, and multiply-accumulates for each image that is compared with it.
    """

    image: Cost
    text: Cost
    per_class: Cost


def head_cost(recipe: ZeroShotRecipe, words: int, architecture: Architecture) -> HeadCost:
    """Return the cost of a zero-shot head after the image network ``architecture``, for text vectors of ``words``.

    A linear form compares the vector before the last linear layer of the architecture with a linear map of the text.
    Its parameters are counted for a map of all ``words``; with fewer classes than words it has fewer.
    """
    if recipe.is_linear:
        width = vector_width(architecture)
        return HeadCost(Cost(), Cost(words * width, words * width, width), Cost(width, width))
    return zero_shot_cost(recipe, words, architecture.classes, last_feature_map(architecture))


def zero_shot_cost(recipe: ZeroShotRecipe, words: int, features: int, feature_map: FeatureMap) -> HeadCost:
    """Return the closed-form cost of a zero-shot head that is not linear; see :func:`head_cost`.

    ``words`` is the number of entries of a text vector (p in the paper), ``features`` the number of outputs of the
    image network (F), ``feature_map`` the shape (C, H, W) that filters are applied to.
    """
    channels, height, width = feature_map
    vector = Cost(features * recipe.k + recipe.k, features * recipe.k, recipe.k) if recipe.has_vector else Cost()
    filters, weights = Cost(), channels * recipe.filters * 9  # a 3x3 convolution reduces the map before the filters
    if recipe.has_filters:
        filters = Cost(weights + recipe.filters, weights * height * width, recipe.filters * height * width)
    scale = Cost(params=2 if recipe.compares_by == "cosine" else 0)  # scale and bias of the cosine
    image = vector + filters + scale
    products = words * recipe.hidden + recipe.hidden * recipe.embedding
    return HeadCost(
        # for an image autograd saves the inputs and the outputs of the head
        image._replace(kept_bytes=FLOAT_BYTES * 2 * image.activations),
        Cost(products + recipe.hidden + recipe.embedding, products, recipe.hidden + recipe.embedding),
        Cost(recipe.embedding, recipe.embedding),
    )


def largest_head(graph: Graph, recipes: RecipeSpace) -> Cost:
    """Return the maximum of each cost, taken separately, of a head after an image network of ``graph``.

    The maximum is over all feature maps of the space and all recipes.
    """
    costs = [
        zero_shot_cost(recipe, 0, graph.space.classes, shape).image
        for recipe in _largest_recipes(recipes)
        for shape in set(_last_maps(graph))
    ]
    largest = Cost(*map(max, zip(*costs, strict=True))) if costs else Cost()
    return largest.at(recipes.largest("batch_size"))


def image_network_budget(budget: Budget, head: Cost) -> Budget:
    """Return ``budget`` minus the cost of ``head``; raise :class:`BudgetError` if nothing remains."""
    if budget.device_limits():
        raise BudgetError(
            f"RAM and flash of a zero-shot model are not known, but the budget is {budget}; leave out budget.ram and "
            "budget.flash"
        )
    limits = {}
    for name in LIMITED_COSTS:
        high, head_cost = getattr(budget, name), getattr(head, name)
        if high is None:
            continue
        if high <= head_cost:
            raise BudgetError(
                f"budget.{name} must be larger than the head of the model, but the limit is {high:,} and the largest "
                f"head that the recipe allows takes {head_cost:,}; raise the limit, or lower recipe.k, recipe.filters "
                "or space.features"
            )
        limits[name] = high - head_cost
    return replace(budget, **limits)


def _largest_recipes(recipes: RecipeSpace) -> Iterator[ZeroShotRecipe]:
    """Yield the recipe with the largest sizes for each combination of :data:`CATEGORICAL_KEYS`."""
    sizes: dict[str, Any] = {name: recipes.largest(name) for name in ("k", "filters", "filter_size")}
    for values in itertools.product(*map(recipes.ends, CATEGORICAL_KEYS)):
        recipe = ZeroShotRecipe(**{**sizes, **dict(zip(CATEGORICAL_KEYS, values, strict=True))})
        if not recipe.is_linear:  # a linear form has no head after the image
            yield recipe


def _last_maps(graph: Graph) -> Iterator[FeatureMap]:
    """Yield every shape (C, H, W) that may be the last feature map of a network of ``graph``.

    It may yield some more: all feature maps inside a block that turns an image into a vector.
    """
    for node in graph.order:
        if len(node.shape) == 3:
            if node.last is not None:
                yield _as_map(node.shape)
            for edge in node.edges:
                if len(edge.target.shape) != 3:
                    yield from _maps_inside(node.shape, edge)


def _maps_inside(shape: Shape, edge: Edge) -> Iterator[FeatureMap]:
    """Yield ``shape`` and the output shapes (C, H, W) of the layers of ``edge``."""
    yield _as_map(shape)
    for layer in edge.layers:
        shape = layer.out_shape(shape)
        if len(shape) == 3:
            yield _as_map(shape)


def _as_map(shape: Shape) -> FeatureMap:
    channels, height, width = shape
    return channels, height, width


def vector_width(architecture: Architecture) -> int:
    """Return the number of entries of the vector that the backbone of ``architecture`` gives, or of its input."""
    first = architecture.blocks[0] if architecture.blocks else None
    return first.features if isinstance(first, Backbone) else prod(architecture.input_shape)


def last_feature_map(architecture: Architecture) -> FeatureMap:
    """Return the shape (C, H, W) of the last feature map of ``architecture``, which filters are applied to."""
    shapes = [placed.out_shape for placed in architecture.walk() if len(placed.out_shape) == 3]
    return _as_map(shapes[-1]) if shapes else architecture.input_shape
