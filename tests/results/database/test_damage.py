"""Databases that are taken away, locked or damaged: told by name and cure, and never begun anew."""

import logging
import os
import sqlite3
import threading
import time

import pytest
from sqlalchemy import insert

from archsieve.results.database import schema
from archsieve.results.database.errors import DiskFullError, LockedError, StoreError, store_error
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up
from archsieve.results.maintenance.integrity import check_store


@pytest.fixture
def database(path):
    """Files are SQLite's alone."""
    return path


def test_a_database_that_is_removed_under_a_run_is_saved(store, path, new_run, complete):
    run_id = new_run("one")
    complete(run_id, "f0", 0.5)
    path.unlink()
    complete(run_id, "f1", 0.75)  # SQLite goes on writing to a file without a name
    with pytest.raises(StoreError, match=r"archsieve.db was removed or replaced .* saved in .*archsieve-rescued.db"):
        store.heartbeat(run_id)
    with pytest.raises(StoreError, match="was removed or replaced"):
        store.finish_run(run_id, "stopped")
    assert not path.exists()
    with open_store(path.with_name("archsieve-rescued.db"), read_only=True) as rescued:
        assert [trial.val_accuracy for trial in rescued.history("one")] == [0.5, 0.75]


def test_a_database_that_is_replaced_under_a_run_is_noticed(store, path, new_run):
    run_id = new_run("one")
    path.rename(path.with_name("kept.db"))
    open_store(path, create=True).close()
    with pytest.raises(StoreError, match="removed or replaced"):
        store.heartbeat(run_id)


def _overwrite(path, page):
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(4096))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "no results database at"),
        (lambda path: os.truncate(path, 0), r"is empty \(0 bytes\).*archsieve db backup"),
        (lambda path: os.truncate(path, 5000), "malformed; the file is damaged.*archsieve db backup"),
        (lambda path: _overwrite(path, 0), "is not an SQLite database.*archsieve db backup"),
        (lambda path: [_overwrite(path, page) for page in range(1, 12)], "malformed; the file is damaged.*db backup"),
    ],
    ids=["removed", "emptied", "truncated", "first page", "pages"],
)
def test_a_damaged_database_is_named_with_its_cure_and_left_as_it_is(store, path, new_run, complete, damage, said):
    complete(new_run("one"), "f0", 0.5)
    store.close()
    damage(path)
    before = path.read_bytes() if path.exists() else None
    for read_only in (True, False):
        with pytest.raises(StoreError, match=said) as caught, open_store(path, read_only=read_only) as opened:
            opened.history("one")
        assert "archsieve.db" in str(caught.value)
    assert (path.read_bytes() if path.exists() else None) == before


class Lock:
    """Another program that holds the database for so long."""

    def __init__(self, path, seconds):
        self._held = threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(path, seconds))

    def __enter__(self):
        self._thread.start()
        self._held.wait()

    def __exit__(self, *_):
        self._thread.join()

    def _hold(self, path, seconds):
        connection = sqlite3.connect(path)
        connection.execute("BEGIN EXCLUSIVE")
        self._held.set()
        time.sleep(seconds)
        connection.close()


def test_a_locked_database_is_waited_for_with_one_warning(store, path, new_run, caplog):
    run_id = new_run("one")
    with caplog.at_level(logging.WARNING, "archsieve"):
        for n in range(2):
            with Lock(path, 2.2):
                store.add_event(run_id, "info", "waited", n)
    assert [event["detail"] for event in store.events("one")] == [0, 1]
    (warning,) = caplog.records
    assert "was locked by another program for 2 s" in warning.getMessage()


def test_a_lock_that_lasts_is_an_error_of_its_own(path, new_run, monkeypatch):
    run_id = new_run("one")
    monkeypatch.setattr("archsieve.results.database.sqlite_file.BUSY_S", 0.2)
    with open_store(path) as impatient, Lock(path, 1), pytest.raises(LockedError, match="end it and try again"):
        impatient.add_event(run_id, "info", "waited", 0)


def test_a_full_disk_is_told_from_other_trouble():
    assert type(store_error("a.db", "database or disk is full")) is DiskFullError
    assert "writable" in str(store_error("a.db", "attempt to write a readonly database"))
    assert str(store_error("a.db", "no such column: x")) == "a.db: no such column: x; nothing was changed"


def test_a_row_that_points_nowhere_is_found(store, new_run, complete, path):
    complete(new_run("one"), "f0", 0.5)
    with sqlite3.connect(path) as connection:  # without the foreign keys that a store insists on
        connection.execute("INSERT INTO attempt (trial_id, attempt, started_at, heartbeat_at) VALUES (99, 0, '', '')")
    connection.close()
    (broken,) = check_store(store, path.parent)
    assert (broken.invariant, "of attempt points nowhere" in broken.said) == ("file", True)


def test_a_backup_is_a_whole_store_and_overwrites_nothing(store, new_run, complete, path, tmp_path):
    complete(new_run("one"), "f0", 0.5)
    with store.writing() as connection:
        connection.execute(insert(schema.meta).values(key="open", value="not yet written"))
        copy = back_up(path, tmp_path / "kept" / "copy.db")  # while another one writes
    with open_store(copy, read_only=True) as kept:
        assert kept.history("one") == store.history("one")
        assert check_store(kept, None, deep=True) == []
    assert [p.name for p in copy.parent.iterdir()] == ["copy.db"]
    with pytest.raises(StoreError, match=r"overwrites nothing, but .*copy.db exists"):
        back_up(path, copy)
    assert back_up(path).parent == path.parent
