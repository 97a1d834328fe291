"""Initial designs by name, from files and as architectures; several objectives; errors of both."""

import json
import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsieve.results.database.records import History, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.searchers.evolution import NSGA2, crowding, survivors
from archsieve.search.searchers.gaussian_process import GaussianProcess
from archsieve.search.searchers.optuna_samplers import sampler_searcher
from archsieve.search.searchers.registry import make_searcher
from archsieve.search.searchers.search_plan import SearchPlan
from archsieve.search.searchers.tpe import TPE
from archsieve.search.searchers.uninformed import Grid
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost, layer_costs
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.constrained.sampling import sample_one
from archsieve.spaces.recipes.recipe import Recipe

from ..conftest import small
from .test_searchers import BUDGET, OPEN_RECIPES, RECIPES, SPACE, keys, run, trial_of

CONSTRAINED = ConstrainedSpace(SPACE, BUDGET)


def designs(count, seed=1):
    """Return ``count`` different random designs inside the budget."""
    rng, designs_by_fingerprint = random.Random(seed), {}
    while len(designs_by_fingerprint) < count:
        design = sample_one(CONSTRAINED, rng)
        designs_by_fingerprint.setdefault(design.fingerprint, design)
    return list(designs_by_fingerprint.values())


def plan(name, initial_designs):
    """Return a search plan of the initial designs and the searcher called ``name``."""
    return SearchPlan(
        lambda constrained: make_searcher(name, constrained, RECIPES), CONSTRAINED, RECIPES, designs=initial_designs
    )


@pytest.mark.parametrize("name", ["grid", "random", "tpe", "gp"])
def test_initial_designs_are_proposed_first_in_order_and_not_again(name):
    initial_designs = designs(3)
    history = run(plan(name, initial_designs), 15)
    assert [trial.fingerprint for trial in history.trials[:3]] == [design.fingerprint for design in initial_designs]
    assert len(set(keys(history))) == 15


def test_a_grid_after_initial_designs_is_complete():
    history = run(plan("grid", designs(4)), 10_000)
    assert sorted(keys(history), key=str) == sorted(keys(run(Grid(CONSTRAINED, RECIPES), 10_000)), key=str)


def test_an_initial_design_outside_the_space_or_budget_is_an_error():
    with pytest.raises(ValueError, match=r"conv 5 > global-average .* the space 'custom'"):
        plan("random", [Architecture((1, 8, 8), (Conv(5), GlobalAverage()), 10)])
    large = next(one for _, one in walk(ConstrainedSpace(SPACE)) if cost(one).params > 6000)
    with pytest.raises(BudgetError, match=r"outside the budget: params .* > 6,000"):
        plan("random", [large])


def test_designs_given_as_files_are_inlined(tmp_path):
    default_experiment = small()
    first, second = (one for _, (_, one) in zip(range(2), walk(default_experiment.constrained), strict=False))
    path = tmp_path / "net.json"
    path.write_text(json.dumps(first.to_json()))
    experiment = small(search={"start_from": [str(path), second]})
    inlined = experiment.to_json()["search"]["start_from"]
    path.unlink()  # a resumed run does not need it
    assert [Architecture.from_json(one).fingerprint for one in inlined] == [first.fingerprint, second.fingerprint]
    with pytest.raises(ValueError, match=r"search\.start_from: .*net\.json: the file must exist"):
        small(search={"start_from": [str(path)]})
    with pytest.raises(ValueError, match=r"search\.start_from: resnet20-cifar .* the space"):
        small(search={"start_from": ["resnet20-cifar"]})
    with pytest.raises(ValueError, match=r"did you mean 'resnet20-cifar'"):
        small(search={"start_from": ["resnet20-cifra"]})


