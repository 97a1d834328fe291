"""The searchers' contract, held against every row of the table."""

import random
from dataclasses import replace

import pytest

from archsieve.results.database.records import History, Trial, TrialState
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.parameters.domains import Range, choice, repeat
from archsieve.spaces.recipes.recipe import Recipe, RecipeSpace
from archsieve.spaces.search_space.space import Space
from archsieve.spaces.search_space.stages import stage

SPACE = Space(
    (1, 8, 8),
    (
        choice(Conv(choice(4, 8, 16)), ConvPool(choice(4, 8, 16), choice(3, 5))),
        repeat(Residual(choice(8, 16, 32)), choice(0, 1, 2)),
        GlobalAverage(),
    ),
    10,
)
BUDGET = Budget(params="6k")
RECIPES = RecipeSpace.of(epochs=2, lr=[0.1, 0.2])
OPEN_RECIPES = RecipeSpace.of(epochs=2, lr=Range(0.01, 1.0, log=True), dropout=[0.0, 0.1])


def trial_of(proposal, number, state=TrialState.COMPLETED, accuracy=None):
    """What the store would hold of a proposal that scored by a known function of its cost."""
    price = cost(proposal.architecture)
    return Trial(
        trial=number + 1,
        run="r",
        number=number,
        state=state,
        fingerprint=proposal.architecture.fingerprint,
        architecture=proposal.architecture.to_json(),
        choices=proposal.choices,
        recipe=proposal.recipe.to_json(),
        seed=0,
        **price.to_json(),
        val_accuracy=min(1.0, price.params / 20_000) if accuracy is None else accuracy,
    )


EMPTY = History()


def run(searcher, trials, seed=0, history=EMPTY):
    """Ask and finish ``trials`` times, or until there is nothing left."""
    for number in range(len(history), trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        if proposal is None:
            break
        history = History((*history.trials, trial_of(proposal, number)))
    return history


def keys(history):
    return [(trial.fingerprint, Recipe.from_json(trial.recipe)) for trial in history]


@pytest.fixture(params=sorted(SEARCHERS))
def searcher(request):
    return SEARCHERS[request.param](ConstrainedSpace(SPACE, BUDGET), RECIPES)


def test_every_proposal_is_inside_the_budget_and_new(searcher):
    history = run(searcher, 30)
    assert len(history) == 30
    assert all(trial.params <= 6000 for trial in history)
    assert len(set(keys(history))) == 30


def test_the_choices_lead_to_the_architecture(searcher):
    for trial in run(searcher, 15):
        assert SPACE.architecture(trial.choices).fingerprint == trial.fingerprint


def test_the_same_seed_proposes_the_same(searcher):
    assert keys(run(searcher, 20, seed=3)) == keys(run(searcher, 20, seed=3))


def test_a_searcher_keeps_no_state_of_its_own(searcher):
    whole = run(searcher, 24)
    again = type(searcher)(searcher.sieve, searcher.recipes)
    resumed = run(again, 24, history=History(whole.trials[:13]))
    assert keys(resumed) == keys(whole)


def test_it_ends_when_everything_has_been_tried(searcher):
    pairs = 2 * sum(1 for _ in walk(searcher.sieve))
    history = run(searcher, 10 * pairs)
    assert len(set(keys(history))) == len(history) == pairs
    assert history.fingerprints == {architecture.fingerprint for _, architecture in walk(searcher.sieve)}


def test_no_architecture_twice_before_each_has_been_tried(searcher):
    if searcher.__class__.__name__ == "Grid":
        pytest.skip("a grid walks the recipes of an architecture before the next")
    feasible = sum(1 for _ in walk(searcher.sieve))
    assert len(run(searcher, feasible).fingerprints) == feasible


@pytest.mark.parametrize("limit", [Budget(params="1100"), Budget(macs="20k")])
def test_nothing_outside_is_proposed_where_the_history_has_it(searcher, limit):
    """As when trials ran out of memory since, or an earlier run had a wider budget: until nothing is left."""
    recipes = RECIPES if searcher.__class__.__name__ == "Grid" else OPEN_RECIPES  # a grid has no ranges
    wide = run(type(searcher)(searcher.sieve, recipes), 50)
    tight = type(searcher)(ConstrainedSpace(SPACE, limit), recipes)
    fit = {architecture.fingerprint for _, architecture in walk(tight.sieve)}
    assert 0 < len(fit) < len({architecture.fingerprint for _, architecture in walk(searcher.sieve)})
    later = run(tight, len(wide) + 30, history=wide)
    assert {trial.fingerprint for trial in later.trials[len(wide) :]} <= fit <= later.fingerprints


def test_it_copes_with_failed_running_and_foreign_trials(searcher):
    history = run(searcher, 14)
    states = [TrialState.FAILED, TrialState.RUNNING, TrialState.QUEUED, TrialState.STOPPED_EARLY]
    trials = [replace(t, state=states[i % 4], val_accuracy=None) if i % 3 == 0 else t for i, t in enumerate(history)]
    proposal = searcher.ask(History(tuple(trials)), random.Random(0))
    assert proposal is not None
    assert proposal.architecture.fingerprint not in history.fingerprints or searcher.__class__.__name__ == "Grid"


@pytest.mark.parametrize("name", [name for name in sorted(SEARCHERS) if name != "grid"])
def test_ranges_are_drawn_from_inside(name):
    history = run(SEARCHERS[name](ConstrainedSpace(SPACE, BUDGET), OPEN_RECIPES), 20)
    rates = [trial.recipe["lr"] for trial in history]
    assert all(0.01 <= rate <= 1.0 for rate in rates)
    assert len(set(rates)) > 10
    assert {trial.recipe["dropout"] for trial in history} == {0.0, 0.1}


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "evolution", "nsga2"])
@pytest.mark.parametrize("ways", [Range(2, 9), Range(1, 12, log=True)])
def test_whole_numbers_are_tried_to_the_last_one(name, ways):
    space = Space((1, 8, 8), (Conv(choice(4, 8)), GlobalAverage()), 10)
    recipes = RecipeSpace.of(epochs=2, batch_size=ways)
    history = run(SEARCHERS[name](ConstrainedSpace(space), recipes), 1000)
    assert len(set(keys(history))) == len(history) == 2 * (ways.high - ways.low + 1)


