"""Fixtures for tests of the results database: stores in SQLite and PostgreSQL, runs and trials."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archsieve.results.database.records import FailKind, Trial, TrialState
from archsieve.results.database.store import Store, open_store

from .server import Server, why_not

_NUMBERS = itertools.count()
DATASET = {"content_hash": "d1", "name": "digits", "n_train": 1000, "n_val": 300, "n_test": 497, "n_classes": 10}
LAYERS = [
    {"name": "conv", "kind": "conv", "out_shape": [8, 8, 8], "params": 80, "macs": 4608, "activations": 512},
    {"name": "pool", "kind": "max-pool", "out_shape": [8, 4, 4], "params": 0, "macs": 0, "activations": 0},
    {"name": "fc", "kind": "linear", "out_shape": [10], "params": 1290, "macs": 1280, "activations": 10},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archsieve.db"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server for the whole test session; tests are skipped if none can be started."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="archsieve-pg-"))  # pytest's folder is not readable by the server's user
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def empty_database(postgresql: Server) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    name = f"t{next(_NUMBERS)}"
    postgresql.execute(f"CREATE DATABASE {name}")
    yield postgresql.url(name)
    postgresql.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str | Path:
    """The location of a store: a test runs once per database engine, because all must behave in the same way."""
    return request.getfixturevalue("path" if request.param == "sqlite" else "empty_database")


@pytest.fixture
def store(database: str | Path) -> Iterator[Store]:
    with open_store(database, create=True) as store:
        yield store


@pytest.fixture
def new_run(store: Store) -> Callable[..., int]:
    def make(name: str = "digits", **entries: Any) -> int:
        config = entries.pop("config", {"budget": {"params": "60k", "macs": "6M"}})
        provenance = {"argv": ["archsieve", "search", "my file.toml"], "versions": {"archsieve": "0.1.0"}}
        settings = {"searcher": "random", "seed": 3, "dataset": DATASET, "provenance": provenance, **entries}
        return store.create_run(name, config, **settings)

    return make


@pytest.fixture
def propose(store: Store) -> Callable[..., Trial]:
    def make(run_id: int, fingerprint: str = "f0", **cost: int) -> Trial:
        costs = {"params": 1370, "macs": 5888, "activations": 522, "memory_bytes": 10**6, **cost}
        return store.propose(
            run_id,
            architecture={"input_shape": [1, 8, 8], "blocks": [fingerprint]},
            fingerprint=fingerprint,
            cost=costs,
            layers=LAYERS,
            choices={"stage.width": 1},
            recipe={"lr": 0.1, "epochs": 2},
            seed=5,
        )

    return make


@pytest.fixture
def complete(store: Store, propose: Callable[..., Trial]) -> Callable[..., Trial]:
    """Propose and end a trial: completed if it has an accuracy, else failed."""

    def make(run_id: int, fingerprint: str, accuracy: float | None, **cost: int) -> Trial:
        trial = propose(run_id, fingerprint, **cost)
        store.start(trial.trial, device="cpu")
        if accuracy is None:
            store.finish(trial.trial, TrialState.FAILED, fail_kind=FailKind.OOM, reason="<b>no memory</b>")
        else:
            store.record_epoch(trial.trial, 1, {"val_accuracy": accuracy / 2, "val_loss": 1.0})
            store.record_epoch(trial.trial, 2, {"val_accuracy": accuracy, "val_loss": 0.5})
            store.finish(trial.trial, TrialState.COMPLETED, summary={"val_accuracy": accuracy, "best_epoch": 2})
        return store.trial(trial.trial)

    return make
