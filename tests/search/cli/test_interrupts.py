"""Ctrl-C at any moment: it ends with "nothing was started", or with how to continue the run."""

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store

from ..drivers import Drivers

SEARCH = """
[data]
limit = 200
[budget]
params = "20k"
[space]
stem = 8
[[space.stages]]
block = "conv-pool"
width = [8, 16]
[recipe]
epochs = 60
[search]
trials = 1
searcher = "random"
cache = false
"""
NOTHING, CONTINUE, REPORT = "nothing was started", "archsieve resume run", "archsieve report run"
# The first library that the command line loads after it handles Ctrl-C. Before, Ctrl-C ends the interpreter itself.
FIRST_LIBRARY = "lib-dynload/zlib"


@pytest.fixture
def drivers(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    drivers = Drivers(tmp_path)
    yield drivers
    drivers.end()


@pytest.fixture(autouse=True)
def interruptible():
    """A shell starts background jobs with SIGINT ignored, and processes inherit this."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_for(process, ready):
    """Wait until ``ready()`` is true or the process has ended."""
    until = time.monotonic() + 240
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def handles_interrupts(process):
    """Return whether the process has loaded the first files of this package."""
    return FIRST_LIBRARY in Path(f"/proc/{process.pid}/maps").read_text()


def interrupt(drivers, process, ready):
    """Send Ctrl-C when ``ready()`` is true; return the exit code and the messages."""
    wait_for(process, ready)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    return process.returncode, err


def check(drivers, code, err):
    """Assert that the end was announced as it is, and return what was announced."""
    facts = "\n".join((f"exit code {code}", err))
    assert "Traceback" not in err, facts
    assert "terminate called" not in err, facts
    database = drivers.folder / "runs" / "archsieve.db"
    announced = [text for text in (NOTHING, CONTINUE, REPORT) if text in err]
    assert drivers.orphans() == {}, facts
    if code == 0:  # the search had ended before
        return "complete"
    assert announced != [], facts
    if NOTHING in announced:
        assert code == 130, facts
        assert not database.exists() or drivers.run("status", "run")[0] == 2, facts  # the run is unknown
        return NOTHING
    assert code in (75, 130), facts
    if announced == [CONTINUE]:
        drivers.resume_until_done("run")
    assert {trial.state for trial in drivers.history("run")} == {TrialState.COMPLETED}, facts
    check_code, out, _ = drivers.run("db", "check", "--deep")
    assert check_code == 0, out
    return announced[0]


def test_ctrl_c_while_the_package_is_loaded_ends_with_a_message(drivers):
    """Also in a dry run, which loads torch: an exception inside its import would abort the process."""
    for arguments, library in (
        (("search", "search.toml"), "_pydantic_core"),
        (("search", "search.toml", "--dry-run"), "libtorch"),
    ):
        process = drivers(*arguments, "--name", "run")
        maps = Path(f"/proc/{process.pid}/maps")  # the libraries that the process has loaded
        code, err = interrupt(drivers, process, lambda maps=maps, library=library: library in maps.read_text())
        assert check(drivers, code, err) == NOTHING
        assert not (drivers.folder / "runs").exists()


@pytest.mark.slow
def test_ctrl_c_while_ray_starts_leaves_a_run_that_can_be_continued(drivers):
    process = drivers("search", "search.toml", "--name", "run")
    code, err = interrupt(drivers, process, (drivers.folder / "runs" / "run" / "search.log").parent.exists)
    assert code == 75, err
    assert check(drivers, code, err) == CONTINUE


def test_another_command_that_is_interrupted_says_so(drivers):
    with open_store(drivers.folder / "a.db", create=True):
        pass
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    process = drivers("results", "sql", endless, "--timeout", "200", "--db", "a.db")
    code, err = interrupt(drivers, process, lambda: psutil.Process(process.pid).children() != [])
    assert (code, err) == (130, "archsieve: interrupted\n")
    assert drivers.orphans() == {}


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_at_any_moment(tmp_path, times):
    """Thirty moments from the start of the process to the end of the search; ``times`` signals each.

    Every second moment is counted from the creation of the run: a busy machine needs a minute until then.
    """
    rng, announced = random.Random(times), []
    for n in range(30):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "search.toml").write_text(SEARCH)
        drivers = Drivers(folder)
        try:
            process = drivers("search", "search.toml", "--name", "run")
            if n % 2:
                wait_for(process, (folder / "runs" / "run").exists)
            wait_for(process, lambda process=process: handles_interrupts(process))
            time.sleep(rng.uniform(0, 12) * n / 30)
            for _ in range(times):
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGINT)
                time.sleep(rng.uniform(0.05, 0.5))
            _, err = process.communicate(timeout=240)
            announced.append(check(drivers, process.returncode, err))
        finally:
            drivers.end()
    assert {NOTHING, CONTINUE} <= set(announced)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["dry run", "resume"])
def test_ctrl_c_at_any_moment_of_a_dry_run_and_of_a_resume(drivers, command):
    arguments = ("resume", "run") if command == "resume" else ("search", "search.toml", "--name", "run", "--dry-run")
    if command == "resume":
        process = drivers("search", "search.toml", "--name", "run")
        code, err = interrupt(drivers, process, (drivers.folder / "runs" / "run").exists)
        assert CONTINUE in err, f"exit code {code}: {err}"
    rng = random.Random(0)
    for n in range(10):
        process = drivers(*arguments)
        wait_for(process, lambda process=process: handles_interrupts(process))
        moment = time.monotonic() + rng.uniform(0, 12) * n / 10
        code, err = interrupt(drivers, process, lambda moment=moment: time.monotonic() > moment)
        facts = f"exit code {code}: {err}"
        assert "Traceback" not in err, facts
        assert "terminate called" not in err, facts
        assert drivers.orphans() == {}, facts
        if code == 0:
            break
        assert code in (75, 130), facts
        assert NOTHING in err or (CONTINUE in err and command == "resume"), facts
    if command == "resume":
        drivers.resume_until_done("run")
        assert drivers.run("db", "check", "--deep")[0] == 0
