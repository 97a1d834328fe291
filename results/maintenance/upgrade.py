"""Upgrades: a store of an older schema brought up to date; the old one is kept, and whole until the new one is."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, Connection, select, update
from sqlalchemy.exc import SQLAlchemyError

from ..database import schema
from ..database.atomic_file import whole
from ..database.engine import check_version, postgresql_engine, schema_version, sqlite_engine
from ..database.errors import LockedError, StoreError, store_error
from ..database.lease import STALE, now
from ..database.sqlite_file import check_file
from ..database.url import Place, place_of
from .backup import dump

WAIT_S = 5.0  # how long others may take to let go of the file


class Upgraded(NamedTuple):
    """What an upgrade did: the schemas before and after, and where the old store lies, if there was anything to do."""

    before: int
    after: int
    backup: Path | None


def upgrade(url_or_path: str | Place, backup: Path | None = None) -> Upgraded:
    """Bring the store up to this release's schema; ``StoreError`` where it cannot be, and then it is as it was.

    The old store is kept as ``backup``: beside the file, named by its schema, unless said otherwise. Nobody else may
    have it open.
    """
    place = place_of(url_or_path)
    return _upgrade_file(place, backup) if isinstance(place, Path) else _upgrade_server(place, backup)


def _upgrade_file(path: Path, backup: Path | None) -> Upgraded:
    check_file(path)
    before = _version(path)
    if before == schema.SCHEMA_VERSION:
        return Upgraded(before, before, None)
    kept = _free(backup or path.with_name(f"{path.stem}-schema-{before}{path.suffix}"), given=backup is not None)
    try:
        with _held(path) as old, tempfile.TemporaryDirectory(dir=path.parent, prefix=".archsieve-") as folder:
            new = Path(folder, "new.db")
            with closing(sqlite3.connect(new)) as copy:
                old.backup(copy)
            _migrate_file(new, before)
            _keep(old, path, kept)
            for left in ("-wal", "-shm"):  # both are empty of news, and would be taken for the new file's
                Path(f"{path}{left}").unlink(missing_ok=True)
            new.replace(path)
            _on_disk(path.parent)
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise store_error(str(path), f"it was not upgraded: {getattr(error, 'orig', None) or error}") from error
    return Upgraded(before, schema.SCHEMA_VERSION, kept)


def _version(path: Path) -> int:
    engine = sqlite_engine(path, read_only=True)
    try:
        version = schema_version(engine, str(path))
    finally:
        engine.dispose()
    if version > schema.SCHEMA_VERSION:
        check_version(version, str(path))
    return version


@contextmanager
def _held(path: Path) -> Iterator[sqlite3.Connection]:
    """The file with everything that was written to it, opened by nobody else until the block ends."""
    with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise LockedError(
                f"an upgrade needs {path} for itself, but another program has it open; end that, and try again"
            ) from None
        connection.execute("COMMIT")  # the lock stays: that is the mode
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a log left behind would be read into the new file
        yield connection


def _migrate_file(path: Path, before: int) -> None:
    engine = sqlite_engine(path, read_only=False)
    try:
        with engine.begin() as connection:
            migrate(connection, before)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            (said,) = connection.exec_driver_sql("PRAGMA integrity_check").one()
            if broken is not None or said != "ok":
                raise StoreError(f"the upgraded copy is damaged ({broken or said}); the store is as it was")
    finally:
        engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _on_disk(path)


def _on_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _free(path: Path, *, given: bool) -> Path:
    """``path``, or one like it that nobody has; a name that was asked for is not changed."""
    number, found = 1, path
    while found.exists():
        if given:
            raise StoreError(f"a backup overwrites nothing, but {path} exists; give another name, or remove it")
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def _keep(old: sqlite3.Connection, path: Path, kept: Path) -> None:
    """Give the old file a second name, or copy it where a file has one name only; by SQLite, which keeps the lock."""
    with suppress(OSError):
        os.link(path, kept)
        return
    with whole(kept) as draft, closing(sqlite3.connect(draft)) as copy:
        old.backup(copy)


def _upgrade_server(url: URL, backup: Path | None) -> Upgraded:
    name, engine = str(url), postgresql_engine(url)
    try:
        before = schema_version(engine, name)
        if before >= schema.SCHEMA_VERSION:
            check_version(before, name)
            return Upgraded(before, before, None)
        kept = dump(url, backup)
        with engine.begin() as connection:  # all of it or nothing: PostgreSQL rolls tables back too
            _check_quiet(connection, name)
            migrate(connection, before)
    except SQLAlchemyError as error:
        raise store_error(name, f"it was not upgraded: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()
    return Upgraded(before, schema.SCHEMA_VERSION, kept)


def _check_quiet(connection: Connection, name: str) -> None:
    """Raise ``LockedError`` where a run is driven at this moment."""
    p = schema.process.c
    connection.execute(select(schema.meta).with_for_update())
    alive = select(p.host, p.pid).where(p.ended_at.is_(None), p.heartbeat_at > now() - STALE)
    driver = connection.execute(alive).first()
    if driver is not None:
        raise LockedError(
            f"an upgrade needs {name} for itself, but process {driver.pid} on {driver.host} drives a run; end that"
        )


def migrate(connection: Connection, before: int) -> None:
    """Take the tables from schema ``before`` to this release's, inside the caller's transaction."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    folder = Path(__file__).parents[1] / "migrations"
    steps = list(ScriptDirectory(folder, version_locations=[folder]).walk_revisions())
    with Operations.context(MigrationContext.configure(connection)):
        for step in reversed(steps):
            if int(step.revision) > before:
                step.module.upgrade()
    version = update(schema.meta).where(schema.meta.c.key == "schema_version")
    connection.execute(version.values(value=str(schema.SCHEMA_VERSION)))
