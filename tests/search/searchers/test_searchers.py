"""The contract of searchers, tested with every searcher of the registry."""

import random
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import pytest

from archsieve.results.database.records import History, Trial, TrialState
from archsieve.search.searchers.gaussian_process import GaussianProcess
from archsieve.search.searchers.optuna_samplers import sampler_searcher
from archsieve.search.searchers.ranking import score
from archsieve.search.searchers.registry import SEARCHERS, make_searcher
from archsieve.search.searchers.uninformed import RandomSearch
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.architectures.device_cost import device_cost
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.metrics.selection import Selection
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
    """Return the record of a proposal; by default its accuracy is a known function of its parameters."""
    costs = cost(proposal.architecture)
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
        **costs.to_json(),
        val_accuracy=min(1.0, costs.params / 20_000) if accuracy is None else accuracy,
        epochs_done=proposal.recipe.epochs,
        duration_s=1 + costs.macs / 1e5,
    )


EMPTY = History()


def run(searcher, trials, seed=0, history=EMPTY):
    """Extend ``history`` to ``trials`` completed trials, or until the searcher has no proposal left."""
    for number in range(len(history), trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        if proposal is None:
            break
        history = History((*history.trials, trial_of(proposal, number)))
    return history


def keys(history):
    return [(trial.fingerprint, Recipe.from_json(trial.recipe)) for trial in history]


BUILD = {
    **SEARCHERS,
    "gp of two objectives": partial(GaussianProcess, objectives=("val_accuracy", "macs")),
    "gp per second": partial(GaussianProcess, per_second=True),
}
if find_spec("cmaes") is not None:  # an extra
    BUILD["optuna:CmaEsSampler"] = partial(sampler_searcher, "optuna:CmaEsSampler")


@pytest.fixture(params=sorted(BUILD))
def build(request):
    return BUILD[request.param]


@pytest.fixture
def searcher(build):
    return build(ConstrainedSpace(SPACE, BUDGET), RECIPES)


def test_every_proposal_is_inside_the_budget_and_new(searcher):
    history = run(searcher, 30)
    assert len(history) == 30
    assert all(trial.params <= 6000 for trial in history)
    assert len(set(keys(history))) == 30


def test_every_proposal_fits_the_device(build):
    sizes = [device_cost(architecture, "int8") for _, architecture in walk(ConstrainedSpace(SPACE))]
    ram, flash = (sorted(values)[len(values) // 2] for values in zip(*sizes, strict=True))
    limited = ConstrainedSpace(SPACE, Budget(ram=ram, flash=flash, precision="int8"))
    n_fitting = sum(1 for _ in walk(limited))
    history = run(build(limited, RecipeSpace.of(epochs=2)), 20)
    assert len(history.fingerprints) == len(history) == min(20, n_fitting)
    for trial in history:
        cost = device_cost(SPACE.architecture(trial.choices), "int8")
        assert cost.ram_bytes <= ram
        assert cost.flash_bytes <= flash


def test_the_choices_give_the_architecture(searcher):
    for trial in run(searcher, 15):
        assert SPACE.architecture(trial.choices).fingerprint == trial.fingerprint


def test_the_same_seed_gives_the_same_proposals(searcher):
    assert keys(run(searcher, 20, seed=3)) == keys(run(searcher, 20, seed=3))


def test_a_new_searcher_continues_a_history_like_the_old_one(build, searcher):
    uninterrupted = run(searcher, 24)
    new_searcher = build(searcher.constrained, searcher.recipes)
    resumed = run(new_searcher, 24, history=History(uninterrupted.trials[:13]))
    assert keys(resumed) == keys(uninterrupted)


# slow for the searchers with the same code as another one: "gp" and "tpe" stay quick
@pytest.mark.parametrize(
    "build",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in SEARCHERS)) for name in sorted(BUILD)],
    indirect=True,
)
def test_a_searcher_ends_after_every_pair_was_tried(searcher):
    pairs = 2 * sum(1 for _ in walk(searcher.constrained))
    history = run(searcher, 10 * pairs)
    assert len(set(keys(history))) == len(history) == pairs
    assert history.fingerprints == {architecture.fingerprint for _, architecture in walk(searcher.constrained)}


def test_no_architecture_is_repeated_before_each_was_tried(searcher):
    if searcher.__class__.__name__ == "Grid":
        pytest.skip("a grid proposes all recipes of an architecture before the next architecture")
    feasible = sum(1 for _ in walk(searcher.constrained))
    assert len(run(searcher, feasible).fingerprints) == feasible


