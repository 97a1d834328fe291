"""Priors of the user on recipe values: followed at first, forgotten as trials finish."""

import random

import pytest

from archsieve.results.database.records import History
from archsieve.search.searchers.initial_designs import default_recipe
from archsieve.search.searchers.recipe_sampling import draw_values
from archsieve.search.searchers.registry import make_searcher
from archsieve.search.searchers.uninformed import Grid
from archsieve.search.searchers.user_prior import confidence, exponent, has_prior, log_density
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import Range
from archsieve.spaces.recipes.recipe import RecipeSpace

from .test_searchers import BUDGET, SPACE, keys, run, trial_of

LR = {"low": 1e-3, "high": 1.0, "log": True}
PLAIN = RecipeSpace.of(lr=LR, optimizer=["sgd", "adamw"])
EXPECTED = RecipeSpace.of(lr={**LR, "prior": 0.5}, optimizer={"options": ["sgd", "adamw"], "weights": [9, 1]})
SEARCHERS = ("random", "gp", "tpe", "evolution", "nsga2")
DISTANCE = Range(**LR)


def search(name, recipes, trials, best_lr=0.002, seed=0):
    """Return the history of a search in which the accuracy falls with the distance of the lr to ``best_lr``."""
    searcher, history = make_searcher(name, ConstrainedSpace(SPACE, BUDGET), recipes), History()
    for number in range(trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        accuracy = 1 - abs(DISTANCE.fraction(proposal.recipe.lr) - DISTANCE.fraction(best_lr))
        history = History((*history.trials, trial_of(proposal, number, accuracy=accuracy)))
    return history


def near(trials, lr):
    """Return the share of ``trials`` whose lr is within a fifth of the range of ``lr``."""
    return sum(abs(DISTANCE.fraction(one.recipe["lr"]) - DISTANCE.fraction(lr)) <= 0.2 for one in trials) / len(trials)


@pytest.mark.parametrize("name", SEARCHERS)
def test_the_first_proposals_follow_the_prior(name):
    expected, plain = (search(name, recipes, 8).trials for recipes in (EXPECTED, PLAIN))
    assert near(expected, 0.5) >= 0.6 > near(plain, 0.5)
    assert sum(trial.recipe["optimizer"] == "sgd" for trial in expected) >= 6


@pytest.mark.parametrize("name", ["gp", "tpe"])
def test_a_misleading_prior_is_overcome(name):
    history = search(name, EXPECTED, 40)
    assert near(history.trials[:8], 0.002) <= 0.2
    assert near(history.trials[-12:], 0.002) >= 0.6


@pytest.mark.parametrize("name", ["random", "gp", "tpe"])
def test_seeds_and_resumed_runs_give_the_same_proposals(name):
    history = search(name, EXPECTED, 16)
    assert keys(search(name, EXPECTED, 16)) == keys(history)
    again = make_searcher(name, ConstrainedSpace(SPACE, BUDGET), EXPECTED)
    proposal = again.ask(History(history.trials[:15]), random.Random("0/15"))
    assert proposal.key == keys(history)[15]


def test_random_draws_forget_the_prior_as_trials_finish():
    def share(finished):
        draws = [draw_values(EXPECTED, random.Random(seed), finished) for seed in range(2000)]
        return sum(abs(DISTANCE.fraction(one["lr"]) - DISTANCE.fraction(0.5)) <= 0.2 for one in draws) / len(draws)

    uniform = 0.3  # from 0.7 to 1 of the range: the prior is at 0.9
    assert share(0) > share(10) > share(100) > uniform - 0.03
    assert share(100_000) == pytest.approx(uniform, abs=0.03)
    assert confidence(0) == 1
    assert exponent(1000) == pytest.approx(0.01)


def test_without_a_prior_draws_are_those_of_earlier_versions():
    rng, expected = random.Random(5), random.Random(5)
    assert not has_prior(PLAIN)
    assert not has_prior(RecipeSpace.of(optimizer={"options": ["sgd", "adamw"], "weights": [2, 2]}))
    values = draw_values(PLAIN, rng)
    assert values == {"lr": DISTANCE.at(expected.random()), "optimizer": expected.choice(("sgd", "adamw"))}


def test_the_first_trial_has_the_expected_values():
    recipe = default_recipe(EXPECTED)
    assert (recipe.lr, recipe.optimizer) == (0.5, "sgd")
    assert default_recipe(PLAIN).lr == 0.1


def test_the_prior_of_whole_numbers_is_a_whole_number():
    first = default_recipe(RecipeSpace.of(epochs={"low": 1, "high": 9, "prior": 2.0}))
    assert (first.epochs, type(first.epochs)) == (2, int)


def test_the_grid_begins_with_the_expected_recipes():
    recipes = RecipeSpace.of(lr={"options": [0.1, 0.2, 0.4], "weights": [1, 2, 7]})
    trials = run(Grid(ConstrainedSpace(SPACE, BUDGET), recipes), 4).trials
    assert [trial.recipe["lr"] for trial in trials] == [0.4, 0.2, 0.1, 0.4]


def test_the_density_is_highest_at_the_prior_and_ignores_values_without_effect():
    assert log_density(EXPECTED, {"lr": 0.5, "optimizer": "sgd"}) == 0
    assert log_density(EXPECTED, {"lr": 0.5, "optimizer": "adamw"}) == pytest.approx(-2.197, abs=0.001)
    assert (
        -4
        < log_density(EXPECTED, {"lr": 0.001, "optimizer": "sgd"})
        < log_density(EXPECTED, {"lr": 0.2, "optimizer": "sgd"})
    )
    averaged = RecipeSpace.of(averaging=["none", "ema"], ema_decay={"low": 0.5, "high": 0.99, "prior": 0.99})
    assert log_density(averaged, {"averaging": "none", "ema_decay": 0.5}) == 0
    assert log_density(averaged, {"averaging": "ema", "ema_decay": 0.5}) < -2
