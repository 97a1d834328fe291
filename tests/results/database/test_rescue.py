"""Files that are removed, replaced or overwritten during a run: what the message advises ends well, done literally."""

import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from archsieve.results.database.errors import LockedError, SetBackError, StoreError, TakenOverError
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.backup import back_up
from archsieve.results.maintenance.integrity import check_store
from archsieve.results.maintenance.restore import restore


@pytest.fixture
def database(path):
    """Only SQLite has a file."""
    return path


def advised(message):
    """The arguments of the restore command in a message."""
    (command,) = re.findall(r"archsieve (db restore \S+ --db [^;,\s]+)", message)
    return shlex.split(command)


def accuracies(path):
    with open_store(path, read_only=True) as opened:
        assert check_store(opened, None, deep=True) == []
        return [trial.val_accuracy for trial in opened.trials("one")]


def leave_a_log(path, new_run, complete, store):
    """A run with two trials, of which the second is only in the write-ahead log."""
    run_id = new_run("one")
    complete(run_id, "f0", 0.5)
    store.heartbeat(run_id)
    complete(run_id, "f1", 0.75)
    assert path.with_name("archsieve.db-wal").stat().st_size
    return run_id


@pytest.mark.parametrize("replaced", [False, True])
def test_the_advice_after_a_removal_ends_well(store, path, new_run, complete, line, tmp_path, replaced):
    with open_store(tmp_path / "other.db", create=True):
        pass
    run_id = leave_a_log(path, new_run, complete, store)
    path.unlink()
    if replaced:
        (tmp_path / "other.db").rename(path)
    with pytest.raises(StoreError, match="removed or replaced") as caught:
        store.heartbeat(run_id)
    # SQLite would write a log that is left here into the next file of this name
    assert not [p.name for p in path.parent.glob("archsieve.db-*")]
    store.close()
    code, _, err = line(*advised(str(caught.value)))
    assert code == 0, err
    assert accuracies(path) == [0.5, 0.75]


def test_a_rescued_file_that_is_renamed_by_hand_is_intact(store, path, new_run, complete):
    run_id = leave_a_log(path, new_run, complete, store)
    path.unlink()
    with pytest.raises(StoreError, match="removed or replaced"):
        store.heartbeat(run_id)
    path.with_name("archsieve-rescued.db").rename(path)  # while the old driver still has the removed file open
    assert accuracies(path) == [0.5, 0.75]
    store.close()
    assert accuracies(path) == [0.5, 0.75]


def test_a_rescue_does_not_overwrite_an_earlier_one(store, path, new_run, complete):
    run_id = leave_a_log(path, new_run, complete, store)
    path.with_name("archsieve-rescued.db").write_text("the only copy of another day")
    path.unlink()
    for call in (lambda: store.heartbeat(run_id), lambda: store.finish_run(run_id, "stopped")):
        with pytest.raises(StoreError, match=r"archsieve-rescued-2\.db"):
            call()
    assert path.with_name("archsieve-rescued.db").read_text() == "the only copy of another day"
    assert accuracies(path.with_name("archsieve-rescued-2.db")) == [0.5, 0.75]


@pytest.mark.parametrize("copy", ["backup", "file"])
def test_a_database_overwritten_in_place_stops_the_run_and_the_advice_ends_well(
    store, path, new_run, complete, line, tmp_path, copy
):
    old = tmp_path / "old.db"
    run_id = new_run("one")
    complete(run_id, "f0", 0.5)
    if copy == "backup":
        back_up(path, old)
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(path, old)
    for n in range(40):  # more pages, so that the database differs from its copy
        complete(run_id, f"g{n}", 0.25)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    store.heartbeat(run_id)
    complete(run_id, "f1", 0.75)
    path.write_bytes(old.read_bytes())  # the same inode, as with cp
    with pytest.raises(SetBackError, match="overwritten") as caught:
        store.heartbeat(run_id)
    with pytest.raises(SetBackError):
        store.finish_run(run_id, "stopped")
    store.close()
    assert path.read_bytes() == old.read_bytes()  # the log of the run was not written into the copy
    if "archsieve-rescued.db" not in str(caught.value):
        assert "newest backup" in str(caught.value)
        assert accuracies(old) == [0.5]
        return
    code, _, err = line(*advised(str(caught.value)))
    assert code == 0, err
    assert accuracies(path) == [0.5, *[0.25] * 40, 0.75]


