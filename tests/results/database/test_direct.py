"""Writes on a raw SQLite connection: atomic, and with the same result as through SQLAlchemy."""

import pytest

from archsieve.results.database import schema
from archsieve.results.database.errors import NotStorableError, StoreError
from archsieve.results.database.fast_sqlite import compiled
from archsieve.results.database.lease import now
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.database.writer import StoreWriter

EVENT = {"run_id": 1, "level": "info", "kind": "k", "detail": {}}
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def contents(store):
    """Return all rows of all tables; times and durations, which differ in each run, become True or False (NULL)."""
    with store.read_transaction() as connection:
        tables = [table for table in schema.metadata.sorted_tables if table is not schema.process]
        return {table.name: [comparable(row) for row in connection.execute(table.select())] for table in tables}


def comparable(row):
    time_columns = ("_at", "duration_s")
    return {name: value is not None if name.endswith(time_columns) else value for name, value in row._mapping.items()}


def test_raw_writes_equal_sqlalchemy_writes(tmp_path, monkeypatch, store, new_run, complete):
    def fill(make):
        run = make()
        for number, accuracy in enumerate((0.5, None, 0.75, float("nan"))):
            complete(run, f"f{number % 3}", accuracy)

    fill(new_run)
    raw_contents = contents(store)
    with store.write_transaction() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if table is not schema.meta:
                connection.execute(table.delete())
    monkeypatch.setattr(StoreWriter, "_write_trial", StoreWriter.write)
    fill(new_run)
    assert contents(store) == raw_contents
    assert len(raw_contents["trial"]) == 4


def test_a_proposal_that_cannot_be_stored_leaves_nothing(store, new_run):
    run = new_run()
    before = contents(store)
    cost = {"params": 1, "macs": 1, "activations": 1, "memory_bytes": 1}
    proposal = {"architecture": {}, "fingerprint": "f", "cost": cost, "choices": {}, "seed": 0}
    for recipe in ({"lr": float("nan")}, {"lr": {1, 2}}):
        with pytest.raises(NotStorableError, match="finite numbers"):
            store.propose(run, **proposal, recipe=recipe)
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.propose(run + 1, **proposal, recipe={})
    assert contents(store) == before


def test_a_failed_raw_write_is_rolled_back(store, new_run, propose):
    trial = propose(new_run()).trial
    before = contents(store)

    def fail(connection):
        connection.execute(schema.event.insert(), {"trial_id": trial, **EVENT, "at": now()})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store._raw_writer.write(fail)
    assert contents(store) == before
    store.start(trial)  # the connection still works, and the lock is free
    assert store.trial(trial).state is TrialState.RUNNING


def test_a_read_only_store_refuses_raw_writes(database, store, new_run, propose):
    trial = propose(new_run()).trial
    with open_store(database, read_only=True) as reader, pytest.raises(StoreError, match="read only"):
        reader.start(trial)


def test_statements_are_compiled_once(store, new_run, complete):
    run = new_run()
    complete(run, "f0", 0.5)
    before = compiled.cache_info().misses
    complete(run, "f1", 0.6)
    assert compiled.cache_info().misses == before
