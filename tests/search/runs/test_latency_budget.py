"""A limit in milliseconds: calibrated on a worker, predicted before training, measured after it."""

import json
import signal

import pytest

from archsieve.models.profiling.latency_predictor import LatencyPredictor
from archsieve.results.database.latency_records import calibration, measurements, prediction_errors, record_calibration
from archsieve.results.database.records import RunStatus, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.query.best import best, no_match_reason
from archsieve.search.cluster.provenance import provenance
from archsieve.search.runs.latency_calibration import evenly_spaced
from archsieve.search.runs.session import load, resume, search
from archsieve.search.trials.failure_policy import StopKind
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import BudgetError
from archsieve.spaces.constrained.indexing import walk

from ..conftest import small

pytestmark = pytest.mark.usefixtures("ray_running")

ROOMY_MS = 10_000.0  # no network of these tests takes that long on any machine
SPACE = {"stem": [8, 16], "stages": [{"block": ["conv-pool", "residual"], "width": [8, 12, 16], "depth": [1, 2]}] * 2}
LATENCY = {"calibration": 5, "n": 5, "warmup": 1}


@pytest.fixture(scope="module")
def roomy(tmp_path_factory, ray_running):
    experiment = small(space=SPACE, budget={"latency_ms": ROOMY_MS}, recipe={"epochs": 1}, latency=LATENCY)
    return search(experiment, name="roomy", runs=tmp_path_factory.mktemp("runs"))


def test_every_trained_network_is_timed_on_its_worker(roomy):
    with open_store(roomy.database, read_only=True) as store:
        for trial in roomy.trials:
            (row,) = measurements(store, "roomy", trial_id=trial.trial)
            assert row.latency_ms_p50 == trial.latency_ms
            assert 0 < row.latency_ms_p50 <= row.latency_ms_p90
            assert row.predicted_ms > 0
            stored = {
                name: getattr(row, name) for name in ("device", "precision", "batch_size", "threads", "warmup", "n")
            }
            assert stored == {
                "device": "cpu",
                "precision": "fp32",
                "batch_size": 1,
                "threads": 1,
                "warmup": 1,
                "n": 5,
            }
            assert row.machine
            assert row.torch.startswith("2.")


def test_the_predictor_is_calibrated_before_the_first_proposal(roomy):
    with open_store(roomy.database, read_only=True) as store:
        rows = measurements(store, "roomy")
        events = store.events("roomy")
        model = calibration(store, "roomy")
    calibrating = [row for row in rows if row.trial_id is None]
    assert len(calibrating) == len({row.fingerprint for row in calibrating}) == model["n"] == 5
    assert events[0]["kind"] == "latency_calibrated"
    assert all(row.measured_at <= roomy.trials[0].created_at for row in calibrating)
    assert model["weights"]["convolution layers"] >= 0
    of_calibration, of_trials = prediction_errors(rows)
    assert of_calibration.n == 5
    assert of_trials is None or of_trials.n <= 4


def test_the_limit_applies_to_the_measured_latency(roomy):
    """The limit is the median of the measured latencies: the measurement decides, not a prediction."""
    times = sorted(trial.latency_ms for trial in roomy.trials)
    with open_store(roomy.database, read_only=True) as store:
        fast = best(store, budget=Budget(latency_ms=times[1]), top=9)
        assert {trial.trial for trial in fast} == {t.trial for t in roomy.trials if t.latency_ms <= times[1]}
        assert best(store, budget=Budget(latency_ms=times[0] / 2)) == []
        assert f"0 of 4 trials have latency_ms <= {times[0] / 2:.3g}" in no_match_reason(
            store, Budget(latency_ms=times[0] / 2)
        )


@pytest.mark.slow
def test_a_limit_that_nothing_is_predicted_to_meet_ends_the_run_before_a_trial(tmp_path):
    experiment = small(budget={"latency_ms": 1e-6}, latency=LATENCY)
    with pytest.raises(BudgetError, match=r"latency_ms <= 1e-06.*latency_ms = "):
        search(experiment, name="none", runs=tmp_path)
    with open_store(tmp_path / "archsieve.db", read_only=True) as store:
        run = store.run("none")
        assert run.status is RunStatus.FAILED
        assert run.trials == 0
        assert len(measurements(store, "none")) == 5


