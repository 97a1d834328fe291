"""Best trials, sorted lists and Pareto fronts, compared with brute-force implementations."""

import math
import random
import re
from datetime import UTC, datetime

import pytest

from archsieve.results.database import schema
from archsieve.results.database.records import History, Trial, TrialState, rank
from archsieve.results.query.best import best, listing, no_match_reason
from archsieve.results.query.expression_query import filter_trials
from archsieve.results.query.pareto import pareto
from archsieve.results.query.pareto_sql import front
from archsieve.spaces.architectures.budget import Budget

COSTS = ("params", "macs", "activations", "memory_bytes")


def random_rows(rng: random.Random, count: int) -> list[dict]:
    """Rows with few distinct values, so that ties are common."""
    rows = []
    for number in range(count):
        state = rng.choice(["completed", "completed", "stopped_early", "failed", "running"])
        accuracy = rng.choice([None, *(i / 20 for i in range(10, 20))])
        rows.append(
            {"number": number, "state": state, "val_accuracy": accuracy, **{c: rng.randint(1, 9) for c in COSTS}}
        )
    return rows


@pytest.fixture
def trials(store, new_run, propose):
    """Three hundred random trials in two runs on two data sets."""
    rng = random.Random(4)
    runs = [new_run("a"), new_run("b", dataset={"content_hash": "d2", "name": "shapes"})]
    propose(runs[0], "f0")
    fixed = {"fingerprint": "f0", "choices": {}, "recipe": {}, "seed": 0, "created_at": datetime.now(UTC)}
    rows = [{"run_id": run, **row, **fixed} for run in runs for row in random_rows(rng, 151) if row["number"]]
    with store.write_transaction() as connection:
        connection.execute(schema.trial.insert(), rows)
    return store.trials()


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"params": 5},
        {"params": 4, "macs": 3},
        {"activations": 2, "min_macs": 5},
        {"memory_bytes": 1},
        {"params": 0},
    ],
)
@pytest.mark.parametrize(("run", "dataset"), [(None, None), ("a", None), (None, "shapes"), ("b", "digits")])
def test_best_agrees_with_brute_force(store, trials, limits, run, dataset):
    budget, runs = Budget(**limits), {"shapes": "b", "digits": "a"}
    expected = [
        trial
        for trial in trials
        if trial.state.finished and trial.val_accuracy is not None and budget.allows(trial)
        if run in (None, trial.run) and (dataset is None or runs[dataset] == trial.run)
    ]
    best_trials = best(store, budget=budget, run=run, dataset=dataset, top=7)
    assert best_trials == sorted(expected, key=rank)[:7]
    if dataset is None and run is not None and budget == Budget():
        assert best_trials[0] == store.history(run).best()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_best_reads_only_an_index(store, trials):
    with store.read_transaction() as connection:
        for where, index in (("", "trial_merit"), ("run_id = 1 AND", "trial_merit_in_run")):
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN SELECT trial_id FROM trial WHERE {where} val_accuracy IS NOT NULL "
                "AND state IN ('completed', 'stopped_early') AND params <= 5 AND memory_bytes <= 5 "
                "ORDER BY val_accuracy DESC, params, macs, trial_id LIMIT 1"
            ).all()
            assert f"COVERING INDEX {index}" in plan[0][3]
            assert not any("TEMP B-TREE" in row[3] for row in plan)


def test_limits_of_a_device_use_the_recorded_costs(store, new_run, complete):
    run_id = new_run()
    for number, ram in enumerate((9_000, 5_000, None)):
        complete(run_id, f"f{number}", 0.9 + number / 100, ram_bytes=ram, flash_bytes=1_000 + number)
    assert [trial.number for trial in best(store, budget=Budget(ram="6kB"), top=5)] == [1]
    assert [trial.number for trial in best(store, budget=Budget(flash=1_001), top=5)] == [1, 0]
    assert [trial.number for trial in listing(store, sort="-flash_bytes")] == [2, 1, 0]
    assert [trial.number for trial in filter_trials(store, "ram_bytes < 9000").trials] == [1]
    assert re.search(r"ram_bytes <= 4k.* 5k", no_match_reason(store, Budget(ram="4kB")))


def test_ties_are_broken_by_params_then_macs_then_id(store, new_run, complete):
    run_id = new_run()
    costs = [(9, 1), (5, 7), (5, 6), (5, 6), (6, 1)]
    for i, (params, macs) in enumerate(costs):
        complete(run_id, f"f{i}", 0.9, params=params, macs=macs)
    best_trials = best(store, budget=Budget(), top=5)
    assert [trial.number for trial in best_trials] == [2, 3, 1, 4, 0]
    assert store.history(run_id).best() == best_trials[0]


def test_test_accuracy_never_selects_a_trial(store, new_run, complete):
    run_id = new_run()
    worse, better = complete(run_id, "f0", 0.8), complete(run_id, "f1", 0.9)
    store.finish(worse.trial, TrialState.COMPLETED, summary={"test_accuracy": 1.0})
    store.finish(better.trial, TrialState.COMPLETED, summary={"test_accuracy": 0.1})
    assert best(store, budget=Budget())[0].trial == store.history(run_id).best().trial == better.trial
    for query in (lambda: listing(store, sort="-test_accuracy"), lambda: front(store, ("test_accuracy", "macs"))):
        with pytest.raises(ValueError, match=r"test_accuracy.*val_accuracy"):
            query()
    with pytest.raises(ValueError, match=r"objective.*'test_accuracy'"):
        pareto(store.trials(), ("test_accuracy", "macs"))


