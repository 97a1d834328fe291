import math
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from archsieve.results.database import schema
from archsieve.results.database.errors import RunExistsError, StoreError
from archsieve.results.database.lease import start_ticks, this_process
from archsieve.results.database.records import DatasetRecord, RunStatus, TrialState
from archsieve.results.database.run_name import check_run_name
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.integrity import check_store


def test_a_run_is_read_back(store, new_run):
    run_id = new_run("one", config={"name": "one", "budget": {"params": "60k"}})
    run = store.run("one")
    assert run == store.run(run_id) == store.runs()[0]
    assert (run.run_id, run.name, run.status, run.searcher, run.seed) == (run_id, "one", "running", "random", 3)
    assert (run.dataset, run.version, run.trials) == ("digits", "0.1.0", 0)
    assert run.config == {"name": "one", "budget": {"params": "60k"}}
    assert run.created_at.utcoffset().total_seconds() == 0


@pytest.mark.parametrize("value", [math.nan, {1, 2}])
def test_a_config_that_is_not_json_is_refused(store, new_run, value):
    with pytest.raises(ValueError, match="finite numbers"):
        new_run("one", config={"lr": value})
    assert store.runs() == []


def test_provenance_stores_unknown_entries(store, new_run):
    new_run("one", provenance={"git_commit": "abc", "extra": "value"})
    (process,) = store.provenance("one")
    assert (process["git_commit"], process["other"], process["pid"]) == ("abc", {"extra": "value"}, os.getpid())


def test_a_name_that_exists_is_refused(store, new_run):
    new_run("one")
    new_run("one-2")
    with pytest.raises(RunExistsError, match=r"'one'.*'one-3'.*archsieve resume one$"):
        new_run("one")
    assert len(store.runs()) == 2
    new_run("x" * 100)
    with pytest.raises(RunExistsError, match=f"'{'x' * 98}-2'"):
        new_run("x" * 100)


@pytest.mark.parametrize("name", ["a", "0", "_x", "digits.v2_final-3", "A" * 100])
def test_valid_run_names(name):
    assert check_run_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a/b", "a b", "a\n", "ü", "٣", "A" * 101, None, "a:b"])
def test_invalid_run_names(name, new_run, store):
    with pytest.raises(ValueError, match="run name"):
        new_run(name)
    assert store.runs() == []


def test_an_unknown_run_names_the_nearest(store, new_run):
    with pytest.raises(ValueError, match="'digits'"):
        store.run("digits")
    new_run("digits")
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        store.history("digist")
    with pytest.raises(ValueError, match="unknown run 7"):
        store.run(7)


def test_data_sets_are_shared_by_content(store, new_run):
    new_run("one")
    new_run("two", dataset=DatasetRecord(content_hash="d1", name="digits"))
    assert store.dataset("d1").n_train == 1000
    new_run("three", dataset={"content_hash": "d2", "name": "x", "input_shape": [1, 8, 8], "class_names": ["a", "b"]})
    assert store.dataset("d2").input_shape == (1, 8, 8)
    with pytest.raises(ValueError, match="did you mean 'n_train'"):
        new_run("four", dataset={"content_hash": "d2", "name": "x", "ntrain": 1})
    with pytest.raises(ValueError, match="'d9'"):
        store.dataset("d9")


def test_events_are_kept_in_order(store, new_run):
    run_id = new_run()
    store.add_event(run_id, "info", "started", {"a": [1, 2]})
    store.add_event(run_id, "error", "worker lost", "text")
    assert [(e["level"], e["kind"], e["detail"]) for e in store.events("digits")] == [
        ("info", "started", {"a": [1, 2]}),
        ("error", "worker lost", "text"),
    ]


def test_finish_run_leaves_nothing_running(store, new_run, propose, complete):
    run_id = new_run()
    complete(run_id, "f0", 0.5)
    store.start(propose(run_id, "f1").trial)
    propose(run_id, "f2")
    store.finish_run(run_id, "stopped")
    run = store.run(run_id)
    assert run.status is RunStatus.STOPPED
    assert run.counts == {"completed": 1, "interrupted": 1, "queued": 1}
    assert run.finished_at >= run.created_at
    assert store.provenance(run_id)[0]["end_reason"] == "stopped"
    with pytest.raises(ValueError, match="RunStatus"):
        store.finish_run(run_id, "done")