def test_only_networks_with_a_low_predicted_latency_are_proposed_also_after_a_resume(roomy, tmp_path):
    """The driver was killed after the latency model was fitted; by that model about half of the space is too slow.

    The limit comes from the run's own model, not from a new fit: on a machine that has become busier, a new model might
    predict that every network is too slow.
    """
    with open_store(roomy.database, read_only=True) as store:
        model = calibration(store, "roomy")
    predictor = LatencyPredictor.from_json(model["weights"])
    predicted = sorted(predictor.latency_ms(one) for _, one in walk(small(space=SPACE).constrained))
    limit = predicted[len(predicted) // 2]
    settings = {"trials": 3, "searcher": "tpe"}
    budget = {"latency_ms": limit}
    experiment = small(space=SPACE, budget=budget, recipe={"epochs": 1}, latency=LATENCY, search=settings)
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        run_id = store.create_run("tight", experiment.to_json(), "tpe", 0, load(experiment)[1], provenance())
        record_calibration(store, run_id, [], model)
        store.finish_run(run_id, RunStatus.STOPPED)
    first = resume("tight", runs=tmp_path)
    assert len(first.trials) == 3
    more = resume("tight", trials=6, runs=tmp_path)
    with open_store(first.database, read_only=True) as store:
        assert calibration(store, "tight") == model
        assert sum(event["kind"] == "latency_calibrated" for event in store.events("tight")) == 1
        rows = [row for row in measurements(store, "tight") if row.trial_id is not None]
    assert len(rows) == 6
    assert all(row.predicted_ms <= limit for row in rows)
    assert all(trial.latency_ms <= limit for trial in more.best)
    meets_latency_limit = [trial for trial in more.trials if trial.latency_ms <= limit]
    assert len(more.best) == min(5, len(meets_latency_limit))


@pytest.mark.slow
def test_a_trial_that_may_be_stopped_early_is_timed_after_its_first_epoch(tmp_path):
    experiment = small(recipe={"epochs": 3}, search={"trials": 5, "scheduler": "asha", "reduction_factor": 2})
    outcome = search(experiment, name="asha", runs=tmp_path)
    assert any(trial.state is TrialState.STOPPED_EARLY for trial in outcome.trials)
    assert all(trial.latency_ms > 0 for trial in outcome.trials)


def test_calibration_covers_the_costs_within_the_budget():
    constrained = small().constrained
    drawn = evenly_spaced(constrained, 8, seed=1)
    assert [one.fingerprint for one in drawn] == [one.fingerprint for one in evenly_spaced(constrained, 8, seed=1)]
    assert len({one.fingerprint for one in drawn}) == 8
    assert all(constrained.allows(one) for one in drawn)
    macs = [one.cost.macs for one in drawn]
    assert macs == sorted(macs)
    assert macs[-1] > 4 * macs[0]
    tiny = small(space={"stages": [{"block": "conv-pool", "width": [4, 8]}]}).constrained
    assert len(evenly_spaced(tiny, 8, seed=1)) == 2


def test_the_command_line_filters_by_measured_latency(roomy, line):
    fastest = min(trial.latency_ms for trial in roomy.trials)
    query = ("results", "best", "--db", str(roomy.database), "--json", "--max-latency-ms")
    code, out, _ = line(*query, str(fastest))
    assert code == 0
    assert [trial["latency_ms"] for trial in json.loads(out)] == [fastest]
    code, _, err = line(*query, str(fastest / 2))
    assert code == 3
    assert "latency_ms <= " in err
    assert "--max-latency-ms" in line(*query, "-1")[2]


def test_a_signal_during_calibration_ends_the_run_resumably(tmp_path, monkeypatch):
    experiment = small(budget={"latency_ms": ROOMY_MS}, recipe={"epochs": 1}, latency=LATENCY, search={"trials": 1})

    def interrupted(experiment, store, run_id, should_continue):
        assert should_continue()
        signal.raise_signal(signal.SIGINT)
        assert not should_continue()

    with monkeypatch.context() as patched:
        patched.setattr("archsieve.search.runs.latency_calibration._calibrate", interrupted)
        stopped = search(experiment, name="early", runs=tmp_path)
    assert (stopped.trials, stopped.complete, stopped.stop.kind) == ((), False, StopKind.SIGNAL)
    with open_store(tmp_path / "archsieve.db", read_only=True) as store:
        assert store.run("early").status is RunStatus.STOPPED
    resumed = resume("early", runs=tmp_path)
    assert resumed.complete
    assert len(resumed.trials) == 1
