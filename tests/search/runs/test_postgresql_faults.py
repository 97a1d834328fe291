"""A PostgreSQL server that is restored to an older backup while a search writes to it."""

import os
import subprocess

import pytest

from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up

from ..drivers import Drivers
from .test_ray_deaths import SEARCH

pytestmark = pytest.mark.slow
LONG = ("-s", "recipe.epochs=400", "-s", "search.trials=4", "-s", "resources.max_concurrent=1")


@pytest.fixture
def drivers(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    drivers = Drivers(tmp_path)
    yield drivers
    drivers.end()


def test_a_server_that_is_set_back_is_named_and_the_run_is_completed(drivers, server, tmp_path, monkeypatch):
    server.execute("CREATE DATABASE results")
    url = server.url("results")
    monkeypatch.setenv("ARCHSIEVE_DB", url)

    def trials(run):
        with open_store(url, read_only=True) as store:
            return store.history(run).trials

    monkeypatch.setattr(drivers, "history", trials)
    driver = drivers("search", "search.toml", "--name", "run", *LONG)
    drivers.wait_for("run", lambda found: any(trial.epochs_done >= 5 for trial in found), driver)
    saved = back_up(url, tmp_path / "older.dump")
    drivers.wait_for("run", lambda found: len(found) >= 2 and found[1].epochs_done >= 2, driver)
    # As an administrator does: the old database is dropped, although a search writes to it.
    server.execute("DROP DATABASE results WITH (FORCE)", "CREATE DATABASE results")
    restore = [server.binaries / "pg_restore", "--no-owner", "-d", url.replace("+psycopg", ""), saved]
    subprocess.run(restore, check=True, capture_output=True, env=os.environ)
    _, err = driver.communicate()
    assert driver.returncode == 5, err
    assert "Traceback" not in err
    assert "propose it first" not in err
    assert "archsieve resume" in err
    drivers.resume_until_done("run")
    assert [trial.state for trial in trials("run")] == [TrialState.COMPLETED] * 4
    code, out, err = drivers.run("db", "check", "--deep")
    assert code == 0, out + err
