"""Stress tests: drivers and workers killed at every point and at random, nodes lost, databases locked and removed."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from archsieve.results.database.records import PREDICTIONS, FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.cluster.fault_injection import DRIVER_POINTS
from archsieve.search.trials.spool import Spool

from ..drivers import Drivers, finished

pytestmark = pytest.mark.slow

SEARCH = """
[data]
limit = 200
[budget]
params = "20k"
macs = "1M"
[space]
stem = 8
[[space.stages]]
block = ["conv-pool", "residual", "inception"]
width = [8, 16]
[recipe]
epochs = 4
lr = [0.1, 0.3]
[search]
trials = 4
searcher = "random"
cache = false
"""
LONG = ("-s", "recipe.epochs=400", "-s", "search.trials=6")


@pytest.fixture
def drivers(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    drivers = Drivers(tmp_path)
    yield drivers
    drivers.end()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return a function from settings to the trials of an uninterrupted run with them."""
    folder, results = tmp_path_factory.mktemp("whole"), {}
    (folder / "search.toml").write_text(SEARCH)
    drivers = Drivers(folder)

    def trials(*settings):
        if settings not in results:
            name = f"whole-{len(results)}"
            code, _, err = drivers.run("search", "search.toml", "--name", name, *settings)
            assert code == 0, err
            results[settings] = finished(drivers.history(name))
        return results[settings]

    yield trials
    drivers.end()


def check_database(drivers):
    """Assert that all invariants of the database hold."""
    code, out, err = drivers.run("db", "check", "--deep")
    assert code == 0, out + err


def running(trials):
    return any(trial.state is TrialState.RUNNING and trial.epochs_done >= 2 for trial in trials)


@pytest.mark.parametrize("point", DRIVER_POINTS)
def test_a_driver_killed_at_any_point_is_resumed(drivers, uninterrupted, point):
    nth = {"export_tmp": 1}.get(point, 3)
    planned = {"ARCHSIEVE_ENABLE_FAULTS": "1", "ARCHSIEVE_FAULT": f"{point}:kill9:{nth}"}
    code, _, _ = drivers.run("search", "search.toml", "--name", "run", **planned)
    assert code == -signal.SIGKILL
    assert drivers.orphans() == {}
    if point == "export_tmp":  # the run had ended before its report was written
        code, _, err = drivers.run("resume", "run")
        assert (code, "4 of 4" in err) == (2, True)
        assert not (drivers.folder / "runs" / "run" / "report.html").exists()
    else:
        drivers.resume_until_done("run")
    assert finished(drivers.history("run")) == uninterrupted()
    check_database(drivers)


def test_a_driver_killed_before_a_checkpoint_was_reported_reports_it_from_the_checkpoint(
    drivers, uninterrupted, tmp_path
):
    planned = {"ARCHSIEVE_ENABLE_FAULTS": "1", "ARCHSIEVE_FAULT": "ckpt_renamed:sleep:2"}
    process = drivers("search", "search.toml", "--name", "run", "-s", "resources.max_concurrent=1", **planned)
    checkpoint_dir = tmp_path / "runs" / "run" / "checkpoints" / "1"
    drivers.wait_for("run", lambda trials: (checkpoint_dir / "2.pt").exists() and trials[0].epochs_done == 1, process)
    os.kill(process.pid, signal.SIGKILL)
    assert drivers.orphans() == {}
    drivers.resume_until_done("run")
    assert finished(drivers.history("run")) == uninterrupted()
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        assert {event["kind"] for event in store.events("run")} <= {"finding", PREDICTIONS}  # nothing was rewound
    check_database(drivers)


