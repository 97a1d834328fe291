"""A limit of latency that gp learns to keep from timed trials, where latency does not add up over the layers."""

import random
from dataclasses import replace

import numpy as np
import pytest

from archsieve.models.profiling.latency_predictor import LatencyPredictor
from archsieve.results.database.latency_records import record_calibration
from archsieve.results.database.records import History
from archsieve.results.database.store import open_store
from archsieve.search.experiment.stored_settings import stored_settings
from archsieve.search.runs.latency_calibration import UNCERTAIN, add_latency_model, spread_of, spread_text
from archsieve.search.searchers.candidate_pool import CandidatePool
from archsieve.search.searchers.features import ScaledFeatures
from archsieve.search.searchers.gaussian_process import GaussianProcess
from archsieve.search.searchers.latency_feasibility import LATENCY_MARGIN, LatencyFeasibility, likely_first
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage
from archsieve.spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.parameters.domains import choice
from archsieve.spaces.recipes.recipe import RecipeSpace
from archsieve.spaces.search_space.space import Space

from ..conftest import small
from .test_searchers import keys, trial_of

KIND = {"convolution layers": 1e5, "convolution numbers": 10.0, "convolution macs": 3.0}
PREDICTOR = LatencyPredictor({"start": 1e5, **KIND})
RECIPES = RecipeSpace.of(epochs=2)
CONV = choice(Conv(choice(8, 16, 32)), ConvPool(choice(8, 16, 32)))
SPACE = Space((3, 16, 16), (CONV, CONV, CONV, GlobalAverage()), 10)
LIMIT_MS = 2.0


def latency_ms(architecture):
    """Return a measured latency: half more than predicted with a ConvPool, a fifth less without one."""
    pooled = any(block.kind == "conv-pool" for block in architecture.blocks)
    return PREDICTOR.latency_ms(architecture) * (1.5 if pooled else 0.8)


def constrained(margin=LATENCY_MARGIN):
    return ConstrainedSpace(SPACE, Budget(latency_ms=margin * LIMIT_MS), latency_model=PREDICTOR)


def search(trials, limit_ms, seed=0, history=None):
    searcher, history = GaussianProcess(constrained(), RECIPES, latency_limit_ms=limit_ms), history or History()
    for number in range(len(history), trials):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        trial = replace(trial_of(proposal, number), latency_ms=latency_ms(proposal.architecture))
        history = History((*history.trials, trial))
    return history


@pytest.fixture(scope="module")
def learned():
    return search(24, LIMIT_MS)


def n_outside(history):
    return sum(trial.latency_ms > LIMIT_MS for trial in history)


def test_fewer_trials_are_outside_than_without_learning(learned):
    blind = search(24, None)
    assert n_outside(learned) <= 0.5 * n_outside(blind)
    assert n_outside(History(learned.trials[12:])) <= 2
    # networks that the prediction alone would exclude
    assert any(
        PREDICTOR.latency_ms(SPACE.architecture(trial.choices)) > LIMIT_MS >= trial.latency_ms for trial in learned
    )


def test_the_same_seed_and_a_resume_give_the_same_proposals(learned):
    assert keys(search(24, LIMIT_MS, history=History(learned.trials[:18]))) == keys(learned)


def test_the_probability_follows_the_prediction_and_then_the_measurements(learned):
    pool = CandidatePool(constrained())
    features, feasibility = ScaledFeatures(pool, RECIPES), LatencyFeasibility(pool, LIMIT_MS)
    codes = pool.draw(500, random.Random(0))
    networks = [pool.architecture(code) for code in codes]
    predicted = np.array([PREDICTOR.latency_ms(one) for one in networks])
    first = feasibility.of(codes, History(learned.trials[:3]), features)
    assert ((first >= 0.5) == (predicted <= LIMIT_MS)).all()
    inside = np.array([latency_ms(one) <= LIMIT_MS for one in networks])
    then = feasibility.of(codes, learned, features)
    assert ((then >= 0.5) == inside).mean() > max(0.85, ((first >= 0.5) == inside).mean())