@pytest.mark.parametrize("sort", ["params", "-val_accuracy", "val_error", "val_accuracy", "-trial"])
def test_a_listing_is_sorted_with_missing_values_last(store, trials, sort):
    name = sort.removeprefix("-")
    values = [getattr(trial, name) for trial in listing(store, sort=sort)]
    present = [value for value in values if value is not None]
    assert values == sorted(present, reverse=sort.startswith("-")) + [None] * (len(values) - len(present))
    assert len(listing(store, sort=sort, limit=3, run="a", budget=Budget(params=5))) == 3


def test_a_misspelt_name_is_an_error_with_the_nearest_name(store, new_run):
    new_run("digits")
    with pytest.raises(ValueError, match="did you mean 'val_accuracy'"):
        listing(store, sort="-val_acuracy")
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        best(store, budget=Budget(), run="digist")
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        best(store, budget=Budget(), dataset="digist")
    with pytest.raises(ValueError, match=r"top.*at least 1.*0"):
        best(store, budget=Budget(), top=0)


def test_why_none(store, new_run, complete):
    assert "no trials" in no_match_reason(store, Budget(params="5M"))
    run_id = new_run()
    assert re.search("'digits'.*no trials", no_match_reason(store, Budget(), "digits"))
    complete(run_id, "f0", 0.9, params=9_000_000, macs=100)
    complete(run_id, "f1", 0.9, params=5_300_000, macs=400)
    third = complete(run_id, "f2", None, params=5_000_001, macs=900)
    # Each reason has the counts, the limit and, where no trial meets it, the trial that comes nearest.
    for budget, pattern in (
        (Budget(params="4M"), r"^0 of 3 .*params <= 4M; .*smallest.* 5M \(trial 3\)$"),
        (Budget(params="5M"), rf"^0 of 3 .*params <= 5,000,000; .*smallest.* 5,000,001 \(trial {third.trial}\)$"),
        (Budget(min_macs="1k"), r"^0 of 3 .*macs >= 1k; .*largest.* 900 \(trial 3\)$"),
        (Budget(params="8M", macs=300), r"^0 of 3 .*2 have params <= 8M, 1 have macs <= 300$"),
    ):
        assert re.search(pattern, no_match_reason(store, budget))
    assert re.search("^1 of 3 .*params <= 5.2M.*1 failed$", no_match_reason(store, Budget(params="5.2M"), "digits"))


def dominated(trial: Trial, other: Trial, names: tuple[str, ...]) -> bool:
    """Dominated by definition: no worse in any objective and better in one, or equal with a lower id."""
    signs = [-1 if name == "val_accuracy" else 1 for name in names]
    a = [sign * getattr(trial, name) for sign, name in zip(signs, names, strict=True)]
    b = [sign * getattr(other, name) for sign, name in zip(signs, names, strict=True)]
    no_worse = all(y <= x for x, y in zip(a, b, strict=True))
    return no_worse and (a != b or other.trial < trial.trial)


@pytest.mark.parametrize(
    "names", [("val_accuracy",), ("val_accuracy", "macs"), ("params", "val_error"), ("val_accuracy", "params", "macs")]
)
def test_the_front_agrees_with_brute_force(trials, names):
    scored = [trial for trial in trials if trial.state.finished and trial.val_accuracy is not None]
    expected = {trial.trial for trial in scored if not any(dominated(trial, other, names) for other in scored)}
    front = pareto(trials, names)
    assert {trial.trial for trial in front} == expected
    assert len(front) == len(expected)
    shuffled = random.Random(0).sample(trials, len(trials))
    assert pareto(shuffled, names) == front


def test_fronts_without_trials_or_objectives(trials):
    assert pareto([]) == []
    with pytest.raises(ValueError, match=r"objective.*none.*val_accuracy"):
        pareto(trials, ())


def test_a_history_separates_finished_and_unfinished_trials(store, trials):
    history = store.history("a")
    assert len(history) == 151
    assert {trial.state for trial in history.unfinished} == {"queued", "running"}
    assert {trial.state for trial in history.finished} == {"completed", "stopped_early"}
    assert History().best() is None
    with pytest.raises(ValueError, match=r"history.*number"):
        History(tuple(trials))
    assert math.isinf(rank(history.trials[0])[0])


@pytest.mark.parametrize("budget", [Budget(), Budget(params=6), Budget(params=1, macs=1)], ids=str)
@pytest.mark.parametrize("run", [None, "a", "b"])
@pytest.mark.parametrize(
    "objectives",
    [("val_accuracy", "macs"), ("params", "val_accuracy"), ("val_accuracy", "latency_ms"), ("val_loss", "macs")],
    ids="-".join,
)
def test_the_front_read_from_the_index_is_the_front_of_all_trials(store, trials, objectives, run, budget):
    from archsieve.results.query.pareto import pareto

    assert front(store, objectives, budget=budget, run=run) == pareto(
        listing(store, budget=budget, run=run), objectives
    )
