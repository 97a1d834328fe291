import math
import subprocess
import sys

import pytest

from archsieve.results.database.errors import StoreError
from archsieve.results.database.records import PREDICTIONS, FailKind, TrialState
from archsieve.results.database.store import open_store


def test_a_proposal_is_written_before_it_is_returned(database, store, new_run, propose):
    run_id = new_run()
    first, second = propose(run_id, "f0"), propose(run_id, "f1", params=7)
    assert (first.number, second.number, second.params) == (0, 1, 7)
    assert first.state is TrialState.QUEUED
    assert first.architecture == {"input_shape": [1, 8, 8], "blocks": ["f0"]}
    assert (first.choices, first.recipe, first.seed) == ({"stage.width": 1}, {"lr": 0.1, "epochs": 2}, 5)
    with open_store(database, read_only=True) as other:
        assert list(other.history("digits")) == [first, second]
    other_run = new_run("other")
    assert propose(other_run, "f0").number == 0


def test_layers_are_written_once(store, new_run, propose):
    run_id = new_run()
    propose(run_id, "f0")
    propose(run_id, "f0")
    layers = store.layers("f0")
    assert [layer["name"] for layer in layers] == ["conv", "pool", "fc"]
    assert layers[0] == {
        "name": "conv", "kind": "conv", "out_shape": [8, 8, 8], "params": 80, "macs": 4608, "activations": 512,
    }  # fmt: skip
    assert store.layers("none") == []


def test_the_states_of_a_trial(store, new_run, propose):
    trial_id = propose(new_run()).trial
    store.start(trial_id, device="cuda:0", node="n1", pid=4)
    running = store.trial(trial_id)
    assert (running.state, running.device) == (TrialState.RUNNING, "cuda:0")
    store.record_epoch(trial_id, 1, {"val_accuracy": 0.5})
    store.record_epoch(trial_id, 2, {"val_accuracy": 0.75})
    summary = {"val_accuracy": 0.75, "val_loss": 0.25, "best_epoch": 2, "train_accuracy": 1.0, "train_loss": 0.0}
    store.finish(trial_id, TrialState.STOPPED_EARLY, reason="asha", summary=summary)
    trial = store.trial(trial_id)
    assert trial.state is TrialState.STOPPED_EARLY
    assert {name: getattr(trial, name) for name in summary} == summary
    assert (trial.epochs_done, trial.reason, trial.val_error) == (2, "asha", 0.25)
    assert trial.created_at <= trial.started_at <= trial.ended_at
    assert trial.duration_s >= 0


