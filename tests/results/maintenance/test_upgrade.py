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
    """Puts the store of a schema into place that its last release wrote."""

    def place(number: int) -> str | Path:
        if isinstance(database, Path):
            with closing(sqlite3.connect(database)) as raw:
                raw.executescript((OLD / f"schema-{number}.sqlite.sql").read_text(encoding="utf-8"))
                raw.execute("PRAGMA journal_mode = WAL")
        else:
            server, name = request.getfixturevalue("postgresql"), database.rpartition("/")[2]
            server.execute((OLD / f"schema-{number}.postgresql.sql").read_text(encoding="utf-8"), database=name)
        return database

    return place


@pytest.fixture
def old(stored) -> str | Path:
    """A store of the first schema, which takes every step."""
    return stored(1)


@pytest.fixture
def kept(tmp_path) -> Path:
    return tmp_path / "kept.db"


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        return list(raw.iterdump())


def rows(database, tables) -> dict[str, set[str]]:
    """All rows, as texts, of the columns that schema 1 had."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{database}" if isinstance(database, Path) else database)
    with engine.connect() as connection:
        found = {
            table: {repr(tuple(row)) for row in connection.execute(sqlalchemy.text(f"SELECT {columns} FROM {table}"))}
            for table, columns in tables.items()
        }
    engine.dispose()
    return found


def columns_of(database) -> dict[str, str]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{database}" if isinstance(database, Path) else database)
    found = sqlalchemy.inspect(engine)
    tables = {
        table: ", ".join(f'"{c["name"]}"' for c in found.get_columns(table))
        for table in found.get_table_names()
        if table != "meta"
    }
    engine.dispose()
    return tables


def test_an_old_store_is_refused_with_its_cure(old):
    for create in (False, True):
        with pytest.raises(StoreError, match=r"has schema 1, older than \d.*nothing was changed.*archsieve db upgrade"):
            open_store(old, create=create)


def test_there_is_a_stored_store_of_every_schema_before_this_one():
    found = {path.name for path in OLD.glob("schema-*.sql")}
    engines = ("sqlite", "postgresql")
    assert found == {f"schema-{n}.{engine}.sql" for n in range(1, schema.SCHEMA_VERSION) for engine in engines}


@pytest.mark.parametrize(("number", "count"), [(1, 49), (2, 61)])
def test_an_upgrade_keeps_every_row_and_comes_to_the_schema_of_a_new_store(stored, number, count, kept, monkeypatch):
    monkeypatch.setattr(
        "archsieve.results.database.store.WATCH_S", 2.0
    )  # the stored driver was another machine's, and is silent
    old = stored(number)
    tables = columns_of(old)
    before = rows(old, tables)
    assert sum(map(len, before.values())) == count
    done = upgrade(old, kept)
    assert (done.before, done.after, done.backup) == (number, schema.SCHEMA_VERSION, kept)
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
def test_an_upgraded_store_has_the_indices_of_a_new_one(stored, number, kept, tmp_path):
    """What alembic does not compare: the conditions of partial indices, and which tables have no row ids."""
    old = stored(number)
    if not isinstance(old, Path):
        pytest.skip("SQLite tells its statements")
    upgrade(old, kept)
    open_store(tmp_path / "new.db", create=True).close()

    def statements(path: Path) -> set[str]:
        said = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        with closing(sqlite3.connect(path)) as raw:
            found = {" ".join(sql.split()) for (sql,) in raw.execute(said)}
            tables = {name for (name,) in raw.execute("SELECT name FROM pragma_table_list WHERE wr = 1")}
        return found | tables

    assert statements(old) == statements(tmp_path / "new.db")


def test_an_upgrade_is_done_once(old, kept):
    upgrade(old, kept)
    again = upgrade(old)
    assert (again.before, again.backup) == (schema.SCHEMA_VERSION, None)


def test_a_newer_store_is_refused_by_its_number(store, database):
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    for act in (open_store, upgrade):
        with pytest.raises(StoreError, match=r"has schema 99, newer than the \d+ known here; nothing was changed"):
            act(database)


def test_a_backup_overwrites_nothing(old, kept):
    kept.write_text("mine")
    with pytest.raises(StoreError, match=r"a backup overwrites nothing, but .*kept\.db exists"):
        upgrade(old, kept)
    assert kept.read_text() == "mine"
    with pytest.raises(StoreError, match="has schema 1"):
        open_store(old)


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from archsieve.results.maintenance.upgrade import upgrade

place, kept, point = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

def before(connection, cursor, statement, *_):
    if point in statement:
        os.kill(os.getpid(), signal.SIGKILL)

def audit(name, _):
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "before_cursor_execute", before)
sys.addaudithook(audit)
upgrade(place, kept)
"""


