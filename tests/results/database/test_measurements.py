"""Measured latencies and proxy scores: written, read, used as budget limits, and shown in the report."""

import re

import pytest

from archsieve.results.database.latency_records import (
    CALIBRATED,
    CalibrationNetwork,
    calibration,
    measurements,
    prediction_errors,
    record_calibration,
    record_errors,
    record_trial,
)
from archsieve.results.database.proxy_records import (
    ScoredArchitecture,
    rank_correlations,
    record_scores,
    record_warm_up,
    scores,
    scores_of,
    selected_candidates,
)
from archsieve.results.query.best import best, listing, no_match_reason
from archsieve.results.query.pareto import pareto
from archsieve.results.report.report import write_report
from archsieve.spaces.architectures.budget import Budget

COST = {"params": 10, "macs": 20, "activations": 5, "memory_bytes": 100}


def measured(p50: float) -> dict:
    return {
        **{"device": "cpu", "machine": "x86_64 CPU", "torch": "2.14.1", "precision": "fp32", "peak_memory_bytes": None},
        **{"batch_size": 1, "threads": 1, "warmup": 3, "n": 20},
        **{"latency_ms_p50": p50, "latency_ms_p90": 1.1 * p50},
    }


def untrained(name: str, p50: float, predicted_ms: float | None) -> CalibrationNetwork:
    return CalibrationNetwork({"blocks": [name]}, name, COST, (), measured(p50), predicted_ms)


@pytest.fixture
def run_id(new_run):
    return new_run(config={"budget": {"params": "60k", "latency_ms": 2.0}})


@pytest.fixture
def timed(store, run_id, complete):
    """Four trials: the most accurate is too slow, the second was not measured."""
    trials = [complete(run_id, f"f{i}", accuracy) for i, accuracy in enumerate((0.99, 0.98, 0.9, 0.8))]
    for trial, p50 in ((trials[0], 2.5), (trials[2], 1.5), (trials[3], 0.5)):
        record_trial(store, trial.trial, measured(p50), predicted_ms=1.0)
    return trials


def test_a_measurement_is_the_trials_latency(store, timed):
    assert [store.trial(trial.trial).latency_ms for trial in timed] == [2.5, None, 1.5, 0.5]
    (row,) = measurements(store, "digits", trial_id=timed[0].trial)
    assert {name: getattr(row, name) for name in measured(2.5)} == measured(2.5)
    record_trial(store, timed[0].trial, measured(1.9))
    assert store.trial(timed[0].trial).latency_ms == 1.9
    assert len(measurements(store, "digits", trial_id=timed[0].trial)) == 2
    with pytest.raises(ValueError, match="no trial has the id 99"):
        record_trial(store, 99, measured(1.0))


def test_best_under_a_latency_limit_needs_a_measurement(store, timed):
    assert [t.trial for t in best(store, budget=Budget(latency_ms=2.0), top=9)] == [timed[2].trial, timed[3].trial]
    assert best(store, budget=Budget())[0].trial == timed[0].trial
    assert [t.trial for t in listing(store, sort="latency_ms")] == [4, 3, 1, 2]
    assert [t.trial for t in pareto(store.trials(), ("val_accuracy", "latency_ms"))] == [1, 3, 4]
    history = store.history("digits")
    assert history.best().trial == 1
    assert history.best(Budget(latency_ms=2.0)).trial == 3


def test_no_trial_meets_the_latency_limit(store, timed, new_run, complete):
    reason = no_match_reason(store, Budget(latency_ms=0.25))
    assert re.search(r"^0 of 4 .*latency_ms <= 0\.25; .*0\.5 \(trial 4\)$", reason)
    complete(new_run("other"), "g", 0.9)
    reason = no_match_reason(store, Budget(latency_ms=1.0), "other")
    assert re.search("^0 of 1 .*latency_ms <= 1; no trial.*latency_ms", reason)


def test_prediction_errors_leave_out_calibration_networks(store, run_id, complete):
    networks = [untrained("f0", 1.0, 1.1), untrained("u1", 2.0, 2.4), untrained("u2", 1.0, 0.7)]
    record_calibration(store, run_id, networks, {"weights": {"start": 3.0}})
    for name, p50, predicted in (("f0", 1.0, 9.0), ("f1", 2.0, 1.0), ("f2", 1.0, 1.25), ("f3", 1.0, None)):
        trial = complete(run_id, name, 0.9)
        record_trial(store, trial.trial, measured(p50), predicted_ms=predicted)
    left_out, trained = prediction_errors(measurements(store, run_id))
    assert (left_out.n, left_out.median_error) == (3, pytest.approx(0.2))
    assert (trained.n, trained.median_error) == (2, pytest.approx(0.375))
    record_errors(store, run_id)
    assert store.events(run_id)[-1]["detail"]["trained"] == {"n": 2, "median_error": pytest.approx(0.375)}
    assert calibration(store, run_id) == {"weights": {"start": 3.0}}