@pytest.mark.parametrize("limit", [Budget(params="1100"), Budget(macs="20k")])
def test_proposals_stay_inside_a_budget_that_the_history_exceeds(build, searcher, limit):
    """Out-of-memory failures lower the budget during a run, and an earlier run may have had a wider budget."""
    recipes = RECIPES if searcher.__class__.__name__ == "Grid" else OPEN_RECIPES  # a grid has no ranges
    wide_history = run(build(searcher.constrained, recipes), 50)
    tight_searcher = build(ConstrainedSpace(SPACE, limit), recipes)
    feasible = {architecture.fingerprint for _, architecture in walk(tight_searcher.constrained)}
    assert 0 < len(feasible) < len({architecture.fingerprint for _, architecture in walk(searcher.constrained)})
    history = run(tight_searcher, len(wide_history) + 30, history=wide_history)
    assert {trial.fingerprint for trial in history.trials[len(wide_history) :]} <= feasible <= history.fingerprints


def test_searchers_accept_trials_in_every_state(searcher):
    history = run(searcher, 14)
    states = [TrialState.FAILED, TrialState.RUNNING, TrialState.QUEUED, TrialState.STOPPED_EARLY]
    trials = [replace(t, state=states[i % 4], val_accuracy=None) if i % 3 == 0 else t for i, t in enumerate(history)]
    proposal = searcher.ask(History(tuple(trials)), random.Random(0))
    assert proposal is not None
    assert proposal.architecture.fingerprint not in history.fingerprints or searcher.__class__.__name__ == "Grid"


@pytest.mark.parametrize("name", [name for name in sorted(BUILD) if name != "grid"])
def test_values_of_ranges_are_inside_the_range(name):
    history = run(BUILD[name](ConstrainedSpace(SPACE, BUDGET), OPEN_RECIPES), 20)
    rates = [trial.recipe["lr"] for trial in history]
    assert all(0.01 <= rate <= 1.0 for rate in rates)
    assert len(set(rates)) > 10
    assert {trial.recipe["dropout"] for trial in history} == {0.0, 0.1}


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "evolution", "nsga2"])
@pytest.mark.parametrize("batch_sizes", [Range(2, 9), Range(1, 12, log=True)])
def test_every_value_of_an_integer_range_is_tried(name, batch_sizes):
    space = Space((1, 8, 8), (Conv(choice(4, 8)), GlobalAverage()), 10)
    recipes = RecipeSpace.of(epochs=2, batch_size=batch_sizes)
    history = run(SEARCHERS[name](ConstrainedSpace(space), recipes), 1000)
    assert len(set(keys(history))) == len(history) == 2 * (batch_sizes.high - batch_sizes.low + 1)


def test_a_grid_proposes_each_architecture_once_in_order():
    space = Space((1, 8, 8), (choice(Conv(choice(4, 8, 16)), ConvPool(4, choice(3, 5))), GlobalAverage()), 10)
    history = run(SEARCHERS["grid"](ConstrainedSpace(space), RecipeSpace.of(epochs=1)), 100)
    assert len(history) == 5
    assert [trial.fingerprint for trial in history] == [a.fingerprint for _, a in walk(ConstrainedSpace(space))]


def test_later_proposals_of_tpe_are_better_than_random_ones():
    """The space has thousands of architectures, and wide networks are good."""
    stages = tuple(stage(["conv-pool", "residual"], [1, 2], [8, 16, 24, 32], halve=i < 2) for i in range(3))
    constrained = ConstrainedSpace(Space((1, 8, 8), (*stages, GlobalAverage()), 10), Budget(params="20k", macs="1M"))

    def sum_of_later_accuracies(name, seed):
        history = History()
        for number in range(40):
            proposal = SEARCHERS[name](constrained, RECIPES).ask(history, random.Random(f"{seed}/{number}"))
            accuracy = sum(block.width for block in proposal.architecture.blocks if hasattr(block, "width")) / 1000
            history = History((*history.trials, trial_of(proposal, number, accuracy=accuracy)))
        return sum(trial.val_accuracy for trial in history.trials[20:])

    assert all(sum_of_later_accuracies("tpe", seed) > sum_of_later_accuracies("random", seed) for seed in range(4))


def test_a_proposal_with_invalid_values_is_an_error():
    proposal = SEARCHERS["random"](ConstrainedSpace(SPACE), RECIPES).ask(EMPTY, random.Random(0))
    for field, value in [("architecture", proposal.architecture.to_json()), ("choices", {"1": 0.5})]:
        with pytest.raises(TypeError):
            replace(proposal, **{field: value})
    with pytest.raises(ValueError, match=r"choices\['1'\].*-1"):
        replace(proposal, choices={"1": -1})
    other = Space((1, 8, 8), (Conv(choice(5, 7)), GlobalAverage()), 10)
    with pytest.raises(ValueError, match="in the space 'custom'"):
        SEARCHERS["random"](ConstrainedSpace(other), RECIPES).propose(proposal.architecture, proposal.recipe)


