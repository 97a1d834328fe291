"""Proxies in a search: every trial scored before it is trained, and a warm-up that trains the best candidates."""

import random
import re
from dataclasses import replace

import pytest

from archsieve.models.data.registry import load_data
from archsieve.models.diagnostics.zero_cost_proxies import probe, proxy_scores
from archsieve.results.database.proxy_records import (
    ScoredArchitecture,
    rank_correlations,
    scores,
    scores_of,
    selected_candidates,
)
from archsieve.results.database.records import History
from archsieve.results.database.store import open_store
from archsieve.search.runs.proxy_warmup import candidates, warn_if_unscored
from archsieve.search.runs.session import resume, search
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.searchers.search_plan import SearchPlan
from archsieve.spaces.architectures.architecture import Architecture

from ..conftest import small

SPACE = {"stem": [8, 16], "stages": [{"block": ["conv-pool", "residual"], "width": [8, 12, 16], "depth": [1, 2]}] * 2}
WARMUP = {"proxy": "synflow", "candidates": 20, "train": 3}


def warm(trials: int):
    settings = {"trials": trials, "warmup": WARMUP, "proxies": ["naswot", "params"]}
    return small(space=SPACE, recipe={"epochs": 1}, search=settings)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, ray_running):
    """Return a run that has trained the designs of its warm-up, and is resumed with more trials."""
    runs = tmp_path_factory.mktemp("runs")
    search(warm(trials=3), name="warm", runs=runs)
    return resume("warm", trials=5, runs=runs)


def test_the_best_candidates_are_trained_first(outcome):
    with open_store(outcome.database, read_only=True) as store:
        scored = scores(store, "warm", "synflow")
        (event,) = (event for event in store.events("warm") if event["kind"] == "warmup_selected")
    assert len(scored) == 20
    assert event["detail"]["candidates"] == event["detail"]["scored"] == 20
    order = sorted(scored, key=lambda fingerprint: -scored[fingerprint])
    assert [trial.fingerprint for trial in outcome.trials[:3]] == order[:3] == event["detail"]["chosen"]
    assert not {trial.fingerprint for trial in outcome.trials[3:]} & set(order[:3])


def test_the_candidates_and_their_scores_come_from_the_seed(outcome):
    drawn = {
        one.fingerprint: one for one in candidates(warm(trials=5).constrained, 20, seed=0, should_continue=lambda: True)
    }
    batch = probe(load_data("digits", limit=300), seed=0)
    expected = {name: proxy_scores(["synflow"], one, batch)["synflow"] for name, one in drawn.items()}
    with open_store(outcome.database, read_only=True) as store:
        assert scores(store, "warm", "synflow") == pytest.approx(expected, rel=1e-9)


def test_the_scores_of_every_trial_match_the_proxies(outcome):
    trained = load_data("digits", limit=300)
    with open_store(outcome.database, read_only=True) as store:
        for trial in outcome.trials:
            architecture = Architecture.from_json(trial.architecture)
            recorded = scores_of(store, "warm", trial.fingerprint)
            expected = proxy_scores(["naswot", "params"], architecture, probe(trained, seed=0))
            assert {name: recorded[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_the_rank_correlations_are_those_of_the_trained_trials(outcome):
    with open_store(outcome.database, read_only=True) as store:
        correlations = {row.proxy: row for row in rank_correlations(store, "warm", outcome.trials)}
        scored = scores(store, "warm", "naswot")
    assert list(correlations) == ["params", "macs", "naswot", "synflow"]
    assert (correlations["params"].n, correlations["naswot"].n) == (5, 5)
    assert correlations["synflow"].n >= 3  # trials of the searcher may be candidates, too
    pairs = [(scored[trial.fingerprint], trial.val_accuracy) for trial in outcome.trials]
    agreed = sum(_sign(a[0] - b[0]) * _sign(a[1] - b[1]) for i, a in enumerate(pairs) for b in pairs[:i])
    ties = sum(a[1] == b[1] for i, a in enumerate(pairs) for b in pairs[:i])
    assert correlations["naswot"].kendall == pytest.approx(agreed / (10 * (10 - ties)) ** 0.5)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def test_the_searcher_continues_after_the_warm_up(outcome):
    experiment = warm(trials=5)
    inner = SEARCHERS["random"](experiment.constrained, experiment.recipes)
    with open_store(outcome.database, read_only=True) as store:
        best = [Architecture.from_json(architecture) for architecture in selected_candidates(store, "warm")]
    searcher = SearchPlan(lambda constrained: inner, experiment.constrained, experiment.recipes, designs=best)
    assert searcher.ask(History(), random.Random(1)).architecture == best[0]
    assert searcher.ask(History(outcome.trials[:2]), random.Random(1)).architecture == best[2]
    after = History(outcome.trials)
    assert searcher.ask(after, random.Random(1)) == inner.ask(after, random.Random(1))


def test_candidates_are_different_and_inside_the_budget():
    constrained = warm(trials=5).constrained
    drawn = candidates(constrained, 30, seed=4, should_continue=lambda: True)
    assert len({one.fingerprint for one in drawn}) == 30
    assert all(constrained.allows(one) for one in drawn)
    assert [one.fingerprint for one in candidates(constrained, 30, seed=4, should_continue=lambda: True)] == [
        one.fingerprint for one in drawn
    ]
    tiny = small(space={"stages": [{"block": "conv-pool", "width": [4, 8]}]}).constrained
    assert len(candidates(tiny, 100_000, seed=4, should_continue=lambda: True)) == 2  # all are listed; no draws


def test_drawing_candidates_can_be_stopped():
    answers = iter([True] * 5 + [False])
    assert candidates(warm(trials=5).constrained, 30, seed=4, should_continue=lambda: next(answers)) is None


def test_a_proxy_without_any_score_gives_a_warning(caplog):
    unscored = [ScoredArchitecture({}, "f", {}, [], {"naswot": "the network has no nonlinearity"}) for _ in range(2)]
    scored = replace(unscored[0], scores={"naswot": 1.0})
    with caplog.at_level("WARNING", logger="archsieve"):
        warn_if_unscored("naswot", [*unscored, scored])
        assert caplog.text == ""
        warn_if_unscored("naswot", unscored)
    assert re.search(r"naswot.* 2 candidates.*the network has no nonlinearity", caplog.text), caplog.text


@pytest.mark.parametrize(
    ("search_table", "facts"),
    [
        ({"proxies": ["synflo"]}, r"search.proxies.*'synflo'.*'synflow'"),
        ({"warmup": {"proxy": "nas-wot"}}, r"search.warmup.proxy.*'nas-wot'"),
        ({"warmup": {"train": 5}}, r"train .*search.trials.* 5 .*4 trials.* 200 candidates"),
        ({"warmup": {"train": 3, "candidates": 2}}, r"3 .*4 trials.* 2 candidates.* 2"),
        ({"warmup": {"candidates": 10**9}}, r"search.warmup.candidates.* 100,?000"),
        ({"warmup": {"first": 3}}, r"search.warmup.first.*'first'"),
    ],
)
def test_an_invalid_warm_up_is_refused(search_table, facts):
    with pytest.raises(ValueError, match=facts):
        small(search=search_table)