def test_repeated_writes_change_nothing(store, new_run, propose):
    trial_id = propose(new_run()).trial
    for _ in range(2):
        store.start(trial_id, device="cpu", node="n", pid=1)
    for _ in range(2):
        store.record_epoch(trial_id, 2, {"val_loss": 0.5})
        store.record_epoch(trial_id, 1, {"val_loss": 1.0})
    store.finish(trial_id, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
    before = store.trial(trial_id)
    store.finish(trial_id, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
    store.add_artifact(trial_id, "best", "digits/0/best.safetensors", 10, "aa")
    store.add_artifact(trial_id, "best", "digits/0/best.safetensors", 12, "bb")
    assert store.trial(trial_id) == before
    assert before.epochs_done == 2
    assert store.curve(trial_id) == {"val_loss": [(1, 1.0), (2, 0.5)]}
    assert [(a["bytes"], a["sha256"]) for a in store.artifacts(trial_id)] == [(12, "bb")]
    with store.read_transaction() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM attempt").scalar() == 1


def test_the_predictions_of_a_trial_are_written_once_with_its_end(store, new_run, propose):
    run_id = new_run()
    trial_id = propose(run_id).trial
    store.start(trial_id)
    for data in ("first", "again"):  # a driver that died after the commit ends the trial again
        store.finish(trial_id, TrialState.COMPLETED, summary={"val_accuracy": 0.5}, predictions={"data": data})
    (event,) = store.events(run_id, PREDICTIONS, trial_id=trial_id)
    assert (event["detail"], event["trial_id"], event["level"]) == ({"data": "first"}, trial_id, "info")


def test_an_ended_trial_keeps_its_state(store, new_run, complete):
    trial = complete(new_run(), "f0", 0.9)
    with pytest.raises(ValueError, match=f"completed.*trial {trial.trial}.*failed"):
        store.finish(trial.trial, TrialState.FAILED, fail_kind=FailKind.BUG, reason="late")
    with pytest.raises(ValueError, match=f"completed.*trial {trial.trial}"):
        store.start(trial.trial)
    store.finish(trial.trial, TrialState.COMPLETED, summary={"test_accuracy": 0.8})
    assert store.trial(trial.trial).test_accuracy == 0.8
    assert store.trial(trial.trial).ended_at == trial.ended_at


@pytest.mark.parametrize(
    ("state", "entries", "facts"),
    [
        (TrialState.RUNNING, {}, "completed.*running"),
        (TrialState.FAILED, {}, "fail_kind"),
        (TrialState.COMPLETED, {"fail_kind": FailKind.OOM}, "fail_kind"),
        (TrialState.COMPLETED, {"summary": {"val_acuracy": 0.5}}, "did you mean 'val_accuracy'"),
        (TrialState.COMPLETED, {"summary": {"val_accuracy": 97.0}}, "val_accuracy.*97"),
    ],
)
def test_invalid_ends_are_refused(store, new_run, propose, state, entries, facts):
    trial = propose(new_run())
    with pytest.raises(ValueError, match=facts):
        store.finish(trial.trial, state, **entries)
    assert store.trial(trial.trial) == trial


def test_a_failure_keeps_kind_and_reason(store, new_run, complete):
    trial = complete(new_run(), "f0", None)
    assert (trial.state, trial.fail_kind, trial.reason) == ("failed", FailKind.OOM, "<b>no memory</b>")


def test_nan_and_infinity_are_read_back(store, new_run, propose):
    trial_id = propose(new_run()).trial
    values = [0.1, math.nan, math.inf, -math.inf, 1e-300]
    for epoch, value in enumerate(values, 1):
        store.record_epoch(trial_id, epoch, {"val_loss": value})
    assert repr([value for _, value in store.curve(trial_id)["val_loss"]]) == repr(values)
    store.record_epoch(trial_id, 2, {"val_loss": 2.0})
    assert store.curve(trial_id)["val_loss"][1] == (2, 2.0)
    diverged = {"val_accuracy": math.nan, "val_loss": math.inf, "best_epoch": None}
    store.finish(trial_id, TrialState.FAILED, fail_kind=FailKind.DIVERGED, summary=diverged)
    assert store.trial(trial_id).val_accuracy is store.trial(trial_id).val_loss is None


def test_missing_trials_are_refused(store, new_run):
    run_id = new_run()
    for operation in (
        lambda: store.trial(9),
        lambda: store.start(9),
        lambda: store.record_epoch(9, 1, {"x": 1}),
        lambda: store.finish(9, TrialState.COMPLETED),
    ):
        with pytest.raises(ValueError, match="no trial has the id 9"):
            operation()
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.add_event(run_id, "info", "x", {}, trial_id=9)


def test_a_proposal_for_a_missing_run_writes_nothing(store, propose):
    with pytest.raises(StoreError):
        propose(9)
    with store.read_transaction() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM architecture").scalar() == 0


@pytest.mark.parametrize("uri", ["/etc/passwd", "../x", "a/../../x", "a\\b", "", "C:x", "http://x/y"])
def test_paths_of_artifacts_stay_inside_the_folder(store, new_run, propose, uri):
    trial = propose(new_run())
    with pytest.raises(ValueError, match="artifact"):
        store.add_artifact(trial.trial, "best", uri, 1, "aa")


WRITER = """
import sys
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store

path, worker = sys.argv[1:]
cost = dict(params=1, macs=1, activations=1, memory_bytes=1)
with open_store(path) as store:
    for i in range(20):
        name = f"{worker}-{i}"
        entries = dict(architecture={"n": name}, fingerprint=name, cost=cost, choices={}, recipe={}, seed=0)
        trial = store.propose(1, **entries).trial
        store.start(trial, node=worker)
        store.record_epoch(trial, 1, {"val_loss": 1.0})
        store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
"""


def test_eight_processes_lose_nothing(database, store, new_run):
    """All processes write into one run, and read before they write.

    Rows 16 and 17 of docs/contributing/tested_claims.md.
    """
    run_id = new_run()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(database), str(worker)]) for worker in range(8)]
    assert [writer.wait() for writer in writers] == [0] * 8
    history = store.history(run_id)
    assert [trial.number for trial in history] == list(range(160))
    assert len(history.fingerprints) == len(history.finished) == 160
    assert all(store.curve(trial.trial) == {"val_loss": [(1, 1.0)]} for trial in history)


DRIVER = """
import sys
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store

path, name = sys.argv[1:]
cost = dict(params=1, macs=1, activations=1, memory_bytes=1)
with open_store(path, create=True) as store:
    run = store.create_run(name, {}, "random", 0, {"content_hash": "d", "name": "d"}, {"pid": 1, "boot_id": "b"})
    for i in range(10):
        entries = dict(architecture={"n": i}, fingerprint=f"f{i}", cost=cost, choices={}, recipe={}, seed=i)
        trial = store.propose(run, **entries).trial
        store.start(trial, node=name)
        for epoch in (1, 2, 3):
            store.record_epoch(trial, epoch, {"val_loss": 1 / epoch, "val_accuracy": epoch / 4})
            store.heartbeat(run)
        store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.75})
    store.finish_run(run, "finished")
"""


def test_eight_drivers_that_create_one_store_lose_nothing(database):
    names = [f"run-{number}" for number in range(8)]
    drivers = [subprocess.Popen([sys.executable, "-c", DRIVER, str(database), name]) for name in names]
    assert [driver.wait() for driver in drivers] == [0] * 8
    with open_store(database, read_only=True) as store:
        assert sorted(run.name for run in store.runs()) == names
        for run in store.runs():
            history = store.history(run.run_id)
            assert (run.status, run.counts) == ("finished", {"completed": 10})
            assert [(trial.number, trial.seed, trial.fingerprint) for trial in history] == [
                (i, i, f"f{i}") for i in range(10)
            ]
            for trial in history:
                assert store.curve(trial.trial)["val_loss"] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]
