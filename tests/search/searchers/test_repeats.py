"""Networks that gp tries again with another recipe."""

import random

import pytest

from archsieve.results.database.records import History
from archsieve.search.searchers.gaussian_process import GaussianProcess
from archsieve.search.searchers.registry import make_searcher
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import Range
from archsieve.spaces.recipes.recipe import RecipeSpace

from .test_searchers import BUDGET, SPACE, keys, trial_of

LR = Range(1e-3, 1.0, log=True)
RECIPES = RecipeSpace.of(epochs=2, lr=LR)


def search(trials, repeat, recipes=RECIPES, history=None, seed=0):
    """Return a search in which the recipe matters far more than the size of the network."""
    searcher = make_searcher("gp", ConstrainedSpace(SPACE, BUDGET), recipes, repeat_networks=repeat)
    history = history or History()
    for number in range(len(history), trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        accuracy = 0.9 - abs(LR.fraction(proposal.recipe.lr) - 0.3) + proposal.architecture.cost.params / 1e6
        history = History((*history.trials, trial_of(proposal, number, accuracy=accuracy)))
    return history


@pytest.fixture(scope="module")
def repeated():
    return search(26, repeat=True)


def test_networks_repeat_with_other_recipes_only(repeated):
    assert len(repeated.fingerprints) < 26
    assert len(set(keys(repeated))) == 26
    assert all(trial.params <= 6000 for trial in repeated)


def test_a_resume_continues_in_the_same_way(repeated):
    assert keys(search(26, repeat=True, history=History(repeated.trials[:22]))) == keys(repeated)


def test_without_the_option_each_trial_is_a_new_network():
    assert len(search(10, repeat=False).fingerprints) == 10


def test_a_fixed_recipe_has_nothing_to_repeat():
    assert not GaussianProcess(ConstrainedSpace(SPACE, BUDGET), RecipeSpace.of(), repeat_networks=True).repeats


def test_other_searchers_refuse_it():
    with pytest.raises(ValueError, match=r"search.repeat_networks is for the searcher gp, but the searcher is tpe"):
        make_searcher("tpe", ConstrainedSpace(SPACE, BUDGET), RECIPES, repeat_networks=True)
