"""Searchers beside each other at equal trials on known functions: nothing is trained, chance is the seeds alone."""

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

ONE = ConstrainedSpace(Space((1, 8, 8), (Conv(8), GlobalAverage()), 10))
STAGES = tuple(stage(["conv-pool", "residual"], [1, 2], [8, 16, 24, 32], halve=i < 2) for i in range(3))
MANY = ConstrainedSpace(Space((1, 8, 8), (*STAGES, GlobalAverage()), 10), Budget(params="20k", macs="1M"))
OPEN = RecipeSpace.of(lr=Range(1e-3, 1.0, log=True), dropout=[0.0, 0.1])


def best(searcher, score, trials, seed):
    """The highest score that ``searcher`` finds."""
    history = History()
    for number in range(trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        assert proposal is not None
        history = History((*history.trials, trial_of(proposal, number, accuracy=score(proposal))))
    return max(trial.val_accuracy for trial in history)


def moved(low, high, rng):
    """Three places, one in each third of an axis, moved together by chance: no seed's grid lies well by choice."""
    by = rng.random()
    return [low + (high - low) * (n + by) / 3 for n in range(3)]


def test_random_search_beats_a_grid_where_two_of_three_axes_say_nothing():
    """Bergstra and Bengio 2012: 27 trials try 27 values of the axis that matters, or three."""
    found = []
    for seed in range(12):
        rng = random.Random(seed)
        peak = rng.uniform(-5, 1)
        places = RecipeSpace.of(
            lr=[10**v for v in moved(-5, 1, rng)],
            weight_decay=[10**v for v in moved(-8, -5, rng)],
            label_smoothing=moved(0, 0.1, rng),
        )
        ranges = RecipeSpace.of(
            lr=Range(1e-5, 10.0, log=True), weight_decay=Range(1e-8, 1e-5, log=True), label_smoothing=Range(0.0, 0.1)
        )

        def score(proposal, peak=peak):
            return math.exp(-abs(math.log10(proposal.recipe.lr) - peak))

        grid, drawn = SEARCHERS["grid"](ONE, places), SEARCHERS["random"](ONE, ranges)
        found.append((best(drawn, score, 27, seed), best(grid, score, 27, seed)))
    assert sum(mine > theirs for mine, theirs in found) >= 9
    assert fmean(mine for mine, _ in found) > fmean(theirs for _, theirs in found) + 0.1


def valley(proposal):
    """Best at one learning rate, and with wide networks: a peak that has to be found."""
    widths = sum(block.width for block in proposal.architecture.blocks if hasattr(block, "width"))
    return math.exp(-((math.log10(proposal.recipe.lr) + 1.2) ** 2)) * min(1.0, widths / 150)


def depth(proposal):
    """Best with six blocks and, more narrowly, at one learning rate."""
    blocks, lr = len(proposal.architecture.blocks), math.log10(proposal.recipe.lr)
    return math.exp(-((blocks - 6) ** 2) / 4 - 4 * (lr + 1.2) ** 2)


def price(proposal):
    """Best where parameters are 12,000, which is neither end: a broad peak, which chance meets soon."""
    return math.exp(-(((cost(proposal.architecture).params - 12_000) / 3_000) ** 2)) * (1 - proposal.recipe.dropout)


def by_seed(score, seeds, trials=24):
    """(gp, random): the best of each, seed by seed."""
    return [
        tuple(best(SEARCHERS[name](MANY, OPEN), score, trials, n) for name in ("gp", "random")) for n in range(seeds)
    ]


@pytest.mark.parametrize(
    ("score", "seeds"),
    [(valley, 3), *(pytest.param(score, 12, marks=pytest.mark.slow) for score in (valley, depth))],
)
def test_a_gaussian_process_finds_more_than_random_search(score, seeds):
    found = by_seed(score, seeds)
    assert fmean(mine for mine, _ in found) > fmean(theirs for _, theirs in found)
    assert sum(mine >= theirs for mine, theirs in found) >= 2 * seeds / 3


@pytest.mark.slow
def test_where_chance_does_well_a_gaussian_process_is_level_with_it():
    """Random search comes within 4 % of this peak, and no model is needed: within 0.05 of each other."""
    found = by_seed(price, 12)
    assert fmean(theirs for _, theirs in found) > 0.9
    assert abs(fmean(mine - theirs for mine, theirs in found)) < 0.05