def test_a_driver_killed_ten_times_at_random_loses_and_repeats_nothing(drivers, uninterrupted):
    rng, ended = random.Random(5), {}
    drivers("search", "search.toml", "--name", "run", *LONG)
    for n in range(10):
        process = drivers.started[-1]
        time.sleep(rng.uniform(6, 14) if n % 2 == 0 else rng.uniform(0.2, 5))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        for trial in drivers.history("run"):
            if trial.state is TrialState.COMPLETED:
                assert ended.setdefault(trial.trial, trial.ended_at) == trial.ended_at  # none is trained again
        drivers("resume", "run")
    os.kill(drivers.started[-1].pid, signal.SIGKILL)
    drivers.started[-1].communicate()
    assert drivers.orphans() == {}
    if len(ended) < 6:
        drivers.resume_until_done("run")
    assert finished(drivers.history("run")) == uninterrupted(*LONG)
    check_database(drivers)


def workers(folder):
    """Return the ids of the processes that have reported an epoch of a trial and still train it."""
    with open_store(folder / "runs" / "archsieve.db", read_only=True) as store, store.read_transaction() as connection:
        query = "SELECT pid FROM attempt WHERE ended_at IS NULL AND pid IS NOT NULL ORDER BY pid"
        return list(connection.exec_driver_sql(query).scalars())


def test_workers_killed_at_random_cost_epochs_and_the_third_loss_fails_the_trial(drivers, uninterrupted, tmp_path):
    rng = random.Random(3)
    process = drivers("search", "search.toml", "--name", "run", *LONG)
    for _ in range(5):
        drivers.wait_for("run", lambda trials: workers(tmp_path), process)
        killed = rng.choice(workers(tmp_path))
        os.kill(killed, signal.SIGKILL)
        drivers.wait_for("run", lambda trials, killed=killed: killed not in workers(tmp_path), process)
        time.sleep(rng.uniform(0.5, 3))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    trials, expected = drivers.history("run"), uninterrupted(*LONG)
    with (
        open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store,
        store.read_transaction() as connection,
    ):
        query = "SELECT trial_id, count(*) FROM attempt WHERE outcome = 'worker_lost' GROUP BY trial_id"
        lost = dict(tuple(row) for row in connection.exec_driver_sql(query))
    assert sum(lost.values()) == 5
    for trial, undisturbed in zip(trials, expected, strict=True):
        if lost.get(trial.trial) == 3:
            assert trial.fail_kind is FailKind.WORKER_LOST
        else:
            assert finished([trial]) == [undisturbed]
    check_database(drivers)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_resumably_and_leaves_no_orphans(drivers, sent):
    process = drivers("search", "search.toml", "--name", "run", *LONG)
    drivers.wait_for("run", running, process)
    # Ctrl-C in a terminal signals the whole process group, so the workers get it, too.
    os.killpg(process.pid, sent) if sent is signal.SIGINT else process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert sent.name in err
    assert "Traceback" not in err
    assert drivers.orphans() == {}
    assert TrialState.INTERRUPTED in {trial.state for trial in drivers.history("run")}
    check_database(drivers)


