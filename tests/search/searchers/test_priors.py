"""Priors of the Gaussian process searcher: the standard one, and earlier runs on other data or in other spaces."""

import random
from dataclasses import replace

import numpy as np
import pytest

from archsieve.results.database.records import History, TrialState
from archsieve.results.query.priors import prior_lines
from archsieve.search.searchers.candidate_pool import CandidatePool
from archsieve.search.searchers.earlier_runs import EarlierRun, EarlierRunPrior, overlap
from archsieve.search.searchers.features import ScaledFeatures
from archsieve.search.searchers.gaussian_process import GaussianProcess
from archsieve.search.searchers.registry import make_searcher
from archsieve.search.searchers.search_plan import SearchPlan
from archsieve.search.searchers.standard_prior import (
    OPERATIONS,
    StandardPrior,
    TableFeatures,
    operation_of,
    standard_priors,
)
from archsieve.search.searchers.surrogate import MAX_PRIORS
from archsieve.search.searchers.uninformed import RandomSearch
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.device_cost import ram_bytes
from archsieve.spaces.blocks.layers import BatchNorm, Convolution, Pooling
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Linear
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.feasibility import cheapest
from archsieve.spaces.parameters.domains import choice
from archsieve.spaces.recipes.recipe import RecipeSpace
from archsieve.spaces.search_space.space import Space

from .test_searchers import BUDGET, OPEN_RECIPES, RECIPES, SPACE, keys, run, trial_of

ONE_RECIPE = RecipeSpace.of(epochs=2)
CONV = choice(Conv(choice(8, 16, 32)), Conv(choice(8, 16, 32), kernel=1))
BLOCKS = (CONV, ConvPool(choice(8, 16, 32)), CONV, GlobalAverage())
TARGET = ConstrainedSpace(Space((3, 16, 16), BLOCKS, 100), Budget(params="12k"))


def earlier_run(constrained, recipes=RECIPES, trials=30, seed=0, quality=None):
    """Return a random run; by default a trial is better the more parameters it has."""
    searcher, history, networks = RandomSearch(constrained, recipes), History(), []
    for number in range(trials):
        proposal = searcher.ask(history, random.Random(f"earlier {seed}/{number}"))
        networks.append(proposal.architecture)
        accuracy = quality(proposal, number) if quality else min(1.0, proposal.architecture.cost.params / 100_000)
        history = History((*history.trials, trial_of(proposal, number, accuracy=accuracy)))
    return EarlierRun("earlier", history.trials, tuple(networks))


def noise(proposal, number):
    return random.Random(f"noise {number}").random()


def few_kernels_of_1(proposal, number):
    """An accuracy that size does not explain: convolutions of kernel 1 are bad, of any width."""
    return 0.9 - 0.3 * sum(getattr(block, "kernel", 3) == 1 for block in proposal.architecture.blocks)


OTHER_DATA = ConstrainedSpace(Space((3, 16, 16), BLOCKS, 10))  # 10 classes instead of 100, no budget


@pytest.fixture(scope="module")
def pool():
    return CandidatePool(TARGET)


def prior_of(run, pool, recipes=RECIPES, standard=()):
    return EarlierRunPrior(run, pool, recipes, ScaledFeatures(pool, recipes), standard)


def test_a_searcher_with_an_earlier_run_keeps_the_contract():
    """The same seed gives the same proposals, also after a resume; none is outside the budget or proposed twice."""
    earlier = earlier_run(ConstrainedSpace(SPACE), OPEN_RECIPES, 20)

    def searcher():
        return GaussianProcess(ConstrainedSpace(SPACE, BUDGET), OPEN_RECIPES, earlier=[earlier])

    history = run(searcher(), 18)
    assert keys(run(searcher(), 18, history=History(history.trials[:7]))) == keys(history)
    assert len(set(keys(history))) == 18
    assert all(trial.params <= 6000 for trial in history)


def test_a_run_on_other_data_with_other_classes_is_compared_by_the_choices_of_this_space(pool):
    prior = prior_of(earlier_run(OTHER_DATA, quality=few_kernels_of_1), pool)
    assert (prior.same_space, prior.overlap) == (True, 1.0)
    assert prior.knowledge > 0.8
    searcher = GaussianProcess(TARGET, RECIPES, earlier=[earlier_run(OTHER_DATA, quality=few_kernels_of_1)])
    first = searcher.ask(History(), random.Random(0))
    assert few_kernels_of_1(first, 0) == 0.9


@pytest.mark.parametrize(("share", "same_space"), [(0.7, True), (0.2, False)])
def test_networks_above_the_limit_of_ram_have_no_choices_of_this_space(share, same_space):
    run = earlier_run(OTHER_DATA)
    ram = sorted(ram_bytes(network, "int8") for network in run.networks)[int(share * len(run.networks))]
    limited = ConstrainedSpace(TARGET.space, Budget(ram=ram, precision="int8"))
    prior = prior_of(run, CandidatePool(limited))
    assert prior.same_space == same_space
    assert (len(prior.trials) < len(run.trials)) == same_space
    assert prior.knowledge > 0
    assert limited.allows(
        GaussianProcess(limited, RECIPES, earlier=[run]).ask(History(), random.Random(0)).architecture
    )


