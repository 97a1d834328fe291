"""The head's share of a budget: no network with its head is outside, whatever the recipe; what a recipe of either kind
says of itself.
"""

import itertools

import pytest

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Linear, Pool
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.graph import Graph
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.constrained.zero_shot_head import largest_head, last_map, left_for_image_network, zero_shot_cost
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.parameters.task_kinds import task_name
from archsieve.spaces.recipes.recipe import Recipe, RecipeSpace
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recorded_recipe
from archsieve.spaces.search_space.space import Space

SPACE = Space(
    (1, 8, 8),
    (
        choice(Conv(4), (Conv(6), Pool(2))),
        repeat(Conv(choice(4, 8)), choice(1, 2)),
        choice(GlobalAverage(), Linear(12), (GlobalAverage(), Linear(6))),
    ),
    10,
)
CHOICES = {
    "form": ["fc", "conv", "fc+conv"],
    "k": [3, 5],
    "filters": [1, 4],
    "similarity": ["dot", "cosine"],
    "loss": ["bce", "euclidean"],
}


def costs(recipe: ZeroShotRecipe, architecture) -> tuple[int, int, int]:
    head = zero_shot_cost(recipe, 0, architecture.classes, last_map(architecture))
    price = architecture.cost
    return (
        price.params + head.image.params,
        price.macs + head.image.macs,
        price.activations + head.image.activations,
    )


def test_no_network_with_its_head_is_outside_the_budget():
    recipes = RecipeSpace.of(ZeroShotRecipe, **CHOICES)
    every = [recipes.fill(dict(zip(CHOICES, values, strict=True))) for values in itertools.product(*CHOICES.values())]
    head = largest_head(Graph(SPACE), recipes)
    architectures = [architecture for _, architecture in walk(ConstrainedSpace(SPACE))]
    heads = [zero_shot_cost(r, 0, 10, last_map(a)) for r in every for a in architectures]
    assert head.params == max(one.image.params for one in heads)
    assert head.macs == max(one.image.macs for one in heads)
    assert head.activations == max(one.image.activations for one in heads)
    budget = Budget(params=1_200, macs=30_000, activations=900)
    fitting = list(walk(ConstrainedSpace(SPACE, left_for_image_network(budget, head))))
    assert 0 < len(fitting) < len(architectures)
    for (_, architecture), recipe in itertools.product(fitting, every):
        params, macs, activations = costs(recipe, architecture)
        assert params <= 1_200
        assert macs <= 30_000
        assert activations <= 900


def test_a_smaller_recipe_leaves_more():
    small, large = (RecipeSpace.of(ZeroShotRecipe, k=k) for k in (2, [2, 50]))
    budget = Budget(params=2_000)
    left = [left_for_image_network(budget, largest_head(Graph(SPACE), recipes)).params for recipes in (small, large)]
    assert left == [2_000 - (10 * 2 + 2), 2_000 - (10 * 50 + 50)]
    with pytest.raises(BudgetError, match="of 500 the largest head that the recipe allows takes 550"):
        left_for_image_network(Budget(params=500), largest_head(Graph(SPACE), large))


def test_a_recorded_recipe_is_of_its_kind():
    for recipe in (Recipe(lr=0.5), ZeroShotRecipe(form="conv", k=7)):
        assert recorded_recipe(recipe.to_json()) == recipe
        assert type(recorded_recipe(recipe.to_json())) is type(recipe)


def test_data_with_texts_are_zero_shot():
    assert task_name({"name": "glyphs"}) == task_name({"name": "imagefolder", "texts": "t"}) == "zero-shot"
    assert task_name({"name": "imagefolder", "texts": None}) == task_name({"name": "digits"}) == "classification"