def test_a_second_signal_interrupts_at_once_and_the_run_is_still_resumable(drivers, uninterrupted):
    process = drivers("search", "search.toml", "--name", "run", *LONG)
    drivers.wait_for("run", running, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert drivers.orphans() == {}
    drivers.resume_until_done("run")
    assert finished(drivers.history("run")) == uninterrupted(*LONG)
    check_database(drivers)


def test_a_driver_killed_while_ray_starts_can_be_resumed(drivers, uninterrupted):
    process = drivers("search", "search.toml", "--name", "run")
    drivers.wait_for("run", lambda trials: True, process)  # the run is in the database; nothing has been proposed
    os.kill(process.pid, signal.SIGKILL)
    assert drivers.orphans() == {}
    drivers.resume_until_done("run")
    assert finished(drivers.history("run")) == uninterrupted()
    check_database(drivers)


def hold(path):
    """Lock the database as another process would, until the connection is closed."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_a_run_waits_for_a_database_locked_for_twenty_seconds(drivers, uninterrupted, tmp_path):
    process = drivers("search", "search.toml", "--name", "run", *LONG)
    drivers.wait_for("run", running, process)
    holder = hold(tmp_path / "runs" / "archsieve.db")
    time.sleep(20)
    holder.close()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err.count("was locked by another ") == 1
    assert finished(drivers.history("run")) == uninterrupted(*LONG)
    check_database(drivers)


def test_reports_during_a_lock_are_spooled_and_a_resume_writes_them(drivers, uninterrupted, tmp_path):
    process = drivers("search", "search.toml", "--name", "run", *LONG, ARCHSIEVE_BUSY_S="1")
    drivers.wait_for("run", running, process)
    holder = hold(tmp_path / "runs" / "archsieve.db")
    _, err = process.communicate(timeout=300)
    holder.close()
    assert process.returncode == 5, err
    spool = Spool(tmp_path / "runs" / "run" / "spool")
    (spooled,) = spool.files()
    assert str(spooled.relative_to(tmp_path)) in err
    assert {entry.verb for entry in spool.entries()} in ({"record"}, {"end"}, {"record", "end"})
    code, out, _ = drivers.run("db", "check")
    assert (code, spooled.name in out) == (5, True)
    drivers.resume_until_done("run")
    assert not spooled.exists()
    assert finished(drivers.history("run")) == uninterrupted(*LONG)
    check_database(drivers)


def test_a_database_that_is_removed_under_a_run_is_rescued_and_not_recreated(drivers, uninterrupted, tmp_path):
    process = drivers("search", "search.toml", "--name", "run", *LONG)
    drivers.wait_for("run", running, process)
    database, rescued = tmp_path / "runs" / "archsieve.db", tmp_path / "runs" / "archsieve-rescued.db"
    for path in tmp_path.glob("runs/archsieve.db*"):
        path.unlink()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 5, err
    assert str(database.relative_to(tmp_path)) in err
    assert not database.exists()
    code, _, err = drivers.run("resume", "run")
    assert (code, database.name in err, database.exists()) == (5, True, False)
    rescued.rename(database)
    drivers.resume_until_done("run")
    assert finished(drivers.history("run")) == uninterrupted(*LONG)
    check_database(drivers)


NODES = """
import sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.search.experiment.search_file import load_experiment
from archsieve.search.runs.session import search

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
cluster.wait_for_nodes()


def lose(count):
    database = Path("runs/archsieve.db")
    while True:
        time.sleep(0.1)
        if database.exists():
            with open_store(database, read_only=True) as store:
                trials = [t for run in store.runs() for t in store.history(run.name)]
            if sum(t.state is TrialState.RUNNING and t.epochs_done >= 2 for t in trials) == 2:
                break
    for node in nodes[:count]:
        cluster.remove_node(node, allow_graceful=False)


thread = threading.Thread(target=lose, args=(int(sys.argv[1]),), daemon=True)
thread.start()
settings = ["recipe.epochs=400", "search.trials=6", "resources.node_timeout_s=5"]
outcome = search(load_experiment("search.toml", settings), name="run", address=cluster.address)
print(outcome.complete, outcome.stop and outcome.stop.kind.value)
"""


@pytest.mark.parametrize(("lost", "expected"), [(1, "True None"), (2, "False no_nodes")])
def test_a_lost_node_costs_epochs_and_a_run_without_nodes_stops(drivers, uninterrupted, tmp_path, lost, expected):
    script = [sys.executable, "-c", NODES, str(lost)]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path)}
    process = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert process.stdout.splitlines()[-1:] == [expected], process.stderr[-3000:]
    if lost == 2:
        drivers.resume_until_done("run")
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        kinds = {event["kind"] for event in store.events("run")}
    assert "node_lost" in kinds
    assert "worker_lost" not in kinds  # a node's death is not the trial's
    assert finished(drivers.history("run")) == uninterrupted(*LONG)
    check_database(drivers)
