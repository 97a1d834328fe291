"""Runs that are killed, stopped and resumed."""

import json
import os
import re
import signal

import pytest

from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store

from ..conftest import python
from ..drivers import Drivers, finished

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
cache = false
"""
ONE_AT_A_TIME = ("-s", "resources.max_concurrent=1")


@pytest.fixture
def driver(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    drivers = Drivers(tmp_path)
    yield drivers
    drivers.end()


def far_enough(trials):
    done = [trial for trial in trials if trial.state is TrialState.COMPLETED]
    running = [trial for trial in trials if trial.state is TrialState.RUNNING and trial.epochs_done >= 2]
    return bool(done) and bool(running)


def test_a_killed_driver_is_resumed_without_training_anything_again(driver, line, ray_running, tmp_path):
    code, _, err = line("search", "search.toml", "--name", "whole", *ONE_AT_A_TIME)
    assert code == 0, err

    broken = driver("search", "search.toml", "--name", "broken")
    trials = driver.wait_for("broken", far_enough, broken)
    os.killpg(broken.pid, signal.SIGKILL)  # the driver and its Ray, as when a machine loses power
    broken.communicate()
    ended = {trial.trial: trial.ended_at for trial in trials if trial.state is TrialState.COMPLETED}

    resume = driver("resume", "broken", "--trials", "+1", "--json")
    out, err = resume.communicate()
    assert resume.returncode == 0, err
    assert (json.loads(out)["complete"], json.loads(out)["trials"]) == (True, 7)
    lines = re.findall(r"^\[(\d+)/7\] trial (\d+)", err, re.MULTILINE)  # also those of earlier processes, numbered once
    assert [int(count) for count, _ in lines] == list(range(1, len(lines) + 1))
    assert len({trial for _, trial in lines}) == len(lines) == 7
    resumed = driver.history("broken")
    assert finished(resumed)[:6] == finished(driver.history("whole"))
    assert [t.number for t in resumed] == list(range(7))
    assert all(trial.ended_at == ended[trial.trial] for trial in resumed if trial.trial in ended)
    with open_store(tmp_path / "runs" / "archsieve.db", read_only=True) as store:
        for trial in resumed:
            steps = [step for step, _ in store.curve(trial.trial)["val_loss"]]
            assert steps == list(range(1, 9))
        assert store.run("broken").status.value == "finished"
        assert store.run("broken").config["search"]["trials"] == 7
    assert list((tmp_path / "runs" / "broken" / "checkpoints").iterdir()) == []

    done = driver("resume", "broken")
    _, err = done.communicate()
    assert done.returncode == 2
    assert re.search(r"'broken' .*7 of 7 trials.*--trials", err), err


def test_a_signal_stops_a_run_resumably_and_leaves_no_orphans(driver):
    process = driver("search", "search.toml", "--name", "stopped", "-s", "recipe.epochs=80", *ONE_AT_A_TIME)
    driver.wait_for("stopped", far_enough, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 75, err
    assert "archsieve resume stopped" in err
    assert "Traceback" not in err
    assert driver.orphans() == {}
    states = {trial.state for trial in driver.history("stopped")}
    assert TrialState.RUNNING not in states
    assert TrialState.INTERRUPTED in states


@pytest.mark.slow
def test_two_drivers_do_not_share_a_run(driver):
    first = driver("search", "search.toml", "--name", "held", "-s", "recipe.epochs=2000")
    driver.wait_for("held", lambda trials: any(t.state is TrialState.RUNNING for t in trials), first)
    second = driver("resume", "held")
    _, err = second.communicate()
    assert second.returncode == 5
    assert re.search(rf"process {first.pid} on .* \d+ s", err)


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with SIGINT ignored
from archsieve.search.cluster.ray_runtime import ray_session

try:
    with ray_session(None):
        import ray
        real_shutdown = ray.shutdown
        def shutdown():
            signal.raise_signal(signal.SIGINT)  # to this thread; os.kill may reach a thread of Ray, and later
            real_shutdown()
            print("left", flush=True)
        ray.shutdown = shutdown
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_signal_while_ray_is_being_left_is_handled_afterwards(tmp_path):
    """Regression: an interrupted shutdown of Ray ended the process with exit code 1 or a crash instead of 130."""
    assert python(INTERRUPTED, tmp_path).split() == ["left", "interrupted"]