def test_growth_checkpoints_and_a_vacuum_are_no_damage(store, path, new_run, complete):
    run_id = new_run("one")
    store.heartbeat(run_id)
    for n in range(30):
        complete(run_id, f"f{n}", 0.5)
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"PRAGMA wal_checkpoint({('PASSIVE', 'TRUNCATE', 'RESTART')[n % 3]})")
            if n % 10 == 5:
                other.execute("VACUUM")
        store.heartbeat(run_id)
    assert len(store.trials("one")) == 30


def test_a_database_set_back_by_sqlite_itself_is_noticed(store, path, new_run, complete, tmp_path):
    run_id = new_run("one")
    store.heartbeat(run_id)
    back_up(path, tmp_path / "old.db")
    store.heartbeat(run_id)
    with closing(sqlite3.connect(tmp_path / "old.db")) as old, closing(sqlite3.connect(path)) as current:
        old.backup(current)
    with pytest.raises(SetBackError, match="older state"):
        store.heartbeat(run_id)


def test_a_run_that_was_taken_over_is_not_set_back(store, path, new_run):
    run_id = new_run("one", provenance={"host": "elsewhere", "pid": 1})
    store.heartbeat(run_id)
    with store.write_transaction() as connection:
        connection.exec_driver_sql("UPDATE process SET ended_at = heartbeat_at, end_reason = 'lost'")
    with pytest.raises(TakenOverError, match="no process"):
        store.heartbeat(run_id)


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "emptied": lambda path: path.write_bytes(b""),
    "other content": lambda path: path.write_bytes(b"text" * 5000),
    "removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("log", [False, True], ids=["no log", "a log is left"])
def test_a_backup_is_restored_as_the_message_advises(store, path, new_run, complete, line, tmp_path, damage, log):
    run_id = new_run("one")
    complete(run_id, "f0", 0.5)
    backup = back_up(path, tmp_path / "backup.db")
    complete(run_id, "f1", 0.75)
    stale = path.with_name("archsieve.db-wal").read_bytes()  # of a process that was killed
    store.close()
    DAMAGES[damage](path)
    if log:
        path.with_name("archsieve.db-wal").write_bytes(stale)
    code, _, err = line("status", "--db", str(path))
    assert code == 5
    assert "db restore BACKUP" in err
    arguments = [str(backup) if word == "BACKUP" else word for word in advised(err)]
    code, out, err = line(*arguments)
    assert code == 0, err
    assert accuracies(path) == [0.5]
    kept = path.with_name("archsieve-replaced.db")
    assert (str(kept) in out, kept.exists()) == (damage != "removed",) * 2
    kept_log = "archsieve.db-wal-old" if damage == "removed" else "archsieve-replaced.db-wal"
    assert path.with_name(kept_log).exists() == log


def test_a_new_database_does_not_get_the_log_of_a_removed_one(store, path, new_run, complete, caplog):
    complete(new_run("one"), "f0", 0.5)
    stale = path.with_name("archsieve.db-wal").read_bytes()
    store.close()
    path.unlink()
    path.with_name("archsieve.db-wal").write_bytes(stale)
    with open_store(path, create=True) as fresh:
        assert fresh.runs() == []
        assert check_store(fresh, None, deep=True) == []
    assert path.with_name("archsieve.db-wal-old").read_bytes() == stale
    assert "archsieve.db-wal-old" in caplog.text


def test_a_restored_backup_has_a_write_ahead_log_again(store, path, new_run, tmp_path):
    new_run("one")
    back_up(path, tmp_path / "copy.db")
    with (
        open_store(tmp_path / "copy.db") as opened,
        opened.write_transaction(),
        open_store(tmp_path / "copy.db", read_only=True) as reader,  # does not wait for the writer
    ):
        assert [run.name for run in reader.runs()] == ["one"]


def test_a_restore_refuses_what_would_lose_something(store, path, new_run, tmp_path, line):
    new_run("one")
    backup = back_up(path, tmp_path / "backup.db")
    with pytest.raises(StoreError, match="another file"):
        restore(path, path)
    (tmp_path / "text.db").write_text("no database" * 1000)
    with pytest.raises(StoreError, match="not an SQLite database"):
        restore(tmp_path / "text.db", path)
    store.close()
    holder = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM run').fetchone();"
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(LockedError, match="another process has it open"):
            restore(backup, path)
        other.communicate(b"\n")
    assert restore(backup, path) == path.with_name("archsieve-replaced.db")
    with open_store(path, read_only=True) as restored:
        assert [run.name for run in restored.runs()] == ["one"]
