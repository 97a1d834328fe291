import contextlib
import errno
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from archsieve.results.database import schema
from archsieve.results.database.errors import LockedError, StoreError
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.maintenance.upgrade import upgrade

OLD = Path(__file__).parent / "old"


@pytest.fixture
def stored(database, request) -> Callable[[int], str | Path]:
    """Create the database of an old schema, as the last release of that schema wrote it."""

    def create(number: int) -> str | Path:
        if isinstance(database, Path):
            with closing(sqlite3.connect(database)) as raw:
                raw.executescript((OLD / f"schema-{number}.sqlite.sql").read_text(encoding="utf-8"))
                raw.execute("PRAGMA journal_mode = WAL")
        else:
            server, name = request.getfixturevalue("postgresql"), database.rpartition("/")[2]
            server.execute((OLD / f"schema-{number}.postgresql.sql").read_text(encoding="utf-8"), database=name)
        return database

    return create


@pytest.fixture
def old(stored) -> str | Path:
    """A database of schema 1, whose upgrade runs every migration."""
    return stored(1)


@pytest.fixture
def backup_path(tmp_path) -> Path:
    return tmp_path / "backup.db"


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        return list(raw.iterdump())


def rows(database, tables) -> dict[str, set[str]]:
    """Return all rows as texts, by table; ``tables`` maps each table to its columns."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{database}" if isinstance(database, Path) else database)
    with engine.connect() as connection:
        rows_by_table = {
            table: {repr(tuple(row)) for row in connection.execute(sqlalchemy.text(f"SELECT {columns} FROM {table}"))}
            for table, columns in tables.items()
        }
    engine.dispose()
    return rows_by_table


def columns_of(database) -> dict[str, str]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{database}" if isinstance(database, Path) else database)
    inspector = sqlalchemy.inspect(engine)
    tables = {
        table: ", ".join(f'"{c["name"]}"' for c in inspector.get_columns(table))
        for table in inspector.get_table_names()
        if table != "meta"
    }
    engine.dispose()
    return tables


def test_an_old_store_is_refused_with_a_fix(old):
    for create in (False, True):
        with pytest.raises(StoreError, match=r"schema 1\b.*archsieve db upgrade"):
            open_store(old, create=create)


def test_there_is_a_stored_database_of_every_older_schema():
    stored_files = {path.name for path in OLD.glob("schema-*.sql")}
    engines = ("sqlite", "postgresql")
    assert stored_files == {f"schema-{n}.{engine}.sql" for n in range(1, schema.SCHEMA_VERSION) for engine in engines}


@pytest.mark.parametrize(("number", "count"), [(1, 49), (2, 61)])
def test_an_upgrade_keeps_every_row_and_has_the_schema_of_a_new_store(stored, number, count, backup_path, monkeypatch):
    # The driver in the stored database was on another machine, so it is watched before its run is resumed.
    monkeypatch.setattr("archsieve.results.database.store.WATCH_S", 2.0)
    old = stored(number)
    tables = columns_of(old)
    before = rows(old, tables)
    assert sum(map(len, before.values())) == count
    result = upgrade(old, backup_path)
    assert (result.before, result.after, result.backup) == (number, schema.SCHEMA_VERSION, backup_path)
    assert rows(old, tables) == before
    with open_store(old) as store:
        with store.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        states = [trial.state for trial in store.trials("finished")]
        assert states == [TrialState.COMPLETED, TrialState.COMPLETED, TrialState.STOPPED_EARLY, TrialState.FAILED]
        assert repr(store.curve(4)) == "{'train_loss': [(1, inf)], 'val_loss': [(1, nan)]}"
        run = store.resume_run("killed", {})
        assert [trial.state for trial in store.history(run)] == [TrialState.INTERRUPTED, TrialState.QUEUED]
        if number > 1:
            (linked,) = store.history("linked")
            assert (linked.source, linked.val_accuracy, store.trial(2).latency_ms) == (2, 0.9, 0.5)


@pytest.mark.parametrize("number", [1, 2])
def test_an_upgraded_store_has_the_indexes_of_a_new_one(stored, number, backup_path, tmp_path):
    """Alembic does not compare the conditions of partial indexes, nor which tables have no row ids."""
    old = stored(number)
    if not isinstance(old, Path):
        pytest.skip("only SQLite stores the statements that created its indexes")
    upgrade(old, backup_path)
    open_store(tmp_path / "new.db", create=True).close()

    def statements(path: Path) -> set[str]:
        query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        with closing(sqlite3.connect(path)) as raw:
            indexes = {" ".join(sql.split()) for (sql,) in raw.execute(query)}
            tables = {name for (name,) in raw.execute("SELECT name FROM pragma_table_list WHERE wr = 1")}
        return indexes | tables

    assert statements(old) == statements(tmp_path / "new.db")


def test_an_upgrade_is_done_once(old, backup_path):
    upgrade(old, backup_path)
    again = upgrade(old)
    assert (again.before, again.backup) == (schema.SCHEMA_VERSION, None)


def test_a_newer_store_is_refused_by_its_number(store, database):
    with store.write_transaction() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    for operation in (open_store, upgrade):
        with pytest.raises(StoreError, match=rf"schema 99\b.*\b{schema.SCHEMA_VERSION}\b.*pip install --upgrade"):
            operation(database)


def test_a_backup_overwrites_nothing(old, backup_path):
    backup_path.write_text("mine")
    with pytest.raises(StoreError, match=r"backup\.db exists"):
        upgrade(old, backup_path)
    assert backup_path.read_text() == "mine"
    with pytest.raises(StoreError, match="has schema 1"):
        open_store(old)


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from archsieve.results.maintenance.upgrade import upgrade

database, backup_path, point = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

def before(connection, cursor, statement, *_):
    if point in statement:
        os.kill(os.getpid(), signal.SIGKILL)

def audit(name, _):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "before_cursor_execute", before)
sys.addaudithook(audit)
upgrade(database, backup_path)
"""