def test_a_run_without_a_predictor_logs_no_errors(store, run_id, timed):
    record_errors(store, run_id)
    assert calibration(store, run_id) is None
    assert store.events(run_id) == []


def test_a_calibration_is_written_atomically(store, run_id):
    broken = {**measured(1.0), "latency_ms_p90": None}
    with pytest.raises(Exception, match=r"(?i)not.null"):
        record_calibration(
            store, run_id, [untrained("a", 1.0, 1.0), CalibrationNetwork({}, "b", COST, (), broken, 1.0)], {}
        )
    assert measurements(store, run_id) == []
    assert [event for event in store.events(run_id) if event["kind"] == CALIBRATED] == []


def test_a_warm_up_selects_the_best_scores(store, run_id):
    by_name = {"a": 1.0, "b": "two images have the same code", "c": 3.0, "d": 3.0}
    candidates = [
        ScoredArchitecture({"blocks": [name]}, name, COST, (), {"naswot": score}) for name, score in by_name.items()
    ]
    assert selected_candidates(store, run_id) is None
    chosen = record_warm_up(store, run_id, "naswot", candidates, 3)
    assert chosen == [{"blocks": ["c"]}, {"blocks": ["d"]}, {"blocks": ["a"]}] == selected_candidates(store, run_id)
    assert scores(store, run_id, "naswot") == {"a": 1.0, "b": None, "c": 3.0, "d": 3.0}
    assert scores_of(store, run_id, "b") == {"naswot": by_name["b"]}


def test_rank_correlations_by_hand(store, run_id, complete):
    """Accuracies are in the order 1, 2, 3, 4 and scores in the order 1, 3, 2, 4: one of six pairs is swapped."""
    trials = [complete(run_id, f"f{i}", 0.6 + i / 10, params=1000, macs=40 - i) for i in range(4)]
    for trial, score in zip(trials, (1.0, 3.0, 2.0, 4.0), strict=True):
        record_scores(store, run_id, trial.fingerprint, {"naswot": score, "synflow": "not computed"})
    complete(run_id, "f9", None)
    by_proxy = {row.proxy: row for row in rank_correlations(store, run_id, store.trials(run_id))}
    assert (by_proxy["params"].n, by_proxy["params"].spearman, by_proxy["params"].kendall) == (4, None, None)
    assert (by_proxy["macs"].spearman, by_proxy["macs"].kendall) == pytest.approx((-1.0, -1.0))
    assert (by_proxy["naswot"].spearman, by_proxy["naswot"].kendall) == pytest.approx((0.8, 4 / 6))
    assert (by_proxy["synflow"].n, by_proxy["synflow"].spearman) == (0, None)


def text_of(store, path) -> str:
    return write_report(store, "digits", path / "report.html").read_text(encoding="utf-8").split("</script>", 1)[1]


def test_the_report_shows_predicted_and_measured_latencies(store, run_id, timed, tmp_path):
    record_calibration(store, run_id, [untrained("u1", 2.0, 2.4), untrained("u2", 1.0, 0.9)], {"weights": {}})
    page = text_of(store, tmp_path)
    assert "<h2>Latency</h2>" in page
    assert "The budget allows 2 ms." in page
    assert re.search(r"do not meet the limit: 1, 2\.", page)
    assert re.search(r"leave-one-out.* 15\.0% .*\(n = 2\)", page)
    assert re.search(r"not used for calibration.* 60\.0% .*\(n = 3\)", page)
    assert "params &lt;= 60.0k and latency_ms &lt;= 2 as measured" in page
    assert '"latency"' in page
    assert "batch_size 1; threads 1; warmup 3; n 20; torch 2.14.1" in page


def test_the_report_shows_rank_correlations_inside_the_budget(store, new_run, complete, tmp_path):
    run_id = new_run()
    for i in range(5):
        trial = complete(run_id, f"f{i}", 0.6 + i / 10, params=100 - i)
        record_scores(store, run_id, trial.fingerprint, {"synflow": float(i)})
    candidates = [ScoredArchitecture({"blocks": ["a"]}, "a", COST, (), {"synflow": 1.0})]
    record_warm_up(store, run_id, "synflow", candidates, 1)
    page = text_of(store, tmp_path)
    assert "<h2>Proxies</h2>" in page
    assert '<td>params</td><td class="number">5</td><td class="number">-1.0000</td>' in page
    assert '<td>synflow</td><td class="number">5</td><td class="number">1.0000</td>' in page
    assert re.search(r"For 5 trials.*±0\.50", page)
    assert re.search("synflow scored 1 of 1 untrained", page)
    assert "<h2>Latency</h2>" not in page
