"""Zero-shot heads under a budget: no network with its head exceeds the budget, for any recipe of the space."""

import itertools

import pytest

from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Linear, Pool
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.graph import Graph
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.constrained.zero_shot_head import (
    image_network_budget,
    largest_head,
    last_feature_map,
    zero_shot_cost,
)
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.parameters.task_kinds import task_name
from archsieve.spaces.recipes.recipe import Recipe, RecipeSpace
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recipe_from_json
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
RECIPE_OPTIONS = {
    "form": ["fc", "conv", "fc+conv"],
    "k": [3, 5],
    "filters": [1, 4],
    "similarity": ["dot", "cosine"],
    "loss": ["bce", "euclidean"],
}


def costs(recipe: ZeroShotRecipe, architecture) -> tuple[int, int, int]:
    head = zero_shot_cost(recipe, 0, architecture.classes, last_feature_map(architecture))
    network = architecture.cost
    return (
        network.params + head.image.params,
        network.macs + head.image.macs,
        network.activations + head.image.activations,
    )


def test_every_network_with_its_head_is_inside_the_budget():
    recipes = RecipeSpace.of(ZeroShotRecipe, **RECIPE_OPTIONS)
    combinations = itertools.product(*RECIPE_OPTIONS.values())
    all_recipes = [recipes.fill(dict(zip(RECIPE_OPTIONS, values, strict=True))) for values in combinations]
    head = largest_head(Graph(SPACE), recipes)
    architectures = [architecture for _, architecture in walk(ConstrainedSpace(SPACE))]
    heads = [zero_shot_cost(r, 0, 10, last_feature_map(a)) for r in all_recipes for a in architectures]
    assert head.params == max(one.image.params for one in heads)
    assert head.macs == max(one.image.macs for one in heads)
    assert head.activations == max(one.image.activations for one in heads)
    budget = Budget(params=1_200, macs=30_000, activations=900)
    fitting = list(walk(ConstrainedSpace(SPACE, image_network_budget(budget, head))))
    assert 0 < len(fitting) < len(architectures)
    for (_, architecture), recipe in itertools.product(fitting, all_recipes):
        params, macs, activations = costs(recipe, architecture)
        assert params <= 1_200
        assert macs <= 30_000
        assert activations <= 900


def test_smaller_head_leaves_more_budget():
    small, large = (RecipeSpace.of(ZeroShotRecipe, k=k) for k in (2, [2, 50]))
    budget = Budget(params=2_000)
    params = [image_network_budget(budget, largest_head(Graph(SPACE), recipes)).params for recipes in (small, large)]
    assert params == [2_000 - (10 * 2 + 2), 2_000 - (10 * 50 + 50)]
    with pytest.raises(BudgetError, match=r"budget\.params .*\b500\b.*\b550\b.*recipe\.k\b"):
        image_network_budget(Budget(params=500), largest_head(Graph(SPACE), large))


def test_recorded_recipe_has_its_class():
    for recipe in (Recipe(lr=0.5), ZeroShotRecipe(form="conv", k=7)):
        assert recipe_from_json(recipe.to_json()) == recipe
        assert type(recipe_from_json(recipe.to_json())) is type(recipe)


def test_data_with_texts_are_a_zero_shot_task():
    assert task_name({"name": "glyphs"}) == task_name({"name": "imagefolder", "texts": "t"}) == "zero-shot"
    assert task_name({"name": "imagefolder", "texts": None}) == task_name({"name": "digits"}) == "classification"
