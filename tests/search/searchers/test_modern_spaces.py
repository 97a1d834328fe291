"""Searchers on spaces of inverted residuals: proposals inside a joint budget, and features of every choice."""

import random

import numpy as np
import pytest

from archsieve.results.database.records import History, Trial, TrialState
from archsieve.search.searchers.candidate_pool import CandidatePool
from archsieve.search.searchers.features import COSTS, Features
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.recipes.recipe import RecipeSpace
from archsieve.spaces.search_space.named import named_space

BUDGET = Budget(params="1M", macs="60M")


@pytest.fixture(scope="module")
def constrained():
    return ConstrainedSpace(named_space("mobile-space", input_shape=(3, 64, 64), classes=10), BUDGET)


@pytest.mark.parametrize("name", ["gp", "tpe", "evolution", "nsga2", "random"])
def test_searchers_propose_mobile_networks_inside_a_joint_budget(name, constrained):
    searcher, history = SEARCHERS[name](constrained, RecipeSpace.of(epochs=2, lr=[0.1, 0.2])), History()
    for number in range(8):
        proposal = searcher.ask(history, random.Random(number))
        cost = proposal.architecture.cost
        assert constrained.allows(proposal.architecture)
        assert constrained.space.architecture(proposal.choices).fingerprint == proposal.architecture.fingerprint
        trial = Trial(
            trial=number + 1,
            run="r",
            number=number,
            state=TrialState.COMPLETED,
            fingerprint=proposal.architecture.fingerprint,
            architecture=proposal.architecture.to_json(),
            choices=proposal.choices,
            recipe=proposal.recipe.to_json(),
            seed=0,
            **cost.to_json(),
            val_accuracy=cost.macs / BUDGET.macs,
        )
        history = History((*history.trials, trial))
    assert len(history.fingerprints) == 8


def test_features_count_kernels_and_expansions_of_all_blocks(constrained):
    pool = CandidatePool(constrained)
    features = Features(pool.batch)
    rows = features.of(pool.draw(50, random.Random(0)))
    # stem, last convolution, classifier and its width; 5 widths; kernel and expansion of 20 blocks; counts. A depth has
    # no group of its own: it shows in the choices of the blocks that exist.
    assert len(np.unique(features.groups)) == 4 + 5 + 2 * 20 + 1 + len(COSTS)
    assert np.isfinite(rows).all()
    assert len(np.unique(rows, axis=0)) == len(rows) == 50