def test_a_trial_that_was_not_timed_does_not_keep_the_limit(learned):
    feasibility = LatencyFeasibility(CandidatePool(constrained()), LIMIT_MS)
    trial = replace(learned.trials[0], latency_ms=LIMIT_MS)
    assert feasibility.meets_limit(trial)
    assert not feasibility.meets_limit(replace(trial, latency_ms=None))


def test_likely_candidates_come_first():
    scores, probability = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.1, 0.95, 0.99, 0.99])
    assert likely_first(scores, probability) == [2, 3, 1, 0]


@pytest.mark.parametrize(
    ("searcher", "latency", "margin"),
    [("gp", {}, LATENCY_MARGIN), ("gp", {"feasibility": "predicted"}, 1.0), ("tpe", {}, 1.0)],
)
def test_only_a_searcher_that_learns_gets_a_margin(tmp_path, searcher, latency, margin):
    experiment = small(budget={"latency_ms": 5.0}, search={"searcher": searcher}, latency=latency)
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        data = {"content_hash": "d", "name": "digits"}
        run_id = store.create_run("run", experiment.to_json(), searcher, 0, data, {})
        record_calibration(store, run_id, [], {"weights": PREDICTOR.to_json(), "n": 5, "machine": "m"})
        space = add_latency_model(experiment, store, run_id, should_continue=lambda: True)
    assert space.budget.latency_ms == 5.0 * margin
    assert experiment.learned_limit_ms == (5.0 if margin > 1 else None)


@pytest.mark.parametrize(
    ("share", "factor", "outcome"),
    [
        (0.7, 1.5, "wider"),
        (0.7, 1.2, "1.20.*load of 2.0"),
        (0.7, None, "latency_ms <= "),
        (1.01, 1.5, "kept"),
    ],
)
def test_a_limit_is_infeasible_only_if_the_calibration_shows_it(tmp_path, share, factor, outcome):
    lowest = min(PREDICTOR.latency_ms(one) for _, one in walk(small().constrained))
    limit = share * lowest
    experiment = small(budget={"latency_ms": limit})
    spread = {"error": 0.1, "noise": 0.05, "load_per_core": 2.0, "factor": factor}
    detail = {"weights": PREDICTOR.to_json(), "n": 5, "machine": "m", **({"spread": spread} if factor else {})}
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        data = {"content_hash": "d", "name": "digits"}
        run_id = store.create_run("run", experiment.to_json(), "random", 0, data, {})
        record_calibration(store, run_id, [], detail)
        if outcome not in ("wider", "kept"):
            with pytest.raises(BudgetError, match=outcome):
                add_latency_model(experiment, store, run_id, should_continue=lambda: True)
            return
        for _ in range(2):  # a resumed run has the same space, and one warning
            space = add_latency_model(experiment, store, run_id, should_continue=lambda: True)
        warnings = [event["detail"] for event in store.events(run_id, UNCERTAIN)]
    assert space.budget.latency_ms == pytest.approx(limit * (factor if outcome == "wider" else 1))
    assert [row["load_per_core"] for row in warnings] == ([2.0] if outcome == "wider" else [])


def test_the_spread_of_a_calibration_has_its_error_its_noise_and_the_load():
    rows = [{"latency_ms_p50": 2.0, "latency_ms_p90": 2.2, "load_per_core": load} for load in (0.5, 3.0, 4.0)]
    spread = spread_of(rows, [2.5, 1.0, None])
    assert spread["factor"] == pytest.approx(1.25 * 1.1 * 3)
    assert "factor of 4.12" in spread_text(spread)
    idle = spread_of([{"latency_ms_p50": 2.0, "latency_ms_p90": 2.0, "load_per_core": 0.2}] * 2, [1.0, 1.0])
    assert idle["factor"] == 1.0  # what is predicted too fast is no reason
    device = spread_of([{"latency_ms_p50": 2.0, "latency_ms_p90": 2.0}], [None])
    assert (device["factor"], device["load_per_core"]) == (1.0, None)
    assert "load" not in spread_text(device)


def test_stored_runs_of_earlier_versions_go_by_the_prediction():
    assert stored_settings({"search": {}})["latency"]["feasibility"] == "predicted"
    assert stored_settings(small().to_json())["latency"]["feasibility"] == "learned"
