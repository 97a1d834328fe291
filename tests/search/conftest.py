"""Fixtures of the search tests: small experiments, the command line, Python programs in their own processes."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from archsieve.results.database.store import Store
from archsieve.search.experiment.experiment import Experiment, experiment
from archsieve.search.experiment.search_file import parse

from ..results.server import Server, why_not

SMALL = {
    "data": {"limit": 300},
    "budget": {"params": "20k", "macs": "1M"},
    "space": {"stem": [8, 16], "stages": [{"block": ["conv-pool", "residual", "inception"], "width": [8, 16, 24]}]},
    "recipe": {"epochs": 2, "lr": {"low": 0.05, "high": 0.5, "log": True}, "batch_size": 64},
    "search": {"trials": 4, "searcher": "random", "cache": False},  # tests of the cache turn it on
    "resources": {"max_concurrent": 1},
}
# A second worker imports torch for five seconds of CPU time, and takes half of trials that last for less than a second.
ONE_WORKER = {"resources.max_concurrent": 1}
TWO_WORKERS = {"max_concurrent": 2}


def small(**tables: dict) -> Experiment:
    """Return the small experiment; keys in ``tables`` replace those of :data:`SMALL`."""
    merged = {name: {**SMALL.get(name, {}), **tables.get(name, {})} for name in {*SMALL, *tables}}
    if "space" in tables:
        merged["space"] = tables["space"]
    return experiment(parse(merged))


def create_empty_run(store: Store, experiment: Experiment) -> int:
    """Create a run of ``experiment`` without data and return its id, for trainables that replace networks."""
    return store.create_run("r", experiment.to_json(), "random", 0, {"content_hash": "0", "name": "none"}, {})


def python(program: str, folder: Path) -> str:
    """Run a Python program in ``folder`` in a new process, without the Ray settings of this one; return its stdout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment, "HOME": str(folder)},
    )
    return result.stdout


@pytest.fixture
def command(tmp_path):
    """Run ``archsieve ...`` in a temporary folder, in a new process; return exit code, stdout, stderr."""

    def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        result = subprocess.run(
            [sys.executable, "-m", "archsieve", *arguments],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path / "home"), "TERM": "dumb", **variables},
            capture_output=True,
            text=True,
        )
        return result.returncode, result.stdout, result.stderr

    (tmp_path / "home").mkdir()
    return run


@pytest.fixture
def server():
    """A PostgreSQL server of this test; without its programs the test is skipped."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="archsieve-pg-"))
    postgresql = Server(folder)
    try:
        postgresql.start()
        yield postgresql
    finally:
        postgresql.stop()
        shutil.rmtree(folder)