def test_a_pool_that_is_walked_keeps_the_limit_of_ram(monkeypatch):
    # as where every draw from the table is outside
    monkeypatch.setattr("archsieve.search.searchers.candidate_pool.MAX_TABLE_DRAWS", 0)
    space = Space((3, 16, 16), (CONV, CONV, CONV, *BLOCKS), 10)
    _, smallest = cheapest(ConstrainedSpace(space))
    limited = ConstrainedSpace(space, Budget(params=smallest.params, ram="12kB", precision="int8"))
    (code,) = CandidatePool(limited).draw(10, random.Random(0))
    assert limited.allows(CandidatePool(limited).architecture(code))


def test_a_run_in_another_space_is_compared_by_its_layers(pool):
    """Other widths, depth and images: no network is in both spaces, but convolutions with a kernel of 1 are."""
    block = choice(Conv(choice(12, 24)), Conv(choice(12, 24), kernel=1))
    other = ConstrainedSpace(Space((1, 24, 24), (block, block, block, block, GlobalAverage()), 5))
    prior = prior_of(earlier_run(other, trials=60, quality=few_kernels_of_1), pool)
    assert not prior.same_space
    assert prior.overlap == 1.0
    assert prior.knowledge > 0.5
    codes = pool.draw(400, random.Random(0))
    mean = prior.at(codes, prior._features.of(codes, [{"lr": 0.1}])).mean
    quality = [-sum(getattr(one, "kernel", 3) == 1 for one in pool.architecture(code).blocks) for code in codes]
    assert np.corrcoef(mean, quality)[0, 1] > 0.5


def test_networks_without_a_layer_of_the_space_have_no_overlap(pool):
    vectors = ConstrainedSpace(Space((1, 8, 8), (GlobalAverage(), Linear(choice(8, 16, 32))), 10))
    assert overlap(earlier_run(vectors, trials=3).networks, TARGET) == 0
    assert overlap(earlier_run(OTHER_DATA, trials=3).networks, TARGET) == 1


def test_a_run_that_knows_nothing_has_no_weight(pool):
    shuffled = prior_of(earlier_run(OTHER_DATA, quality=noise, trials=40), pool)
    assert shuffled.knowledge < 0.1
    few = earlier_run(OTHER_DATA, trials=3)
    assert prior_of(few, pool).knowledge == 0.0


def test_trials_of_this_run_decide_how_much_a_prior_counts():
    """A run that is right keeps its weight, one whose order is reversed loses it; they are weighted apart."""
    right = earlier_run(OTHER_DATA, quality=few_kernels_of_1)
    wrong = replace(
        earlier_run(OTHER_DATA, seed=1, quality=lambda proposal, number: 1 - few_kernels_of_1(proposal, number)),
        name="reversed",
    )
    shuffled = replace(earlier_run(OTHER_DATA, quality=noise, trials=40), name="shuffled")
    searcher = GaussianProcess(TARGET, RECIPES, earlier=[right, shuffled, wrong], standard_prior=False)
    assert searcher.surrogate.first_trust.min() > 0.2
    own = earlier_run(TARGET, trials=16, seed=2, quality=few_kernels_of_1)
    notes = searcher.notes(History(own.trials))
    weights = [prior["weight"] for prior in notes["priors"]]
    assert [prior["run"] for prior in notes["priors"]] == ["earlier", "reversed"]
    assert weights[0] > 0.5 > 0.2 > weights[1]
    assert notes["explained"] > 0.5
    assert notes["trials"] == 16
    assert [prior["run"] for prior in notes["unused"]] == ["shuffled"]
    # before this run has trials there is nothing to agree with
    assert searcher.notes(History()) == {}


def test_a_run_by_a_metric_to_minimise_expects_most_of_the_lowest_values(pool):
    by_accuracy = earlier_run(OTHER_DATA, quality=few_kernels_of_1)
    by_loss = tuple(
        replace(trial, metric="log_loss", metrics={"log_loss": 10 - 9 * trial.val_accuracy}, val_accuracy=0.5)
        for trial in by_accuracy.trials
    )
    codes = pool.draw(100, random.Random(0))
    x = ScaledFeatures(pool, RECIPES).of(codes, [{"lr": 0.1}])
    runs = [by_accuracy, replace(by_accuracy, trials=by_loss)]
    expected = [prior_of(one, pool).at(codes, x).mean for one in runs]
    np.testing.assert_allclose(*expected)
    assert np.ptp(expected[0]) > 1


