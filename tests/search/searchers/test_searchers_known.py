"""Known designs first, by name, from a file or as architectures; several objectives; what cannot work is said."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsieve.results.database.records import History, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.searchers.evolution import NSGA2, crowding, survivors
from archsieve.search.searchers.gaussian_process import GaussianProcess
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

SIEVE = ConstrainedSpace(SPACE, BUDGET)


def designs(count, seed=1):
    rng, found = random.Random(seed), {}
    while len(found) < count:
        one = sample_one(SIEVE, rng)
        found.setdefault(one.fingerprint, one)
    return list(found.values())


def plan(name, known):
    """The designs first, then the searcher of that name."""
    return SearchPlan(lambda sieve: make_searcher(name, sieve, RECIPES), SIEVE, RECIPES, designs=known)


@pytest.mark.parametrize("name", ["grid", "random", "tpe", "gp"])
def test_known_designs_come_first_in_order_and_count_as_tried(name):
    known = designs(3)
    history = run(plan(name, known), 15)
    assert [trial.fingerprint for trial in history.trials[:3]] == [one.fingerprint for one in known]
    assert len(set(keys(history))) == 15


def test_a_grid_behind_known_designs_is_still_the_whole_grid():
    history = run(plan("grid", designs(4)), 10_000)
    assert sorted(keys(history), key=str) == sorted(keys(run(Grid(SIEVE, RECIPES), 10_000)), key=str)


def test_a_design_outside_is_refused_by_name():
    with pytest.raises(ValueError, match=r"conv 5 > global-average is no point of the space 'custom'"):
        plan("random", [Architecture((1, 8, 8), (Conv(5), GlobalAverage()), 10)])
    large = next(one for _, one in walk(ConstrainedSpace(SPACE)) if cost(one).params > 6000)
    with pytest.raises(BudgetError, match=r"is outside the budget: params .* > 6,000"):
        plan("random", [large])


def test_a_search_file_names_designs_by_file_and_keeps_what_they_say(tmp_path):
    plain = small()
    first, second = (one for _, (_, one) in zip(range(2), walk(plain.sieve), strict=False))
    path = tmp_path / "net.json"
    path.write_text(json.dumps(first.to_json()))
    found = small(search={"start_from": [str(path), second]})
    kept = found.to_json()["search"]["start_from"]
    path.unlink()  # a resumed run does not need it
    assert [Architecture.from_json(one).fingerprint for one in kept] == [first.fingerprint, second.fingerprint]
    with pytest.raises(ValueError, match=r"net\.json: there is no such file"):
        small(search={"start_from": [str(path)]})
    with pytest.raises(ValueError, match=r"start_from: resnet20-cifar is no point of the space"):
        small(search={"start_from": ["resnet20-cifar"]})
    with pytest.raises(ValueError, match=r"did you mean 'resnet20-cifar'"):
        small(search={"start_from": ["resnet20-cifra"]})


def test_objectives_are_for_nsga2():
    with pytest.raises(ValueError, match="tpe maximises val_accuracy alone"):
        small(search={"searcher": "tpe", "objectives": ["val_accuracy", "macs"]})
    with pytest.raises(ValueError, match=r"search\.objectives: unknown objective 'mac'; did you mean 'macs'"):
        small(search={"searcher": "nsga2", "objectives": ["val_accuracy", "mac"]})
    with pytest.raises(ValueError, match="must be different ones"):
        small(search={"searcher": "nsga2", "objectives": ["macs", "macs"]})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=12, max_size=40))
def test_the_survivors_begin_with_the_front(accuracies):
    proposals = list(run(make_searcher("random", SIEVE, RECIPES), len(accuracies)))
    trials = [
        trial_of(NSGA2(SIEVE, RECIPES).propose(SPACE.architecture(t.choices), Recipe()), t.number, accuracy=accuracy)
        for t, accuracy in zip(proposals, accuracies, strict=True)
    ]
    chosen = survivors(trials, ("val_accuracy", "macs"), most=10)
    assert len({trial.trial for trial in chosen}) == 10
    best = chosen[0]
    assert not any(other.val_accuracy >= best.val_accuracy and other.macs < best.macs for other in trials)
    left = [trial for trial in trials if trial.trial not in {one.trial for one in chosen}]
    for one in chosen:  # nothing that is left beats what was chosen
        assert not any(o.val_accuracy > one.val_accuracy and o.macs < one.macs for o in left)


def test_the_ends_of_a_front_have_most_room():
    trials = [
        trial_of(make_searcher("grid", SIEVE, RECIPES).propose(one, Recipe()), n) for n, one in enumerate(designs(6))
    ]
    room = crowding(trials, ("macs",))
    order = sorted(trials, key=lambda trial: (trial.macs, trial.trial))
    assert room[order[0].trial] == room[order[-1].trial] == float("inf")
    assert sum(room[trial.trial] for trial in order[1:-1]) <= 2.0 + 1e-9


@pytest.mark.parametrize("build", [TPE, GaussianProcess, Grid])
def test_what_a_searcher_keeps_changes_nothing(build):
    """One that saw the history grow, with trials ending late and out of order, agrees with one made anew."""
    recipes = RECIPES if build is Grid else OPEN_RECIPES
    kept, history = build(SIEVE, recipes), History()
    for number in range(26):
        rng = f"x/{number}"
        proposal = kept.ask(history, random.Random(rng))
        assert proposal.key == build(SIEVE, recipes).ask(history, random.Random(rng)).key
        trial = trial_of(proposal, number, TrialState.RUNNING)
        ended = [trial_of_again(t) if t.number % 3 == 0 or t.number < number - 3 else t for t in history]
        history = History((*ended, trial))


def trial_of_again(trial):
    """The trial as it ended; every fifth failed."""
    from dataclasses import replace

    state = TrialState.FAILED if trial.number % 5 == 0 else TrialState.COMPLETED
    return replace(trial, state=state)


def test_a_history_read_in_parts_is_the_history(tmp_path):
    with open_store(tmp_path / "a.db", create=True) as store:
        run_id = store.create_run("r", {}, "random", 0, {"content_hash": "x", "name": "x"}, {})
        known, searcher = History(), make_searcher("random", SIEVE, RECIPES)
        for number in range(12):
            proposal = searcher.ask(known, random.Random(number))
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
                store.finish(known.unfinished[-1].trial, state, summary={"epochs_done": 1, "val_accuracy": 0.5})
            known = store.history(run_id, known)
            assert known == store.history(run_id)
        assert len(known.finished) == 3
