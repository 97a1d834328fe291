"""The Gaussian process with several objectives: the growth of the hypervolume, exact costs, and what it finds."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from archsieve.results.database.records import COSTS, History, TrialState
from archsieve.results.query.pareto import objective
from archsieve.search.searchers.candidate_pool import CandidatePool
from archsieve.search.searchers.features import KnownCosts
from archsieve.search.searchers.registry import make_searcher
from archsieve.search.searchers.several_objectives import _directions, _mean_growth
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.recipes.recipe import RecipeSpace
from archsieve.spaces.search_space.space import Space

from .test_searchers import BUDGET, SPACE, trial_of

ONE_RECIPE = RecipeSpace.of(epochs=2)
CONSTRAINED = ConstrainedSpace(SPACE, BUDGET, batch_size=32)


def area(points):
    """Return the area between the origin and the points that dominate it."""
    total, reached = 0.0, 0.0
    for first, second in sorted(map(tuple, points), reverse=True):
        total += first * max(second - reached, 0.0)
        reached = max(reached, second)
    return total


def test_the_mean_over_directions_is_the_growth_of_the_hypervolume():
    rng = np.random.default_rng(0)
    front, candidates = rng.random((5, 2)), rng.random((40, 2)) * 1.2
    directions = _directions(2)
    reached = np.array([(front / direction).min(axis=1).max() for direction in directions])
    growth = _mean_growth([candidates[:, :1], candidates[:, 1:]], directions, reached)
    exact = [area([*front, one]) - area(front) for one in candidates]
    assert sum(value > 0.02 for value in exact) > 5
    # in polar coordinates an area is the mean of squared radii times a quarter of pi
    assert growth * math.pi / 4 == pytest.approx(exact, abs=0.02)
    # a known and a modelled objective: the mean over the values of the modelled one
    mixed = _mean_growth([candidates[:, :1], np.repeat(candidates[:, 1:], 3, axis=1)], directions, reached)
    assert mixed == pytest.approx(growth)


def test_the_costs_of_codes_are_exact():
    pool = CandidatePool(CONSTRAINED)
    codes = pool.draw(20, random.Random(0))
    expected = [cost(pool.architecture(code), 32).to_json() for code in codes]
    assert KnownCosts(pool.batch).of(codes).tolist() == [[row[name] for name in COSTS] for row in expected]


def measured(proposal, number):
    """Return a trial whose accuracy grows with the parameters and the layers, its latency with the macs and choices."""
    trial = trial_of(proposal, number)
    accuracy = 1 - math.exp(-trial.params / 10_000 - len(trial.choices) / 5)
    return replace(trial, val_accuracy=accuracy, latency_ms=trial.macs / 1e5 + 0.3 * len(trial.choices))


def searched(name, objectives, trials, seed=0, constrained=CONSTRAINED):
    searcher, history = make_searcher(name, constrained, ONE_RECIPE, objectives), History()
    for number in range(trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        if proposal is None:
            break
        history = History((*history.trials, measured(proposal, number)))
    return history


@pytest.mark.parametrize("objectives", [["val_accuracy", "latency_ms"], ["val_accuracy", "params", "macs"]])
def test_the_front_dominates_more_than_that_of_random_search(objectives):
    """Measured and known objectives, two and three, by the share of random points that the trials dominate."""
    stages = [repeat(Residual(choice(4, 8, 16, 32)), choice(0, 1, 2)) for _ in range(2)]
    blocks = (choice(Conv(choice(4, 8, 16)), ConvPool(choice(4, 8, 16))), *stages, GlobalAverage())
    constrained = ConstrainedSpace(Space((1, 8, 8), blocks, 10))
    everything = searched("grid", None, 1000, constrained=constrained)
    assert len(everything) > 300
    values = [objective(name) for name in objectives]
    table = np.array([[value(trial) for value in values] for trial in everything])
    low, high = table.min(axis=0), table.max(axis=0)
    draws = low + (high - low) * np.random.default_rng(0).random((4000, len(objectives)))

    def dominated(history):
        points = np.array([[value(trial) for value in values] for trial in history])
        return (points[:, None] <= draws).all(axis=2).any(axis=0).mean()

    def gap(name, seed):
        trials = searched(name, None if name == "random" else objectives, 20, seed, constrained)
        return 1 - dominated(trials) / dominated(everything)

    gaps = {name: sum(gap(name, seed) for seed in range(2)) for name in ("gp", "random")}
    assert gaps["gp"] < 0.8 * gaps["random"], gaps


def test_objectives_that_are_all_known_need_no_result():
    history = searched("gp", ["params", "macs"], 12)
    smallest = min(trial.params for trial in searched("grid", None, 40))
    assert smallest in [trial.params for trial in history]


def test_running_and_failed_trials_take_part():
    searcher = make_searcher("gp", CONSTRAINED, ONE_RECIPE, ["val_accuracy", "macs"])
    history = searched("gp", ["val_accuracy", "macs"], 8)
    failed = replace(history.trials[2], state=TrialState.FAILED, val_accuracy=None)
    history = History((*history.trials[:2], failed, *history.trials[3:]))
    for number in range(8, 13):
        proposal = searcher.ask(history, random.Random(number))
        trial = replace(trial_of(proposal, number, TrialState.RUNNING), val_accuracy=None)
        history = History((*history.trials, trial))
    assert len(history.fingerprints) == 13


def test_a_long_history_keeps_the_front():
    searcher = make_searcher("gp", CONSTRAINED, ONE_RECIPE, ["val_accuracy", "macs"])
    proposal = searcher.random_proposal(History(), random.Random(0))
    rng = random.Random(0)
    trials = [replace(trial_of(proposal, n, accuracy=rng.random() / 2), macs=rng.randrange(10**6)) for n in range(300)]
    trials[7] = replace(trials[7], val_accuracy=0.9)
    trials[9] = replace(trials[9], macs=0)
    chosen = searcher.surrogate.select(trials)
    assert len(chosen) == 200
    assert {7, 9, *range(200, 300)} <= {trial.number for trial in chosen}
    assert [trial.number for trial in chosen] == sorted(trial.number for trial in chosen)
