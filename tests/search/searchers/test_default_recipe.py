"""The first trial of a run has the default recipe, with every searcher; nothing else changes."""

from pathlib import Path

import pytest

from archsieve.search.experiment.search_file import load_experiment
from archsieve.search.searchers.initial_designs import default_recipe
from archsieve.search.searchers.registry import SEARCHERS, make_searcher
from archsieve.search.searchers.search_plan import SearchPlan
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import Range
from archsieve.spaces.recipes.recipe import Recipe, RecipeSpace

from ..conftest import small
from .test_searchers import BUDGET, OPEN_RECIPES, SPACE, keys, run

EXAMPLES = Path(__file__).parents[3] / "examples"
CONSTRAINED = ConstrainedSpace(SPACE, BUDGET)


def plan(name, recipes):
    """Return a plan of the searcher called ``name`` whose first trial has the default recipe."""
    return SearchPlan(
        lambda constrained: make_searcher(name, constrained, recipes), CONSTRAINED, recipes, default_recipe_first=True
    )


@pytest.mark.parametrize("name", [name for name in sorted(SEARCHERS) if name != "grid"])
def test_only_the_first_trial_has_the_default_recipe(name):
    history = run(plan(name, OPEN_RECIPES), 20)
    first, *others = (recipe for _, recipe in keys(history))
    assert (first.lr, first.dropout, first.momentum) == (0.1, 0.1, 0.9)
    assert len({recipe.lr for recipe in others} - {0.1}) > 5
    without_plan = run(make_searcher(name, CONSTRAINED, OPEN_RECIPES), 1)
    assert history.trials[0].fingerprint == without_plan.trials[0].fingerprint
    assert len(history.fingerprints) == 20


def test_a_grid_after_the_default_recipe_is_complete():
    recipes = RecipeSpace.of(epochs=2, lr=[0.3, 0.1])
    history = run(plan("grid", recipes), 10_000)
    assert history.trials[0].recipe["lr"] == 0.1
    assert sorted(keys(history), key=str) == sorted(
        keys(run(make_searcher("grid", CONSTRAINED, recipes), 10_000)), key=str
    )


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"lr": Range(0.2, 1.0, log=True)}, {"lr": 0.2}),
        ({"lr": Range(1e-3, 1e-2)}, {"lr": 1e-2}),
        ({"epochs": Range(3, 30)}, {"epochs": 12}),
        ({"dropout": [0.0, 0.3, 0.5]}, {"dropout": 0.0}),
        ({"dropout": [0.0, 0.1, 0.5]}, {"dropout": 0.1}),
        ({"optimizer": ["adam", "sgd"], "momentum": [0.5, 0.8, 0.95]}, {"optimizer": "sgd", "momentum": 0.95}),
        ({"optimizer": ["adamw", "adam"]}, {"optimizer": "adamw"}),
        ({"averaging": ["none", "ema"], "ema_decay": [0.9, 0.99]}, {"averaging": "none", "ema_decay": 0.9}),
        ({"lr": 0.7, "dropout": 0.4}, {"lr": 0.7, "dropout": 0.4}),
    ],
    ids=str,
)
def test_the_default_recipe_has_the_nearest_values_of_the_space(entries, expected):
    recipe = default_recipe(RecipeSpace.of(**entries))
    assert {name: getattr(recipe, name) for name in expected} == expected
    assert all(getattr(recipe, name) == getattr(Recipe(), name) for name in Recipe().to_json() if name not in entries)


def test_a_zero_shot_run_starts_with_the_proposal_of_its_searcher():
    experiment = load_experiment(EXAMPLES / "glyphs.toml")
    assert not experiment.starts_with_default_recipe
    of_plan = run(experiment.plan(experiment.constrained), 1)
    of_searcher = run(experiment.searcher(experiment.constrained), 1)
    assert of_plan.trials[0].recipe == of_searcher.trials[0].recipe


def test_a_run_with_a_warm_start_has_no_default_recipe():
    cold = small(recipe={"epochs": 1, "lr": {"low": 1e-3, "high": 1.0, "log": True}})
    history = run(cold.plan(cold.constrained), 3)
    assert [recipe.lr == 0.1 for _, recipe in keys(history)] == [True, False, False]
    warm = small(recipe=cold.file.recipe, search={"warm_start": ["before"]})
    assert [recipe.lr == 0.1 for _, recipe in keys(run(warm.plan(warm.constrained), 3))] == [False, False, False]