def test_the_priors_that_know_most_are_used():
    """Each prior predicts every candidate, so a database with many runs would make proposals slow."""
    small = [
        replace(earlier_run(OTHER_DATA, trials=6 + 2 * seed, seed=seed), name=str(seed)) for seed in range(MAX_PRIORS)
    ]
    best = replace(earlier_run(OTHER_DATA, quality=few_kernels_of_1), name="best")
    searcher = GaussianProcess(TARGET, ONE_RECIPE, earlier=[*small, best])
    used, unused = searcher.surrogate.priors, searcher.surrogate.unused_priors
    assert len(used) == MAX_PRIORS
    assert len(unused) == 2
    assert min(prior.knowledge for prior in used) >= max(prior.knowledge for prior in unused)
    notes = searcher.notes(History(earlier_run(TARGET, ONE_RECIPE, trials=2).trials))
    assert [prior["knowledge"] for prior in notes["unused"]] == [round(prior.knowledge, 3) for prior in unused]
    text = list(prior_lines(notes))
    assert len(text) == 1 + MAX_PRIORS + 2


def test_a_custom_searcher_may_have_notes_of_its_own():
    class Noted(RandomSearch):
        notes = ("first",)

    plan = SearchPlan(lambda constrained: Noted(constrained, RECIPES), TARGET, RECIPES)
    assert plan.notes(History(earlier_run(TARGET, trials=2).trials)) == {}


def test_the_recipe_of_an_earlier_run_counts_if_its_values_are_those_of_this_run(pool):
    by_lr = earlier_run(OTHER_DATA, quality=lambda proposal, number: proposal.recipe.lr)
    assert prior_of(by_lr, pool).knowledge > 0.9
    fixed = RecipeSpace.of(epochs=1, lr=0.3)
    assert prior_of(earlier_run(OTHER_DATA, fixed), pool).knowledge > 0.3


def test_workers_that_start_together_get_distinct_and_repeatable_trials():
    def asked(seed):
        searcher, history = GaussianProcess(TARGET, ONE_RECIPE), History()
        for number in range(12):
            proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
            history = History((*history.trials, trial_of(proposal, number, TrialState.RUNNING)))
        return keys(history)

    assert len(set(asked(0))) == 12
    assert asked(0) == asked(0)


def test_the_standard_prior_expects_more_of_larger_networks(pool):
    codes = pool.draw(500, random.Random(0))
    belief = StandardPrior(pool).at(codes, np.zeros((500, 0)))
    sizes = [pool.architecture(code).cost.params for code in codes]
    assert np.corrcoef(belief.mean, np.log(sizes))[0, 1] > 0.3
    assert (belief.variance == 0).all()
    # a table of no knowledge would be no prior
    assert 0.5 < StandardPrior.knowledge < 1


def test_the_features_of_the_table_do_not_depend_on_the_budget(pool):
    code = pool.draw(20, random.Random(1))
    free = CandidatePool(ConstrainedSpace(TARGET.space))
    assert np.array_equal(TableFeatures(pool).of(code), TableFeatures(free).of(code))


def test_the_table_has_one_recipe_and_no_pretrained_networks(pool):
    assert len(standard_priors(pool, ONE_RECIPE)) == 1
    assert standard_priors(pool, RECIPES) == []


def test_the_first_recipes_are_drawn_if_no_earlier_run_tried_them():
    """The expected improvement alone would start at both ends of the range of learning rates."""
    earlier = earlier_run(ConstrainedSpace(SPACE), RecipeSpace.of(epochs=2, dropout=0.1), 20)
    history = run(GaussianProcess(ConstrainedSpace(SPACE, BUDGET), OPEN_RECIPES, earlier=[earlier]), 4)
    assert all(0.012 < trial.recipe["lr"] < 0.9 for trial in history)


def test_layers_are_the_operations_of_the_table():
    assert operation_of(Convolution(8, 1)) == "conv_1x1"
    assert operation_of(Convolution(8, 5)) == "conv_3x3"
    assert operation_of(Pooling("average", 3, 1, 1)) == "pool"
    assert operation_of(Pooling("max", 2, 2)) is None  # it makes the image smaller, so no other layer can replace it
    assert operation_of(BatchNorm()) is None
    assert set(OPERATIONS) == {"none", "skip", "conv_1x1", "conv_3x3", "pool"}


def test_without_a_prior_the_searcher_is_the_one_of_older_runs():
    """The first proposals are the largest of many draws, and nothing is recorded."""
    searcher = make_searcher("gp", TARGET, ONE_RECIPE, standard_prior=False)
    history = run(searcher, 6)
    assert searcher.notes(history) == {}
    largest = searcher.surrogate.features.size(searcher.pool.draw(10_000, random.Random(0))).max()
    first = searcher.pool.code(history.trials[0].fingerprint, history.trials[0].choices)
    assert searcher.surrogate.features.size(first[None])[0] >= 0.95 * largest
    with_prior = make_searcher("gp", TARGET, ONE_RECIPE).notes(history)
    assert [prior["source"] for prior in with_prior["priors"]] == ["standard"]
    assert {"table", "date", "knowledge", "weight"} <= set(with_prior["priors"][0])