def test_the_grid_is_exactly_the_grid():
    space = Space((1, 8, 8), (choice(Conv(choice(4, 8, 16)), ConvPool(4, choice(3, 5))), GlobalAverage()), 10)
    history = run(SEARCHERS["grid"](ConstrainedSpace(space), RecipeSpace.of(epochs=1)), 100)
    assert len(history) == 5
    assert [trial.fingerprint for trial in history] == [a.fingerprint for _, a in walk(ConstrainedSpace(space))]


def test_tpe_learns_where_the_good_ones_are():
    """On a space of thousands, where wide networks are good, TPE's later proposals beat random ones."""
    stages = tuple(stage(["conv-pool", "residual"], [1, 2], [8, 16, 24, 32], halve=i < 2) for i in range(3))
    sieve = ConstrainedSpace(Space((1, 8, 8), (*stages, GlobalAverage()), 10), Budget(params="20k", macs="1M"))

    def late(name, seed):
        history = History()
        for number in range(40):
            proposal = SEARCHERS[name](sieve, RECIPES).ask(history, random.Random(f"{seed}/{number}"))
            score = sum(block.width for block in proposal.architecture.blocks if hasattr(block, "width")) / 1000
            history = History((*history.trials, trial_of(proposal, number, accuracy=score)))
        return sum(trial.val_accuracy for trial in history.trials[20:])

    assert sum(late("tpe", seed) > late("random", seed) for seed in range(4)) == 4


def test_a_proposal_with_impossible_values_is_refused():
    proposal = SEARCHERS["random"](ConstrainedSpace(SPACE), RECIPES).ask(EMPTY, random.Random(0))
    for field, value in [("architecture", proposal.architecture.to_json()), ("choices", {"1": 0.5})]:
        with pytest.raises(TypeError):
            replace(proposal, **{field: value})
    with pytest.raises(ValueError, match=r"choices\['1'\] must be at least 0, but got -1"):
        replace(proposal, choices={"1": -1})
    other = Space((1, 8, 8), (Conv(choice(5, 7)), GlobalAverage()), 10)
    with pytest.raises(ValueError, match="must be a point of the space"):
        SEARCHERS["random"](ConstrainedSpace(other), RECIPES).propose(proposal.architecture, proposal.recipe)