@pytest.mark.parametrize("name", sorted(SEARCHERS))
def test_a_metric_that_is_minimised_leads_to_the_same_proposals(name):
    """A log loss that falls with the accuracy: the searcher proposes what it proposes by the accuracy."""
    constrained = ConstrainedSpace(SPACE, BUDGET)
    by_accuracy = make_searcher(name, constrained, RECIPES)
    by_loss = make_searcher(name, constrained, RECIPES, selection=Selection.of("log_loss"))
    accuracies = run(by_accuracy, 24)
    losses = History()
    for number in range(24):
        proposal = by_loss.ask(losses, random.Random(f"0/{number}"))
        trial = trial_of(proposal, number)
        loss = {"metric": "log_loss", "metrics": {"log_loss": 1 - trial.val_accuracy}, "minimized": ("log_loss",)}
        losses = History((*losses.trials, replace(trial, val_accuracy=0.5, **loss)))
    assert keys(losses) == keys(accuracies)
    assert losses.best().fingerprint == accuracies.best().fingerprint


def test_scores_of_a_metric_keep_the_order_of_stopped_and_failed_trials():
    proposal = RandomSearch(ConstrainedSpace(SPACE, BUDGET), RECIPES).ask(EMPTY, random.Random(0))

    def with_loss(value, state=TrialState.COMPLETED, epochs=2):
        loss = {"metric": "log_loss", "metrics": {"log_loss": value}, "minimized": ("log_loss",), "epochs_done": epochs}
        return score(replace(trial_of(proposal, 0, state), **loss))

    stopped, failed = TrialState.STOPPED_EARLY, TrialState.FAILED
    ordered = [with_loss(0.1, failed), *(with_loss(loss, stopped, 1) for loss in (1e6, 3.0, 0.1))]
    ordered += [with_loss(1e6, stopped, 2), *(with_loss(loss) for loss in (1e6, 20.0, 0.5, 0.0))]
    assert ordered == sorted(set(ordered))


def test_improvement_per_second_prefers_cheap_trials():
    """The accuracy does not depend on the width or the epochs, which decide the seconds of a trial."""
    recipes = RecipeSpace.of(epochs=[2, 4, 8, 16], lr=Range(0.01, 1.0, log=True))

    def seconds(per_second):
        searcher, history = make_searcher("gp", ConstrainedSpace(SPACE), recipes, per_second=per_second), History()
        for number in range(24):
            proposal = searcher.ask(history, random.Random(number))
            accuracy = 1 - abs(proposal.recipe.lr - 0.1)
            timed = trial_of(proposal, number, accuracy=accuracy)
            time = proposal.recipe.epochs * (1 + timed.macs / 1e5)
            history = History((*history.trials, replace(timed, duration_s=time)))
        return sum(trial.duration_s for trial in history), history

    plain, by_seconds = seconds(per_second=False), seconds(per_second=True)
    assert by_seconds[0] < 0.7 * plain[0]
    assert max(trial.val_accuracy for trial in by_seconds[1]) > 0.97


def test_only_gp_has_an_acquisition():
    with pytest.raises(ValueError, match=r"search.acquisition is for the searcher gp, but the searcher is tpe"):
        make_searcher("tpe", ConstrainedSpace(SPACE), RECIPES, per_second=True)


@pytest.mark.parametrize("name", ["gp", "gp of two objectives"])
def test_many_workers_get_different_proposals_of_which_half_are_large(name):
    def proposals(unfinished):
        searcher, history = BUILD[name](ConstrainedSpace(SPACE, BUDGET), OPEN_RECIPES), History()
        for number in range(24):
            state = TrialState.RUNNING if unfinished else TrialState.COMPLETED
            trial = trial_of(searcher.ask(history, random.Random(number)), number, state)
            history = History((*history.trials, trial))
        return history

    history = proposals(unfinished=True)
    assert len(history.fingerprints) == 24
    assert keys(history) == keys(proposals(unfinished=True))
    assert keys(history)[:3] == keys(proposals(unfinished=False))[:3]  # those of one worker
    blind = [trial.params for trial in history][3:]
    odd, even = blind[::2], blind[1::2]
    if name == "gp":
        assert sum(odd) / len(odd) > 1.2 * sum(even) / len(even)
    else:  # small ones and large ones in turn
        assert max(odd[::2]) < min(odd[1::2])
