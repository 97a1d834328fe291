"""Deaths of Ray's own processes: the driver ends with advice, and the run is resumed without a loss."""

import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from archsieve.results.database.records import PREDICTIONS, TrialState
from archsieve.results.database.store import open_store

from ..drivers import Drivers

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
epochs = 60
[search]
trials = 2
searcher = "random"
cache = false
"""


@pytest.fixture
def drivers(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    drivers = Drivers(tmp_path)
    yield drivers
    drivers.end()


def part_of_ray(driver, name):
    """Return the process of Ray with this program that a driver has started."""
    return next(one for one in psutil.Process(driver.pid).children() if Path(one.cmdline()[0]).name == name)


def private_folder(raylet):
    """Return the private folder of a driver's Ray, from the command line of its node manager."""
    return Path(re.search(r"/[^\s=]*/as-ray-[^/]+", " ".join(raylet.cmdline()))[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_death_of_ray_ends_with_advice_and_the_run_is_resumed(drivers, line, ray_running, name):
    driver = drivers("search", "search.toml", "--name", "run", "-s", "resources.max_concurrent=1")
    drivers.wait_for("run", lambda trials: any(trial.epochs_done >= 2 for trial in trials), driver)
    victim = part_of_ray(driver, name)
    folder = private_folder(part_of_ray(driver, "raylet"))
    assert folder.stat().st_mode & 0o777 == 0o700
    os.kill(victim.pid, signal.SIGKILL)
    _, err = driver.communicate()
    assert driver.returncode == 75, err
    assert "Traceback" not in err
    assert f"({'raylet' if name == 'raylet' else 'GCS'}), by signal 9" in err
    assert "archsieve resume run" in err
    assert drivers.orphans() == {}
    assert not folder.exists()
    code, _, err = line("resume", "run")
    assert code == 0, err
    assert {trial.state for trial in drivers.history("run")} == {TrialState.COMPLETED}
    with open_store(drivers.folder / "runs" / "archsieve.db", read_only=True) as store:
        assert {event["kind"] for event in store.events("run")} <= {
            "finding",
            PREDICTIONS,
        }  # no loss is counted to a trial
    code, out, err = line("db", "check", "--deep")
    assert code == 0, out + err