def killed_at(place: str | Path, kept: Path, point: str) -> int:
    told = [sys.executable, "-c", KILLED, str(place), str(kept), point]
    return subprocess.run(told, capture_output=True, timeout=120, check=False).returncode


@pytest.mark.parametrize(
    "point", ["ADD COLUMN latency_ms", "CREATE TABLE proxy", "trial_scan", "UPDATE meta", "os.link", "os.rename"]
)
def test_an_upgrade_that_is_killed_half_way_leaves_the_old_store_whole(old, kept, point):
    if not isinstance(old, Path) and point.startswith("os."):
        pytest.skip("a server's tables are changed in one transaction, and files are not renamed")
    tables = columns_of(old)
    before = contents(old) if isinstance(old, Path) else rows(old, tables)
    assert killed_at(old, kept, point) == -9
    assert (contents(old) if isinstance(old, Path) else rows(old, tables)) == before
    with contextlib.suppress(FileNotFoundError):
        kept.unlink()
    assert upgrade(old, kept).backup == kept
    with open_store(old) as store:
        assert len(store.trials("finished")) == 4


class TestFiles:
    @pytest.fixture
    def database(self, path):
        return path

    def test_what_only_the_log_holds_is_upgraded_too(self, old, kept):
        writer = sqlite3.connect(old)
        writer.execute("UPDATE run SET searcher = 'told late' WHERE name = 'finished'")
        writer.commit()
        subprocess.run(["cp", old, f"{old}-wal", old.parent.parent], check=True)  # as a crash leaves them
        writer.close()
        left = old.parent.parent / old.name
        assert (left.parent / f"{left.name}-wal").stat().st_size > 0
        upgrade(left, kept)
        with open_store(left) as store:
            assert store.run("finished").searcher == "told late"
        with closing(sqlite3.connect(kept)) as raw:
            assert raw.execute("SELECT searcher FROM run WHERE run_id = 1").fetchone() == ("told late",)

    def test_a_store_that_is_open_elsewhere_is_not_upgraded(self, old, kept, monkeypatch):
        monkeypatch.setattr("archsieve.results.maintenance.upgrade.WAIT_S", 0.2)
        before = contents(old)
        with closing(sqlite3.connect(old)) as other:
            other.execute("SELECT count(*) FROM run").fetchone()
            with pytest.raises(LockedError, match="another program has it open"):
                upgrade(old, kept)
        assert contents(old) == before
        assert not kept.exists()

    def test_the_old_file_lies_beside_the_new_one(self, old):
        before = contents(old)
        done = upgrade(old)
        assert done.backup == old.with_name("archsieve-schema-1.db")
        assert contents(done.backup) == before
        assert sorted(p.name for p in old.parent.iterdir()) == ["archsieve-schema-1.db", "archsieve.db"]

    def test_where_a_file_has_one_name_only_the_old_one_is_copied(self, old, kept, monkeypatch):
        def refuse(*_):
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr("archsieve.results.maintenance.upgrade.os.link", refuse)
        before = contents(old)
        assert upgrade(old, kept).backup == kept
        assert contents(kept) == before

    @pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n"])
    def test_what_is_no_store_is_left_alone(self, path, content):
        path.write_bytes(content)
        with pytest.raises(StoreError):
            upgrade(path)
        assert path.read_bytes() == content


class TestServers:
    @pytest.fixture
    def database(self, empty_database):
        return empty_database

    def test_a_store_with_a_living_driver_is_not_upgraded(self, old, kept, postgresql):
        name = old.rpartition("/")[2]
        alive = "UPDATE process SET ended_at = NULL, heartbeat_at = now() AT TIME ZONE 'utc' WHERE run_id = 2"
        postgresql.execute(alive, database=name)
        with pytest.raises(LockedError, match="process 1 on old drives a run"):
            upgrade(old, kept)
        with pytest.raises(StoreError, match="has schema 1"):
            open_store(old)

    def test_the_backup_of_a_server_can_be_restored(self, old, kept, postgresql):
        name = old.rpartition("/")[2]
        upgrade(old, kept)
        postgresql.execute(f"CREATE DATABASE {name}_again")
        with contextlib.ExitStack() as stack:
            stack.callback(postgresql.execute, f"DROP DATABASE {name}_again WITH (FORCE)")
            plain = postgresql.url(f"{name}_again").replace("+psycopg", "")
            restored = postgresql.binaries / "pg_restore"
            subprocess.run([restored, "--no-owner", f"--dbname={plain}", kept], check=True, timeout=60)
            with pytest.raises(StoreError, match="has schema 1"):
                open_store(postgresql.url(f"{name}_again"))