def test_resume_interrupts_running_trials(store, new_run, propose):
    run_id = new_run()
    trial = propose(run_id)
    store.start(trial.trial, node="a")
    assert store.resume_run("digits", {}) == run_id
    assert store.trial(trial.trial).state is TrialState.INTERRUPTED
    assert store.history(run_id).unfinished == (store.trial(trial.trial),)
    store.start(trial.trial, node="b")
    store.finish(trial.trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
    ended = store.trial(trial.trial)
    assert ended.state is TrialState.COMPLETED
    assert ended.reason is None
    assert len(store.provenance(run_id)) == 2


def age_heartbeat(store, **ago):
    """Set the heartbeat of every process to a time in the past; ``ago`` are arguments of ``timedelta``."""
    with store.write_transaction() as connection:
        connection.execute(update(schema.process).values(heartbeat_at=datetime.now(UTC) - timedelta(**ago)))


@pytest.mark.parametrize("hours", [0, 1, -1])
def test_one_living_process_drives_a_run_at_any_clock_difference(store, new_run, hours):
    parent = os.getppid()
    new_run("one", provenance={"pid": parent, "process_started": start_ticks(parent)})
    age_heartbeat(store, hours=hours)
    with pytest.raises(StoreError, match=rf"driven by process {parent} on .*, heartbeat \d+ s ago"):
        store.resume_run("one", {})


@pytest.mark.parametrize(
    ("holder", "hours"),
    [({"process_started": 1}, 0), ({"boot_id": "earlier boot"}, 1)],
    ids=["reused process id", "other boot"],
)
def test_another_process_with_the_id_of_the_holder_does_not_hold_the_run(store, new_run, propose, holder, hours):
    run_id = new_run("one", provenance={"pid": os.getppid(), **holder})
    trial = propose(run_id)
    store.start(trial.trial)
    age_heartbeat(store, hours=hours)
    store.resume_run("one", {"boot_id": "this boot"})
    assert [row["end_reason"] for row in store.provenance(run_id)] == ["lost", None]
    with store.read_transaction() as connection:
        assert connection.execute(select(schema.attempt.c.outcome)).scalars().all() == ["lost"]


@pytest.mark.parametrize("other", ["boot_id", "pid_namespace"])
def test_a_holder_in_another_container_is_watched_although_its_host_name_is_the_same(
    store, new_run, monkeypatch, caplog, other
):
    """Two machines or containers may have the same host name, but a process id of one is not valid in the other."""
    monkeypatch.setattr("archsieve.results.database.store.WATCH_S", 2.0)
    dead = 2**22 + 1
    new_run("one", provenance={"pid": dead, other: "theirs"})
    beat = threading.Timer(1, age_heartbeat, (store,), {"seconds": 1})
    beat.start()
    with pytest.raises(StoreError, match=f"driven by process {dead} on"):
        store.resume_run("one", {other: "ours"})
    beat.join()
    (warning,) = caplog.records
    assert re.search(rf"process {dead} on {platform.node()} .*run 1\b.* 2 s", warning.getMessage())
    store.resume_run("one", {other: "ours"})
    assert [row["end_reason"] for row in store.provenance("one")] == ["lost", None]


def test_a_zombie_does_not_hold_its_run(store, new_run):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as holder:
        new_run("one", provenance={"pid": holder.pid, "process_started": start_ticks(holder.pid)})
        with pytest.raises(StoreError, match=f"driven by process {holder.pid} on"):
            store.resume_run("one", {})
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # wait until it has ended, but leave it a zombie
        store.resume_run("one", {})
        assert [row["end_reason"] for row in store.provenance("one")] == ["lost", None]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_silent_holder_on_another_machine_is_watched_before_its_run_is_acquired(store, new_run, monkeypatch, hours):
    monkeypatch.setattr("archsieve.results.database.store.WATCH_S", 2.0)
    run_id = new_run("one", provenance={"host": "elsewhere", "pid": 7})
    age_heartbeat(store, hours=hours)
    # The holder renews its heartbeat, by a clock that differs from this machine's.
    beat = threading.Timer(1, age_heartbeat, (store,), {"hours": hours, "seconds": 1})
    beat.start()
    with pytest.raises(StoreError, match="driven by process 7 on elsewhere"):
        store.resume_run("one", {})
    beat.join()
    store.resume_run("one", {})
    before = store.provenance(run_id)[-1]["heartbeat_at"]
    store.heartbeat(run_id)
    assert store.provenance(run_id)[-1]["heartbeat_at"] > before


CONTAINER_DRIVER = """
import sys, time
from archsieve.results.database.lease import this_process
from archsieve.results.database.store import open_store

with open_store(sys.argv[1]) as store:
    store.resume_run("one", this_process())
    while True:
        print("driving", flush=True)
        time.sleep(0.2)
        store.heartbeat(1)
"""


def test_a_driver_in_another_pid_namespace_holds_its_run(store, new_run, database, monkeypatch):
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this system does not allow a new pid namespace")
    monkeypatch.setattr("archsieve.results.database.store.WATCH_S", 3.0)
    new_run("one")
    store.finish_run(1, "stopped")
    code = [sys.executable, "-c", CONTAINER_DRIVER, str(database)]
    with subprocess.Popen([*command, *code], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout.readline() == "driving\n"
        with pytest.raises(StoreError, match=f"driven by process 1 on {platform.node()}"):
            store.resume_run("one", this_process())
        driver.kill()
    store.resume_run("one", this_process())
    assert [row["end_reason"] for row in store.provenance("one")] == ["stopped", "lost", None]


def test_a_replaced_holder_cannot_write(store, new_run, propose, database):
    run_id = new_run("one", provenance={"pid": 2**22 + 1})
    with open_store(database) as other:
        other.resume_run("one", {})
        trial = propose(run_id)
        other.start(trial.trial)
        with pytest.raises(StoreError, match=f"run {run_id} is now driven by process {os.getpid()}"):
            store.heartbeat(run_id)
        store.finish_run(run_id, "stopped")
        assert store.trial(trial.trial).state is TrialState.RUNNING
        assert store.run("one").status is RunStatus.RUNNING


def test_a_holder_is_identified_by_start_ticks_as_in_version_0_1_0(store, new_run):
    parent = os.getppid()
    ticks = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19])
    assert start_ticks(parent) == ticks
    new_run("one", provenance={"pid": parent, "process_started": ticks})
    with pytest.raises(StoreError, match=f"driven by process {parent} on"):
        store.resume_run("one", {})


