"""Databases that are removed, locked or damaged: the error names the file and a fix, and the file is not replaced."""

import logging
import os
import re
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
    """Only SQLite has a file."""
    return path


def test_a_database_removed_during_a_run_is_rescued(store, path, new_run, complete):
    run_id = new_run("one")
    complete(run_id, "f0", 0.5)
    path.unlink()
    complete(run_id, "f1", 0.75)  # SQLite continues to write to the removed file
    with pytest.raises(StoreError, match=r"archsieve.db was removed or replaced .*archsieve-rescued.db"):
        store.heartbeat(run_id)
    with pytest.raises(StoreError, match="was removed or replaced"):
        store.finish_run(run_id, "stopped")
    assert not path.exists()
    with open_store(path.with_name("archsieve-rescued.db"), read_only=True) as rescued:
        assert [trial.val_accuracy for trial in rescued.history("one")] == [0.5, 0.75]


def test_a_database_replaced_during_a_run_is_detected(store, path, new_run):
    run_id = new_run("one")
    path.rename(path.with_name("moved.db"))
    open_store(path, create=True).close()
    with pytest.raises(StoreError, match="removed or replaced"):
        store.heartbeat(run_id)


def _overwrite(path, page):
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(4096))


@pytest.mark.parametrize(
    ("damage", "facts"),
    [
        (lambda path: path.unlink(), "no results database at"),
        (lambda path: os.truncate(path, 0), r"\(0 bytes\).*archsieve db restore"),
        (lambda path: os.truncate(path, 5000), "malformed.*archsieve db restore"),
        (lambda path: _overwrite(path, 0), "not an SQLite database.*archsieve db restore"),
        (lambda path: [_overwrite(path, page) for page in range(1, 12)], "malformed.*archsieve db restore"),
    ],
    ids=["removed", "emptied", "truncated", "first page", "pages"],
)
def test_a_damaged_database_is_named_with_a_fix_and_not_changed(store, path, new_run, complete, damage, facts):
    complete(new_run("one"), "f0", 0.5)
    store.close()
    damage(path)
    before = path.read_bytes() if path.exists() else None
    for read_only in (True, False):
        with pytest.raises(StoreError, match=facts) as caught, open_store(path, read_only=read_only) as opened:
            opened.history("one")
        assert "archsieve.db" in str(caught.value)
    assert (path.read_bytes() if path.exists() else None) == before


class Lock:
    """Another connection that holds the lock of the database for some seconds."""

    def __init__(self, path, seconds):
        self._is_locked = threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(path, seconds))

    def __enter__(self):
        self._thread.start()
        self._is_locked.wait()

    def __exit__(self, *_):
        self._thread.join()

    def _hold(self, path, seconds):
        connection = sqlite3.connect(path)
        connection.execute("BEGIN EXCLUSIVE")
        self._is_locked.set()
        time.sleep(seconds)
        connection.close()


def test_a_write_waits_for_a_lock_and_warns_once(store, path, new_run, caplog):
    run_id = new_run("one")
    with caplog.at_level(logging.WARNING, "archsieve"):
        for n in range(2):
            with Lock(path, 2.2):
                store.add_event(run_id, "info", "waited", n)
    assert [event["detail"] for event in store.events("one")] == [0, 1]
    (warning,) = caplog.records
    assert re.search(r"archsieve\.db was locked .* 2 s", warning.getMessage())


def test_a_lock_that_remains_raises_a_locked_error(path, new_run, monkeypatch):
    run_id = new_run("one")
    monkeypatch.setattr("archsieve.results.database.sqlite_file.BUSY_S", 0.2)
    with open_store(path) as opened, Lock(path, 1), pytest.raises(LockedError, match=r"archsieve\.db.*locked"):
        opened.add_event(run_id, "info", "waited", 0)


def test_a_full_disk_has_its_own_error():
    assert type(store_error("a.db", "database or disk is full")) is DiskFullError
    assert "writable" in str(store_error("a.db", "attempt to write a readonly database"))
    assert str(store_error("a.db", "no such column: x")).startswith("a.db: no such column: x;")


def test_a_broken_foreign_key_is_found(store, new_run, complete, path):
    complete(new_run("one"), "f0", 0.5)
    with sqlite3.connect(path) as connection:  # sqlite3 does not enforce foreign keys by default
        connection.execute("INSERT INTO attempt (trial_id, attempt, started_at, heartbeat_at) VALUES (99, 0, '', '')")
    connection.close()
    (broken,) = check_store(store, path.parent)
    assert (broken.invariant, " of attempt " in broken.message) == ("file", True)


def test_a_backup_is_a_complete_copy_and_overwrites_nothing(store, new_run, complete, path, tmp_path):
    complete(new_run("one"), "f0", 0.5)
    with store.write_transaction() as connection:
        connection.execute(insert(schema.meta).values(key="open", value="not yet written"))
        copy = back_up(path, tmp_path / "backups" / "copy.db")  # while another connection writes
    with open_store(copy, read_only=True) as copied:
        assert copied.history("one") == store.history("one")
        assert check_store(copied, None, deep=True) == []
    assert [p.name for p in copy.parent.iterdir()] == ["copy.db"]
    with pytest.raises(StoreError, match=r"copy\.db exists"):
        back_up(path, copy)
    assert back_up(path).parent == path.parent
