"""Restore: logs of removed databases, two restores, and a restore that fails after the rename."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from archsieve.results.database.sqlite_file import check_file, free_path
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up
from archsieve.results.maintenance.restore import _set_aside, _unused, restore


def names(path):
    """The names of all runs in the database."""
    with open_store(path) as store:
        return [run.name for run in store.runs()]


@pytest.fixture
def database(tmp_path):
    """A database with one run, and its backup."""
    path = tmp_path / "archsieve.db"
    with open_store(path, create=True) as store:
        store.create_run("first", {}, "random", 0, {"content_hash": "d", "name": "digits"}, {})
    return path, back_up(path, tmp_path / "backup.db")


def write_log(path):
    """Leave the log of a database that was removed, as a killed process does."""
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL');"
        "c.execute('CREATE TABLE t (x)'); c.execute('INSERT INTO t VALUES (zeroblob(100000))'); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    path.unlink()


def test_two_restores_with_the_log_of_a_removed_database(database):
    path, backup = database
    path.unlink()
    write_log(path)
    assert path.with_name("archsieve.db-wal").stat().st_size > 0
    assert restore(backup, path) is None
    assert path.with_name("archsieve.db-wal-old").exists()
    with open_store(path) as store:
        store.create_run("second", {}, "random", 0, {"content_hash": "d", "name": "digits"}, {})
    kept = restore(backup, path)
    assert names(path) == ["first"]
    assert sorted(names(kept)) == ["first", "second"]


def test_a_name_with_an_old_log_is_not_free(tmp_path):
    for suffix in ("-wal", "-shm", "-journal"):
        (tmp_path / f"a.db{suffix}").touch()
        assert free_path(tmp_path / "a.db") == tmp_path / "a-2.db"
        (tmp_path / f"a.db{suffix}").unlink()
    assert free_path(tmp_path / "a.db") == tmp_path / "a.db"


def test_a_restore_that_fails_after_the_rename_undoes_it(database):
    path, _ = database
    path.with_name("archsieve.db-wal").write_bytes(b"log")
    with pytest.raises(FileNotFoundError), _set_aside(path) as kept:
        path.with_name("missing.db").replace(path)
    assert kept is not None
    assert not kept.exists()
    assert path.with_name("archsieve.db-wal").read_bytes() == b"log"
    path.with_name("archsieve.db-wal").unlink()
    check_file(path)


def test_no_process_opens_a_database_while_it_is_replaced(database):
    path, _ = database
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM run')"
    with _unused(path), _set_aside(path) as kept:
        result = subprocess.run([sys.executable, "-c", code, str(kept)], capture_output=True, text=True, check=False)
    assert "locked" in result.stderr
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)