def test_a_dead_process_does_not_hold_its_run(store, new_run):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    new_run("one", provenance={"pid": process.pid})
    store.resume_run("one", {})


def test_a_run_without_results_is_deleted_to_free_its_name(store, new_run, propose):
    used, empty = new_run("used"), new_run("empty")
    trial = propose(used).trial
    store.add_event(empty, "error", "refused", {"reason": "no GPU"})
    assert not store.delete_empty_run(empty)  # this process still drives it
    for run in (used, empty):
        store.finish_run(run, RunStatus.FAILED)
    assert store.delete_empty_run(empty)
    assert not store.delete_empty_run(used)
    assert [run.name for run in store.runs()] == ["used"]
    assert store.trial(trial).run == "used"
    new_run("empty")
    assert check_store(store, None) == []


def test_a_run_is_found_by_its_whole_name_first(store, new_run):
    with pytest.raises(ValueError, match=r"unknown run 'last'; the database has no runs yet"):
        store.run("last")
    for name in ("birds", "birds-2", "last-one"):
        new_run(name)
    assert [store.run(text).name for text in ("birds", "birds-", "la", "last")] == [
        "birds",
        "birds-2",
        "last-one",
        "last-one",
    ]
    new_run("last")
    new_run("b")
    assert [store.run(text).name for text in ("last", "b")] == ["last", "b"]
    for text in ("", "birdz", "BIRDS"):
        with pytest.raises(ValueError, match="unknown run"):
            store.run(text)
    for number in range(6):
        new_run(f"fish-{number}")
    with pytest.raises(ValueError, match=r"begin with 'fish': fish-0, fish-1, fish-2, fish-3, fish-4 and more; use a"):
        store.run("fish")
