"""Upgrades: migrate a database of an older schema to this release's; the old database is kept as a backup."""

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
from ..database.atomic_file import atomic_write, sync
from ..database.engine import check_version, postgresql_engine, schema_version, sqlite_engine
from ..database.errors import LockedError, StoreError, store_error
from ..database.lease import HEARTBEAT_TIMEOUT, now
from ..database.sqlite_file import LOG_SUFFIXES, check_file, free_path
from ..database.url import DatabaseLocation, parse_location
from .backup import dump

LOCK_TIMEOUT_S = 5.0  # how long to wait until other processes have closed the file


class UpgradeResult(NamedTuple):
    """The schema versions before and after an upgrade, and the path of the backup; None if there was nothing to do."""

    before: int
    after: int
    backup: Path | None


def upgrade(url_or_path: str | DatabaseLocation, backup: Path | None = None) -> UpgradeResult:
    """Upgrade the database to this release's schema.

    The old database is kept as ``backup``; by default next to the file, with its schema version in its name. Raises
    ``StoreError`` if the upgrade fails or if another process has the database open; the database is then unchanged.
    """
    location = parse_location(url_or_path)
    return _upgrade_file(location, backup) if isinstance(location, Path) else _upgrade_server(location, backup)


def _upgrade_file(path: Path, backup: Path | None) -> UpgradeResult:
    check_file(path)
    before = _version(path)
    if before == schema.SCHEMA_VERSION:
        return UpgradeResult(before, before, None)
    default = path.with_name(f"{path.stem}-schema-{before}{path.suffix}")
    backup_path = _free_path(backup or default, given=backup is not None)
    try:
        with _locked(path) as old, tempfile.TemporaryDirectory(dir=path.parent, prefix=".archsieve-") as folder:
            # The migration changes a copy. The old file keeps its name until the new one is complete, so that a crash
            # at any point leaves a valid database.
            new = Path(folder, "new.db")
            with closing(sqlite3.connect(new)) as copy:
                old.backup(copy)
            _migrate_file(new, before)
            _keep_backup(old, path, backup_path)
            # SQLite would read these files of the old database as if they belonged to the new one. They hold no data
            # any more, because _locked has emptied the log.
            for suffix in LOG_SUFFIXES:
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            new.replace(path)
            sync(path.parent)
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise store_error(str(path), f"it was not upgraded: {getattr(error, 'orig', None) or error}") from error
    return UpgradeResult(before, schema.SCHEMA_VERSION, backup_path)


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
def _locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to the file with an exclusive lock; no other process can open the file during the block.

    The write-ahead log is empty then: all data is in the file.
    """
    with closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise LockedError(
                f"an upgrade needs exclusive access to {path}, but another process has it open; end that "
                "process and try again"
            ) from None
        connection.execute("COMMIT")  # the lock remains, because the locking mode is EXCLUSIVE
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # moves the log's data into the file
        yield connection


def _migrate_file(path: Path, before: int) -> None:
    engine = sqlite_engine(path, read_only=False)
    try:
        with engine.begin() as connection:
            migrate(connection, before)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            (message,) = connection.exec_driver_sql("PRAGMA integrity_check").one()
            if broken is not None or message != "ok":
                raise StoreError(f"the upgraded copy is damaged ({broken or message}); the database was not changed")
    finally:
        engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sync(path)


def _free_path(path: Path, *, given: bool) -> Path:
    """Return ``path``, or ``path`` with a number if a file of that name exists.

    A path that the user has ``given`` is not changed: raise ``StoreError`` if it exists.
    """
    if given and path.exists():
        raise StoreError(f"a backup must not overwrite a file, but {path} exists; use another name or remove it")
    return free_path(path)


def _keep_backup(old: sqlite3.Connection, path: Path, backup_path: Path) -> None:
    """Link the old file to ``backup_path``, or copy it on a file system without hard links."""
    with suppress(OSError):
        os.link(path, backup_path)
        return
    # SQLite makes the copy, because to open and close the file in another way would drop the lock of this process.
    with atomic_write(backup_path) as draft, closing(sqlite3.connect(draft)) as copy:
        old.backup(copy)


def _upgrade_server(url: URL, backup: Path | None) -> UpgradeResult:
    name, engine = str(url), postgresql_engine(url)
    try:
        before = schema_version(engine, name)
        if before >= schema.SCHEMA_VERSION:
            check_version(before, name)
            return UpgradeResult(before, before, None)
        backup_path = dump(url, backup)
        with engine.begin() as connection:  # PostgreSQL can roll back changes of tables too
            _check_no_driver(connection, name)
            migrate(connection, before)
    except SQLAlchemyError as error:
        raise store_error(name, f"it was not upgraded: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()
    return UpgradeResult(before, schema.SCHEMA_VERSION, backup_path)


def _check_no_driver(connection: Connection, name: str) -> None:
    """Raise ``LockedError`` if a process drives a run now."""
    p = schema.process.c
    connection.execute(select(schema.meta).with_for_update())  # so that only one upgrade runs
    alive = select(p.host, p.pid).where(p.ended_at.is_(None), p.heartbeat_at > now() - HEARTBEAT_TIMEOUT)
    driver = connection.execute(alive).first()
    if driver is not None:
        raise LockedError(
            f"an upgrade needs exclusive access to {name}, but process {driver.pid} on {driver.host} drives a run; "
            "end this process"
        )


def migrate(connection: Connection, before: int) -> None:
    """Migrate the tables from schema ``before`` to this release's, in the caller's transaction."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    folder = Path(__file__).parents[1] / "migrations"
    revisions = list(ScriptDirectory(folder, version_locations=[folder]).walk_revisions())
    with Operations.context(MigrationContext.configure(connection)):
        for revision in reversed(revisions):  # alembic lists the newest first
            if int(revision.revision) > before:
                revision.module.upgrade()
    version = update(schema.meta).where(schema.meta.c.key == "schema_version")
    connection.execute(version.values(value=str(schema.SCHEMA_VERSION)))
