"""Runs that are killed, stopped and taken up again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from archsieve.results.errors import StoreError
from archsieve.results.records import TrialState
from archsieve.results.store import open_store

SEARCH = """
[data]
limit = 300
[budget]
params = "20k"
macs = "1M"
[space]
stem = 8
[[space.stages]]
block = ["conv-pool", "residual", "inception"]
width = [8, 16]
[recipe]
epochs = 8
lr = [0.1, 0.3]
[search]
trials = 6
searcher = "random"
"""


@pytest.fixture
def driver(tmp_path):
    """Start a driver in a process of its own; whatever it leaves behind is ended by the test."""
    (tmp_path / "search.toml").write_text(SEARCH)
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "archsieve", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def history(tmp_path, run):
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        return store.history(run).trials


def wait_for(tmp_path, run, ready, process):
    """Wait until ``ready(trials)`` holds, while ``process`` lives."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(StoreError, ValueError):  # there is no database, or no such run in it, yet
            trials = history(tmp_path, run)
            if ready(trials):
                return trials
        time.sleep(0.05)
    raise AssertionError("the run did not come so far")


def far_enough(trials):
    done = [trial for trial in trials if trial.state is TrialState.COMPLETED]
    under_way = [trial for trial in trials if trial.state is TrialState.RUNNING and trial.epochs_done >= 2]
    return bool(done) and bool(under_way)


def finished(trials):
    """What may not depend on whether a run was broken."""
    return [(t.number, t.fingerprint, t.recipe, t.seed, t.state, t.val_accuracy, t.best_epoch) for t in trials]


def test_a_killed_driver_is_resumed_without_training_anything_again(driver, tmp_path):
    whole = driver("search", "search.toml", "--name", "whole")
    out, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err

    broken = driver("search", "search.toml", "--name", "broken")
    trials = wait_for(tmp_path, "broken", far_enough, broken)
    os.killpg(broken.pid, signal.SIGKILL)  # the driver and its Ray, as when a machine loses power
    broken.communicate()
    ended = {trial.trial: trial.ended_at for trial in trials if trial.state is TrialState.COMPLETED}

    again = driver("resume", "broken", "--json")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert json.loads(out)["complete"]
    resumed = history(tmp_path, "broken")
    assert finished(resumed) == finished(history(tmp_path, "whole"))
    assert [t.number for t in resumed] == list(range(6))
    assert all(trial.ended_at == ended[trial.trial] for trial in resumed if trial.trial in ended)
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        for trial in resumed:
            steps = [step for step, _ in store.curve(trial.trial)["val_loss"]]
            assert steps == list(range(1, 9))
        assert store.run("broken").status.value == "finished"
    assert list((tmp_path / "runs" / "broken" / "checkpoints").iterdir()) == []

    done = driver("resume", "broken")
    _, err = done.communicate(timeout=60)
    assert done.returncode == 2
    assert "run 'broken' is complete: 6 of 6 trials have ended" in err
    more = driver("resume", "broken", "--trials", "+1", "--json")
    out, err = more.communicate(timeout=120)
    assert (more.returncode, json.loads(out)["trials"]) == (0, 7)
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        assert store.run("broken").config["search"]["trials"] == 7


@pytest.mark.parametrize("sent", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_stops_a_run_resumably(driver, tmp_path, sent):
    process = driver("search", "search.toml", "--name", "stopped")
    wait_for(tmp_path, "stopped", far_enough, process)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "go on with: archsieve resume stopped" in err
    assert "Traceback" not in err
    states = {trial.state for trial in history(tmp_path, "stopped")}
    assert TrialState.RUNNING not in states
    assert TrialState.INTERRUPTED in states


def test_two_drivers_do_not_share_a_run(driver, tmp_path):
    first = driver("search", "search.toml", "--name", "held", "-s", "recipe.epochs=2000")
    wait_for(tmp_path, "held", lambda trials: any(t.state is TrialState.RUNNING for t in trials), first)
    second = driver("resume", "held")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 5
    assert f"is driven by process {first.pid} on" in err
