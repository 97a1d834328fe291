"""Comparisons of searchers with the same number of trials on known functions; no network is trained."""

import math
import random
from statistics import fmean

import pytest

from archsieve.results.database.records import History
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import Range
from archsieve.spaces.recipes.recipe import RecipeSpace
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import stage

from .test_searchers import trial_of

ONE_ARCHITECTURE = ConstrainedSpace(Space((1, 8, 8), (Conv(8), GlobalAverage()), 10))
STAGES = tuple(stage(["conv-pool", "residual"], [1, 2], [8, 16, 24, 32], halve=i < 2) for i in range(3))
MANY_ARCHITECTURES = ConstrainedSpace(Space((1, 8, 8), (*STAGES, GlobalAverage()), 10), Budget(params="20k", macs="1M"))
OPEN_RECIPES = RecipeSpace.of(lr=Range(1e-3, 1.0, log=True), dropout=[0.0, 0.1])


def best(searcher, score, trials, seed):
    """Return the highest score of ``trials`` proposals of ``searcher``."""
    history = History()
    for number in range(trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        assert proposal is not None
        history = History((*history.trials, trial_of(proposal, number, accuracy=score(proposal))))
    return max(trial.val_accuracy for trial in history)


def grid_values(low, high, rng):
    """Return three grid values, one in each third of the range, with a random offset that favours no grid."""
    offset = rng.random()
    return [low + (high - low) * (n + offset) / 3 for n in range(3)]


def test_random_search_beats_a_grid_if_only_one_of_three_parameters_matters():
    """Bergstra and Bengio 2012: in 27 trials random search tries 27 values of it, a grid only three."""
    scores = []
    for seed in range(12):
        rng = random.Random(seed)
        peak = rng.uniform(-5, 1)
        grid_recipes = RecipeSpace.of(
            lr=[10**v for v in grid_values(-5, 1, rng)],
            weight_decay=[10**v for v in grid_values(-8, -5, rng)],
            label_smoothing=grid_values(0, 0.1, rng),
        )
        ranges = RecipeSpace.of(
            lr=Range(1e-5, 10.0, log=True), weight_decay=Range(1e-8, 1e-5, log=True), label_smoothing=Range(0.0, 0.1)
        )

        def score(proposal, peak=peak):
            return math.exp(-abs(math.log10(proposal.recipe.lr) - peak))

        grid = SEARCHERS["grid"](ONE_ARCHITECTURE, grid_recipes)
        random_search = SEARCHERS["random"](ONE_ARCHITECTURE, ranges)
        scores.append((best(random_search, score, 27, seed), best(grid, score, 27, seed)))
    assert sum(of_random > of_grid for of_random, of_grid in scores) >= 9
    assert fmean(of_random for of_random, _ in scores) > fmean(of_grid for _, of_grid in scores) + 0.1


def width_score(proposal):
    """A narrow peak: best at one learning rate and with wide networks."""
    widths = sum(block.width for block in proposal.architecture.blocks if hasattr(block, "width"))
    return math.exp(-((math.log10(proposal.recipe.lr) + 1.2) ** 2)) * min(1.0, widths / 150)


def depth_score(proposal):
    """Best with six blocks and, with a narrower peak, at one learning rate."""
    blocks, lr = len(proposal.architecture.blocks), math.log10(proposal.recipe.lr)
    return math.exp(-((blocks - 6) ** 2) / 4 - 4 * (lr + 1.2) ** 2)


def params_score(proposal):
    """A broad peak in the middle of the range, at 12,000 parameters: random search finds it soon."""
    return math.exp(-(((cost(proposal.architecture).params - 12_000) / 3_000) ** 2)) * (1 - proposal.recipe.dropout)


def best_scores(score, seeds, trials=24):
    """Return (best of the Gaussian process, best of random search) for each seed."""
    return [
        tuple(best(SEARCHERS[name](MANY_ARCHITECTURES, OPEN_RECIPES), score, trials, n) for name in ("gp", "random"))
        for n in range(seeds)
    ]


@pytest.mark.parametrize(
    ("score", "seeds"),
    [(width_score, 3), *(pytest.param(score, 12, marks=pytest.mark.slow) for score in (width_score, depth_score))],
)
def test_a_gaussian_process_finds_better_trials_than_random_search(score, seeds):
    scores = best_scores(score, seeds)
    assert fmean(of_gp for of_gp, _ in scores) > fmean(of_random for _, of_random in scores)
    assert sum(of_gp >= of_random for of_gp, of_random in scores) >= 2 * seeds / 3


@pytest.mark.slow
def test_a_gaussian_process_is_not_worse_on_a_broad_peak():
    """Random search reaches 96 % of this peak without a model; the two differ by less than 0.05."""
    scores = best_scores(params_score, 12)
    assert fmean(of_random for _, of_random in scores) > 0.9
    assert abs(fmean(of_gp - of_random for of_gp, of_random in scores)) < 0.05
