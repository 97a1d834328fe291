"""The recorder without Ray: reports of workers, lost workers, and reports that the database cannot take."""

import errno
import gc
import json
import os
import re
import shutil
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from archsieve.results.database.errors import DiskFullError, LockedError, SetBackError, StoreError
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.cli import main
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.runs.recorder import Recorder
from archsieve.search.runs.run_control import RunControl
from archsieve.search.runs.tune_adapter import guarded
from archsieve.search.runs.tuner import run_trials
from archsieve.search.schedulers.settings import SCORE
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.tasks.base import Diagnosis, FinalMetrics, StartMetrics
from archsieve.search.trials.checkpoint_files import Checkpoints
from archsieve.search.trials.failure_policy import Stop, StopKind
from archsieve.search.trials.report import EpochMetrics, Failure, TrialReport, TrialStart
from archsieve.search.trials.reserve import RESERVED_BYTES, reserved_space
from archsieve.search.trials.spool import Spool, Spooled
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost

from ..conftest import small

DATA = {"content_hash": "d", "name": "digits"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "archsieve.db"


@pytest.fixture
def driven(path, tmp_path):
    """Return a function from a store to the recorder of a run in it, with four trials of two epochs."""
    experiment = small()

    def drive(store, name="run"):
        if name not in {run.name for run in store.runs()}:
            run_id = store.create_run(name, experiment.to_json(), "random", 0, DATA, {})
        else:
            run_id = store.resume_run(name, {})
        searcher = SEARCHERS["random"](experiment.constrained, experiment.recipes)
        checkpoints, spool = Checkpoints(str(tmp_path / "checkpoints")), Spool(tmp_path / "spool")
        return Recorder(RunControl(store, run_id), searcher, 0, 4, checkpoints, spool, timeout_s=60)

    return drive


def epoch(number, **more):
    metrics = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": number / 10, "lr": 0.1}
    return TrialReport((EpochMetrics(number, {**metrics, "seconds": 1.0}),), done=number == 2, **more)


def killed(reason="killed"):
    return Failure(FailKind.WORKER_LOST, reason)


def restarted(recorder):
    """Return the id of a trial that reported an epoch as "a", lost its worker, and has started again as "b"."""
    trial = recorder.propose("a").trial
    recorder.started("a")
    recorder.reported("a", epoch(1, start=TrialStart(0)))
    recorder.lost("a", killed())
    recorder.propose("b")
    recorder.started("b")
    return trial


def test_a_trial_is_retried_until_it_has_lost_three_workers(path, driven):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        first = recorder.propose("a")
        recorder.started("a")
        recorder.reported("a", epoch(1, start=TrialStart(0, "cpu", "node", 7)))
        for key, lost in (("a", 1), ("b", 2)):
            recorder.lost(key, killed())
            trial = store.trial(first.trial)
            assert (trial.state, trial.fail_kind) == (TrialState.INTERRUPTED, FailKind.WORKER_LOST)
            assert recorder.may_propose_more
            assert recorder.propose("ab"[lost:] or "c").trial == first.trial
            recorder.started("ab"[lost:] or "c")
            assert store.trial(first.trial).fail_kind is None
        recorder.lost("c", killed())
        trial = store.trial(first.trial)
        assert (trial.state, trial.fail_kind, trial.epochs_done) == (TrialState.FAILED, FailKind.WORKER_LOST, 1)
        assert recorder.propose("d").number == 1
        reasons = [event["detail"]["reason"] for event in store.events("run")]
        for n, reason in zip((1, 2, 3), reasons[:3], strict=True):
            assert f"{n} of 3" in reason
            assert "killed" in reason
        with store.read_transaction() as connection:
            (row,) = connection.exec_driver_sql("SELECT node, pid, device FROM attempt WHERE attempt = 0")
        assert tuple(row) == ("node", 7, "cpu")


def test_a_fit_that_is_done_before_its_last_epoch_was_not_stopped(path, driven):
    """Regression: zero-shot models in closed form, solved in one epoch, were recorded as stopped early."""
    with open_store(path, create=True) as store:
        recorder = driven(store)
        for key, done in (("a", True), ("b", False)):
            trial = recorder.propose(key)
            recorder.started(key)
            report = replace(epoch(1, start=TrialStart(0)), done=done)
            recorder.reported(key, report)
            recorder.completed(key, report)
            assert trial.recipe["epochs"] == 2
            expected = TrialState.COMPLETED if done else TrialState.STOPPED_EARLY
            assert store.trial(trial.trial).state is expected


def test_a_worker_that_timed_out_is_not_retried(path, driven, monkeypatch):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = recorder.propose("a")
        recorder.started("a")
        later = time.monotonic() + 61
        monkeypatch.setattr("archsieve.search.runs.recorder.time.monotonic", lambda: later)
        recorder.lost("a", killed("exit code 1"))
        ended = store.trial(trial.trial)
        assert ended.fail_kind is FailKind.TIMEOUT
        assert "search.trial_timeout_s = 60 s" in ended.reason


def test_epochs_without_weights_are_removed(path, driven):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = restarted(recorder)
        recorder.reported("b", epoch(1, start=TrialStart(0), problems=("the checkpoint 1.pt is damaged",)))
        assert store.curve(trial)["val_accuracy"] == [(1, 0.1)]
        kinds = [event["kind"] for event in store.events("run")]
        assert kinds == ["worker_lost", "rewound", "checkpoint"]


def test_a_worker_that_dies_before_it_starts_counts_as_an_attempt(path, driven):
    """Regression: such a trial was retried without end, as attempt 0 of 3."""
    with open_store(path, create=True) as store:
        recorder = driven(store)
        first = recorder.propose("a").trial
        for key in ("a", "b", "c"):
            recorder.lost(key, killed("the actor died in its constructor"))
            following = recorder.propose({"a": "b", "b": "c", "c": "d"}[key])
            assert (following.trial == first) == (key != "c")
        assert store.trial(first).fail_kind is FailKind.WORKER_LOST
        reasons = [event["detail"]["reason"] for event in store.events("run", "worker_lost", trial_id=first)]
        assert [f"{n} of 3" in reason for n, reason in enumerate(reasons[:3], start=1)] == [True, True, True]


def test_a_suspended_driver_writes_nothing_after_another_took_over(path, driven, monkeypatch):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = recorder.propose("a").trial
        recorder.started("a")
        recorder.reported("a", epoch(1, start=TrialStart(0)))
        with store.write_transaction() as connection:  # as another host does after two minutes without a heartbeat
            connection.exec_driver_sql("UPDATE process SET ended_at = heartbeat_at, end_reason = 'lost'")
        later = time.monotonic() + 200
        monkeypatch.setattr("archsieve.search.runs.recorder.time.monotonic", lambda: later)
        for report in (lambda: recorder.reported("a", epoch(2)), lambda: recorder.completed("a", epoch(2))):
            recorder.control._heartbeat_at = later - 200
            with pytest.raises(StoreError):
                report()
        assert store.trial(trial).epochs_done == 1


def test_a_failure_before_the_first_report_includes_the_start(path, driven):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = restarted(recorder)
        report = TrialReport(
            done=True,
            start=TrialStart(0, "cpu", "n", 7),
            problems=("the checkpoint 1.pt is damaged",),
            failure=Failure(FailKind.OOM, "no memory"),
        )
        recorder.reported("b", report)
        recorder.completed("b", report)
        assert store.trial(trial).fail_kind is FailKind.OOM
        assert store.curve(trial) == {}
        assert [event["kind"] for event in store.events("run")] == ["worker_lost", "rewound", "checkpoint", "oom"]
        assert [event["kind"] for event in store.events("run", "rewound", trial_id=trial)] == ["rewound"]
        assert store.events("run", "oom", trial_id=trial + 1) == []
        with store.read_transaction() as connection:
            (row,) = connection.exec_driver_sql("SELECT node, pid, device FROM attempt WHERE attempt = 1")
        assert tuple(row) == ("n", 7, "cpu")


def test_reports_during_a_lock_are_spooled_and_replayed(path, driven, monkeypatch, tmp_path):
    monkeypatch.setattr("archsieve.results.database.sqlite_file.BUSY_S", 0.2)
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = recorder.propose("a").trial
        recorder.started("a")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        recorder.reported("a", epoch(1, start=TrialStart(0)))
        recorder.reported("a", epoch(2))
        recorder.completed("a", epoch(2, final_metrics=FinalMetrics(0.75)))
        other.close()
        assert recorder.stopping.kind is StopKind.ERROR
        assert isinstance(recorder.stopping.error, LockedError)
        assert str(recorder.spool.file) in recorder.stopping.reason
        assert recorder.propose("b") is None
        assert store.trial(trial).epochs_done == 0
        assert [entry.verb for entry in recorder.spool.entries()] == ["record", "record", "end"]
        lines = recorder.spool.files()[0].read_text()

        resumed = driven(store)
        resumed.replay()
        ended = store.trial(trial)
        assert (ended.state, ended.epochs_done, ended.test_accuracy) == (TrialState.COMPLETED, 2, 0.75)
        assert resumed.spool.files() == []
        (tmp_path / "spool").mkdir()
        # The same reports again, and a partial line.
        (tmp_path / "spool" / "1.jsonl").write_text(lines + '{"verb": "rec')
        resumed.replay()
        assert store.trial(trial) == ended


def test_a_spool_keeps_values_that_json_lacks(tmp_path):
    spool = Spool(tmp_path / "spool")
    assert list(spool.entries()) == []
    spool.clear()
    for n in range(3):
        report = TrialReport((EpochMetrics(1, {"val_loss": float("inf")}),), latency={"path": tmp_path})
        spool.add(Spooled("record", n, report))
    entries = Spool(tmp_path / "spool").entries()
    assert [(entry.trial, entry.report.epochs[0].values["val_loss"]) for entry in entries] == [
        (n, float("inf")) for n in range(3)
    ]


def test_a_spool_of_version_0_1_0_gives_the_rows_that_0_1_0_wrote(path, driven, tmp_path):
    """Its lines are flat results of Tune: one trial diverged, one has an augmentation and a learning rate found."""
    stored = Path(__file__).parent / "v0_1_0"
    lines = [json.loads(line) for line in (stored / "spool.jsonl").read_text().splitlines() if line]
    trials = {line["trial"]: json.loads(line["result"]["config"]["trial"]) for line in lines}
    (tmp_path / "spool").mkdir()
    shutil.copy(stored / "spool.jsonl", tmp_path / "spool" / "1.jsonl")
    with open_store(path, create=True) as store:
        recorder = driven(store)
        for number in range(1, max(trials) + 1):
            propose(store, recorder.run_id, trials.get(number, next(iter(trials.values()))))
            store.start(number)
        recorder.replay()
        for trial, rows in json.loads((stored / "rows.json").read_text()).items():
            assert with_finding_numbers(rows_of(store, int(trial))) == with_finding_numbers(rows)


def propose(store, run_id, trial):
    architecture = Architecture.from_json(trial["architecture"])
    design = {"architecture": trial["architecture"], "fingerprint": architecture.fingerprint, "recipe": trial["recipe"]}
    costs = {"cost": cost(architecture, 64).to_json(), "layers": [], "choices": {}}
    return store.propose(run_id, **design, **costs, seed=trial["seed"])


def rows_of(store, trial):
    """Return all rows that a trial's reports write to the store, in the form of ``rows.json``."""
    columns = "state, epochs_done, best_epoch, val_accuracy, val_loss, train_accuracy, train_loss, test_accuracy"
    measured = "device, machine, torch, precision, batch_size, threads, warmup, n, latency_ms_p50, latency_ms_p90"
    queries = {
        "trial": f"SELECT {columns}, latency_ms, fail_kind, reason, device FROM trial WHERE trial_id = {trial}",
        "attempts": f"SELECT node, device, pid, outcome FROM attempt WHERE trial_id = {trial}",
        "events": f"SELECT level, kind, detail FROM event WHERE trial_id = {trial} ORDER BY event_id",
        "metrics": f"SELECT name, step, value, special FROM metric WHERE trial_id = {trial} ORDER BY 1, 2",
        "measurements": f"SELECT fingerprint, {measured}, peak_memory_bytes, predicted_ms FROM measurement "
        f"WHERE trial_id = {trial}",
        "proxies": "SELECT name, value, proxy_score.reason FROM proxy_score JOIN trial USING (run_id, fingerprint) "
        f"WHERE trial_id = {trial}",
    }
    with store.read_transaction() as connection:
        rows = {name: connection.exec_driver_sql(query).mappings().all() for name, query in queries.items()}
    return {
        "trial": dict(rows["trial"][0]),
        "attempts": [dict(row) for row in rows["attempts"]],
        "events": [[row["level"], row["kind"], json.loads(row["detail"])] for row in rows["events"]],
        "metrics": [list(row.values()) for row in rows["metrics"]],
        "measurements": [dict(row) for row in rows["measurements"]],
        "proxies": [list(row.values()) for row in rows["proxies"]],
    }


def with_finding_numbers(rows):
    """``rows`` with the numbers of each finding instead of its sentence, which may be improved."""
    events = [
        [level, kind, {**detail, "reason": re.findall(r"\d[\d.]*(?:e[+-]?\d+)?", detail["reason"])}]
        if kind == "finding"
        else [level, kind, detail]
        for level, kind, detail in rows["events"]
    ]
    return {**rows, "events": events}


def test_a_report_is_the_same_after_tune_and_after_the_spool(tmp_path):
    full = TrialReport(
        epochs=(
            EpochMetrics(1, {"val_accuracy": 0.1, "val_loss": float("inf")}),
            EpochMetrics(2, {"val_accuracy": 0.2}),
        ),
        done=True,
        start=TrialStart.in_this_process(1),
        problems=("a", "b"),
        proxies={"synflow": 1.5, "naswot": "no ReLU"},
        start_metrics=StartMetrics({"batch_ms": 1.0}, ({"lr": 0.5},)),
        final_metrics=FinalMetrics(0.5, {"classes": 3, "top_share": 0.4}),
        latency={"n": 50},
        latency_error="no memory",
        diagnosis=Diagnosis({"worst": 1e-9, "wrong": []}, None),
        diagnosis_error="KeyError: 1",
        failure=None,
    )
    failed = TrialReport(done=True, failure=Failure(FailKind.OOM, "no memory", "Traceback"))
    spool = Spool(tmp_path / "spool")
    for report in (full, failed, TrialReport()):
        assert TrialReport.from_tune({**report.to_tune(), "pid": 7}) == report
        spool.add(Spooled("record", 1, report))
    assert [entry.report for entry in spool.entries()] == [full, failed, TrialReport()]
    assert {name: full.to_tune()[name] for name in ("epoch", SCORE, "done")} == {
        "epoch": 2,
        SCORE: 0.2,
        "done": True,
    }
    assert "epoch" not in failed.to_tune()
    assert TrialReport.from_tune({}) == TrialReport()


def test_a_report_turns_the_scalars_of_numpy_and_torch_into_numbers():
    report = TrialReport(
        (EpochMetrics(1, {"val_accuracy": np.float32(0.5), "lr": np.float64(0.25)}),),
        final_metrics=FinalMetrics(torch.tensor(0.75)),
        proxies={"synflow": np.int64(3)},
    )
    received = TrialReport.from_tune(report.to_tune())
    assert received.epochs[0].values == {"val_accuracy": 0.5, "lr": 0.25}
    assert (received.final_metrics.test_accuracy, received.proxies) == (0.75, {"synflow": 3})
    with pytest.raises(TypeError, match="Path"):
        TrialReport(proxies={"synflow": Path("x")}).to_tune()


def test_an_error_of_the_driver_stops_the_run_and_is_kept(path, driven):
    def broken():
        raise KeyError("ours")

    with open_store(path, create=True) as store:
        recorder = driven(store)
        assert guarded(recorder, broken) is None
        assert isinstance(recorder.stopping.error, KeyError)
        recorder.stop(Stop(StopKind.SIGNAL, "later"))
        assert recorder.stopping.kind is StopKind.ERROR
        assert not recorder.may_propose_more


@pytest.mark.parametrize("entry", [{"verb": "end", "trial": 1, "report": {"new_key": 1}}, {"verb": "end"}, [1]])
def test_a_line_of_the_spool_that_is_no_known_report_keeps_the_file(path, driven, tmp_path, entry):
    file = tmp_path / "spool" / "1.jsonl"
    file.parent.mkdir()
    file.write_text("\n" + json.dumps(entry) + "\n")
    with open_store(path, create=True) as store, pytest.raises(StoreError, match=f"line 2 of {file}"):
        driven(store).replay()
    assert json.loads(file.read_text()) == entry


def test_spooled_reports_are_stored_even_where_the_run_cannot_be_prepared(path, driven, tmp_path, ray_running):
    found = small(resources={"cpus_per_trial": 999})
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = recorder.propose("a").trial
        recorder.started("a")
        for entry in (Spooled("record", trial, epoch(1, start=TrialStart(0))), Spooled("end", trial, epoch(2))):
            Spool(tmp_path / "spool").add(entry)
        with pytest.raises(ResourceError, match="cpus_per_trial"):
            run_trials(found, None, store, recorder.run_id, tmp_path)
        assert (store.trial(trial).state, store.trial(trial).epochs_done) == (TrialState.COMPLETED, 1)
        assert Spool(tmp_path / "spool").files() == []


def test_a_partial_line_of_the_spool_is_skipped_with_a_warning(tmp_path, caplog):
    spool = Spool(tmp_path / "spool")
    file = spool.add(Spooled("record", 1, epoch(1)))
    with file.open("a") as out:
        out.write('{"verb": "record", "tri')  # a full disk
    spool.add(Spooled("end", 1, epoch(2)))
    with caplog.at_level("WARNING", logger="archsieve"):
        assert [entry.verb for entry in spool.entries()] == ["record", "end"]
    assert str(file) in caplog.text


def test_reports_after_a_lost_database_are_spooled(path, driven, monkeypatch):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = recorder.propose("a").trial
        recorder.started("a")
        recorder.reported("a", epoch(1, start=TrialStart(0)))
        path.unlink()
        monkeypatch.setattr("archsieve.search.runs.run_control.HEARTBEAT_S", -1)  # a heartbeat is due with every call
        recorder.reported("a", epoch(2))
        recorder.completed("a", epoch(2, final_metrics=FinalMetrics(0.75)))
        assert isinstance(recorder.stopping.error, StoreError)
        assert recorder.propose("b") is None
        assert [(entry.verb, entry.trial) for entry in recorder.spool.entries()] == [("record", trial), ("end", trial)]
    path.with_name("archsieve-rescued.db").rename(path)
    with open_store(path) as store:
        resumed = driven(store)
        resumed.replay()
        ended = store.trial(trial)
        assert (ended.state, ended.epochs_done, ended.test_accuracy) == (TrialState.COMPLETED, 2, 0.75)


def test_nothing_is_written_to_a_lost_database(path, driven):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trials = [recorder.propose(key).trial for key in "abc"]
        recorder.started("a")
        recorder.control.lose_database(StoreError("the database was set back"))
        before = [store.trial(trial) for trial in trials]
        recorder.started("b")
        for key in "abc":
            recorder.lost(key, killed())
        recorder.lost("d", killed())
        assert [store.trial(trial) for trial in trials] == before
        assert store.events("run") == []
        assert recorder.running == {}
        assert not recorder.may_propose_more


def test_spooled_reports_of_unknown_trials_are_kept(path, driven, tmp_path, caplog):
    """A database that was set back has other trials under the same ids, or trials that lack epochs."""
    with open_store(path, create=True) as store:
        recorder = driven(store)
        known, other = recorder.propose("a"), recorder.propose("b")
        foreign = [
            Spooled("record", other.trial + 100, epoch(1)),
            Spooled("end", other.trial, epoch(2), "the identity of another trial"),
            Spooled("record", other.trial, epoch(2)),
            Spooled("end", other.trial, TrialReport(done=True, failure=Failure(FailKind.OOM, "no memory"))),
        ]
        for entry in (*foreign, Spooled("record", known.trial, epoch(1, start=TrialStart(0)))):
            recorder.spool.add(entry)
        resumed = driven(store)
        resumed.replay()
        assert [store.trial(t.trial).epochs_done for t in (known, other)] == [1, 0]
        assert not store.trial(other.trial).state.final
    (kept,) = (tmp_path / "spool").iterdir()
    assert [Spooled.from_json(json.loads(line)) for line in kept.read_text().splitlines()] == foreign
    assert (kept.suffix, str(kept) in caplog.text, resumed.spool.files()) == (".unknown", True, [])


def test_a_spooled_failure_needs_the_epochs_that_were_reported_before(path, driven, tmp_path, monkeypatch):
    """The report has no epochs of its own, and an older state of the database has the same trial without them."""
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = recorder.propose("a").trial
        recorder.started("a")
        with store.write_transaction() as connection:
            before = connection.connection.driver_connection.serialize()
        recorder.reported("a", epoch(1, start=TrialStart(0)))
        monkeypatch.setattr(store, "finish", lambda *arguments, **more: _unavailable())
        recorder.completed("a", TrialReport(done=True, failure=Failure(FailKind.OOM, "no memory")))
        (entry,) = recorder.spool.entries()
        assert (entry.verb, entry.after, entry.epochs_before) == ("end", 1, 1)
        assert Spooled.from_json(entry.to_json()) == entry
    older = tmp_path / "older.db"
    older.write_bytes(before)
    with open_store(older) as store:
        driven(store).replay()
        assert not store.trial(trial).state.final
    assert [file.suffix for file in (tmp_path / "spool").iterdir()] == [".unknown"]


def _unavailable():
    raise StoreError("the database is not available")


def test_a_trial_that_the_database_lacks_means_that_it_was_set_back(path, driven):
    """As on a server that was restored to an older backup: the message has no id that means nothing to the user."""
    with open_store(path, create=True) as store:
        recorder = driven(store)
        recorder.propose("a")
        with store.write_transaction() as connection:
            connection.exec_driver_sql("DELETE FROM trial")
        assert guarded(recorder, recorder.started, "a") is None
        error = recorder.stopping.error
        assert isinstance(error, SetBackError)
        assert "set back to an older state" in str(error)
        assert "propose it first" not in str(error)
        recorder.reported("a", epoch(1, start=TrialStart(0)))
        assert [entry.verb for entry in recorder.spool.entries()] == ["record"]


def test_a_lost_node_is_not_the_loss_of_a_trial(path, driven):
    with open_store(path, create=True) as store:
        recorder = driven(store)
        trial = recorder.propose("a").trial
        for n in range(5):
            recorder.started("a")
            recorder.lost("a", killed("its node has died"), n == 2)
            assert recorder.propose("a").trial == trial
        kinds = [event["kind"] for event in store.events("run")]
        assert (kinds.count("node_lost"), kinds.count("worker_lost")) == (4, 1)
        assert not store.trial(trial).state.final


def test_a_report_on_a_full_disk_goes_into_the_reserved_space(tmp_path, monkeypatch):
    """The n-th flush of the disk fails; the reserved file is released for the report that could not be saved."""
    run, sync, failing = tmp_path / "run", os.fsync, [True, True]

    def full(descriptor):
        if failing and "spool" in str(Path(f"/proc/self/fd/{descriptor}").readlink()) and failing.pop():
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with reserved_space(run):
        assert sum(file.stat().st_size for file in run.iterdir()) == RESERVED_BYTES
        spool = Spool(run / "spool")
        failing[:] = [True]
        spool.add(Spooled("record", 1, epoch(1)))
        assert not (run / ".reserved-space").exists()
        failing[:] = [True]
        with pytest.raises(DiskFullError, match=r"trial 2 .*MB are free"):
            spool.add(Spooled("record", 2, epoch(1)))
        spool.add(Spooled("end", 1, epoch(2)))
    # a line that was written but not flushed may be there twice; to write a report twice changes nothing
    assert {(entry.verb, entry.trial) for entry in spool.entries()} >= {("record", 1), ("end", 1)}
    assert [path.name for path in run.iterdir()] == ["spool"]


@pytest.mark.parametrize("filename", [None, "a.html"])
def test_a_full_disk_is_exit_code_4_wherever_it_is_noticed(filename, monkeypatch, capsys):
    def full(**options):
        raise OSError(errno.ENOSPC, "No space left on device", filename)

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as ended:
        main.main()
    gc.enable()
    err = capsys.readouterr().err
    assert (ended.value.code, "MB are free" in err, err.count("\n")) == (4, True, 1)


def test_a_full_disk_names_the_disk_of_the_file_and_survives_a_removed_folder(tmp_path, monkeypatch):
    removed, elsewhere = tmp_path / "removed", tmp_path / "elsewhere"
    for folder in (removed, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(removed)
    removed.rmdir()
    full = (errno.ENOSPC, "No space left on device")
    message = main._message(OSError(*full, str(elsewhere / "a.html")))
    assert f"MB are free on the disk of {elsewhere};" in message
    for filename in (None, "a.html"):
        message = main._message(OSError(*full, filename))
        assert ("No space left" in message, "MB are free" in message) == (True, False)