def killed_at(database: str | Path, backup_path: Path, point: str) -> int:
    """Run an upgrade in a process that is killed at ``point``, and return its exit code."""
    command = [sys.executable, "-c", KILLED, str(database), str(backup_path), point]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize(
    "point", ["ADD COLUMN latency_ms", "CREATE TABLE proxy", "trial_scan", "UPDATE meta", "os.link", "os.rename"]
)
def test_an_upgrade_that_is_killed_leaves_the_old_store_unchanged(old, backup_path, point):
    if not isinstance(old, Path) and point.startswith("os."):
        pytest.skip("a server's tables are changed in one transaction, and no file is renamed")
    tables = columns_of(old)
    before = contents(old) if isinstance(old, Path) else rows(old, tables)
    assert killed_at(old, backup_path, point) == -9
    assert (contents(old) if isinstance(old, Path) else rows(old, tables)) == before
    with contextlib.suppress(FileNotFoundError):
        backup_path.unlink()
    assert upgrade(old, backup_path).backup == backup_path
    with open_store(old) as store:
        assert len(store.trials("finished")) == 4


class TestFiles:
    @pytest.fixture
    def database(self, path):
        return path

    def test_data_in_the_write_ahead_log_is_upgraded(self, old, backup_path):
        writer = sqlite3.connect(old)
        writer.execute("UPDATE run SET searcher = 'only in the log' WHERE name = 'finished'")
        writer.commit()
        subprocess.run(["cp", old, f"{old}-wal", old.parent.parent], check=True)  # the files as after a crash
        writer.close()
        crashed = old.parent.parent / old.name
        assert (crashed.parent / f"{crashed.name}-wal").stat().st_size > 0
        upgrade(crashed, backup_path)
        with open_store(crashed) as store:
            assert store.run("finished").searcher == "only in the log"
        with closing(sqlite3.connect(backup_path)) as raw:
            assert raw.execute("SELECT searcher FROM run WHERE run_id = 1").fetchone() == ("only in the log",)

    def test_a_store_that_is_open_elsewhere_is_not_upgraded(self, old, backup_path, monkeypatch):
        monkeypatch.setattr("archsieve.results.maintenance.upgrade.LOCK_TIMEOUT_S", 0.2)
        before = contents(old)
        with closing(sqlite3.connect(old)) as other:
            other.execute("SELECT count(*) FROM run").fetchone()
            with pytest.raises(LockedError, match=r"archsieve\.db"):
                upgrade(old, backup_path)
        assert contents(old) == before
        assert not backup_path.exists()

    def test_the_backup_is_next_to_the_new_file(self, old):
        before = contents(old)
        result = upgrade(old)
        assert result.backup == old.with_name("archsieve-schema-1.db")
        assert contents(result.backup) == before
        assert sorted(p.name for p in old.parent.iterdir()) == ["archsieve-schema-1.db", "archsieve.db"]

    def test_the_old_file_is_copied_without_hard_links(self, old, backup_path, monkeypatch):
        def refuse(*_):
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr("archsieve.results.maintenance.upgrade.os.link", refuse)
        before = contents(old)
        assert upgrade(old, backup_path).backup == backup_path
        assert contents(backup_path) == before

    @pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n"])
    def test_a_file_that_is_not_a_store_is_not_changed(self, path, content):
        path.write_bytes(content)
        with pytest.raises(StoreError):
            upgrade(path)
        assert path.read_bytes() == content


class TestServers:
    @pytest.fixture
    def database(self, empty_database):
        return empty_database

    def test_a_store_with_a_living_driver_is_not_upgraded(self, old, backup_path, postgresql):
        name = old.rpartition("/")[2]
        alive = "UPDATE process SET ended_at = NULL, heartbeat_at = now() AT TIME ZONE 'utc' WHERE run_id = 2"
        postgresql.execute(alive, database=name)
        with pytest.raises(LockedError, match="process 1 on old"):
            upgrade(old, backup_path)
        with pytest.raises(StoreError, match="has schema 1"):
            open_store(old)

    def test_the_backup_of_a_server_can_be_restored(self, old, backup_path, postgresql):
        name = old.rpartition("/")[2]
        upgrade(old, backup_path)
        postgresql.execute(f"CREATE DATABASE {name}_again")
        with contextlib.ExitStack() as stack:
            stack.callback(postgresql.execute, f"DROP DATABASE {name}_again WITH (FORCE)")
            plain = postgresql.url(f"{name}_again").replace("+psycopg", "")
            restored = postgresql.binaries / "pg_restore"
            subprocess.run([restored, "--no-owner", f"--dbname={plain}", backup_path], check=True)
            with pytest.raises(StoreError, match="has schema 1"):
                open_store(postgresql.url(f"{name}_again"))