@pytest.mark.parametrize("name", ["gp", "nsga2"])
def test_only_gp_and_nsga2_accept_several_objectives(name):
    assert small(search={"searcher": name, "objectives": ["accuracy", "macs"]}).searcher(CONSTRAINED).objectives == (
        "val_accuracy",
        "macs",
    )
    with pytest.raises(ValueError, match=r"search\.objectives.*val_accuracy.*tpe.*\['val_accuracy', 'macs'\].*\"gp\""):
        small(search={"searcher": "tpe", "objectives": ["val_accuracy", "macs"]})
    with pytest.raises(ValueError, match=r"search\.objectives: unknown objective 'mac'; did you mean 'macs'"):
        small(search={"searcher": name, "objectives": ["val_accuracy", "mac"]})
    with pytest.raises(ValueError, match=r"search\.objectives.*\['macs', 'macs'\]"):
        small(search={"searcher": name, "objectives": ["macs", "macs"]})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=12, max_size=40))
def test_no_rejected_trial_dominates_a_survivor(accuracies):
    proposals = list(run(make_searcher("random", CONSTRAINED, RECIPES), len(accuracies)))
    trials = [
        trial_of(
            NSGA2(CONSTRAINED, RECIPES).propose(SPACE.architecture(t.choices), Recipe()), t.number, accuracy=accuracy
        )
        for t, accuracy in zip(proposals, accuracies, strict=True)
    ]
    chosen = survivors(trials, ("val_accuracy", "macs"), most=10)
    assert len({trial.trial for trial in chosen}) == 10
    best = chosen[0]
    assert not any(other.val_accuracy >= best.val_accuracy and other.macs < best.macs for other in trials)
    rejected = [trial for trial in trials if trial.trial not in {survivor.trial for survivor in chosen}]
    for survivor in chosen:
        assert not any(o.val_accuracy > survivor.val_accuracy and o.macs < survivor.macs for o in rejected)


def test_the_ends_of_a_front_have_infinite_crowding_distance():
    trials = [
        trial_of(make_searcher("grid", CONSTRAINED, RECIPES).propose(one, Recipe()), n)
        for n, one in enumerate(designs(6))
    ]
    distance = crowding(trials, ("macs",))
    order = sorted(trials, key=lambda trial: (trial.macs, trial.trial))
    assert distance[order[0].trial] == distance[order[-1].trial] == float("inf")
    assert sum(distance[trial.trial] for trial in order[1:-1]) <= 2.0 + 1e-9


@pytest.mark.parametrize("build", [TPE, GaussianProcess, Grid, partial(sampler_searcher, "optuna:NSGAIISampler")])
def test_the_caches_of_a_searcher_change_no_proposal(build):
    """A searcher that saw the history grow, with trials ending late and out of order, agrees with a new one."""
    recipes = RECIPES if build is Grid else OPEN_RECIPES
    searcher, history = build(CONSTRAINED, recipes), History()
    for number in range(26):
        seed = f"x/{number}"
        proposal = searcher.ask(history, random.Random(seed))
        assert proposal.key == build(CONSTRAINED, recipes).ask(history, random.Random(seed)).key
        trial = trial_of(proposal, number, TrialState.RUNNING)
        updated = [ended(t) if t.number % 3 == 0 or t.number < number - 3 else t for t in history]
        history = History((*updated, trial))


def ended(trial):
    """Return the trial in its final state; every fifth trial failed."""
    from dataclasses import replace

    state = TrialState.FAILED if trial.number % 5 == 0 else TrialState.COMPLETED
    return replace(trial, state=state)


def test_a_history_extended_step_by_step_equals_one_read_in_full(tmp_path):
    with open_store(tmp_path / "a.db", create=True) as store:
        run_id = store.create_run("r", {}, "random", 0, {"content_hash": "x", "name": "x"}, {})
        history, searcher = History(), make_searcher("random", CONSTRAINED, RECIPES)
        for number in range(12):
            proposal = searcher.ask(history, random.Random(number))
            architecture = proposal.architecture
            store.propose(
                run_id,
                architecture=architecture.to_json(),
                fingerprint=architecture.fingerprint,
                cost=cost(architecture).to_json(),
                layers=[row.to_json() for row in layer_costs(architecture)],
                choices=proposal.choices,
                recipe=proposal.recipe.to_json(),
                seed=number,
            )
            if number % 4 == 3:  # trials end late, and not in order
                state = TrialState.COMPLETED
                store.finish(history.unfinished[-1].trial, state, summary={"epochs_done": 1, "val_accuracy": 0.5})
            history = store.history(run_id, history)
            assert history == store.history(run_id)
        assert len(history.finished) == 3
