"""SQLite files: create them atomically, check them before they are opened, and put one in the place of another."""

import fcntl
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from .errors import NoStoreError, StoreError, restore_advice, store_error
from .schema import APPLICATION_ID, identity, meta, metadata

BUSY_S = float(os.environ.get("ARCHSIEVE_BUSY_S", "30"))  # how long a writer waits for another process's lock
# Pages of 4 KiB that the write-ahead log may hold before a checkpoint copies them into the file. A checkpoint needs an
# fsync, so a larger log makes writes faster.
WAL_CHECKPOINT_PAGES = 8000
# Files that SQLite keeps next to a database: the write-ahead log, its index, and the rollback journal.
LOG_SUFFIXES = ("-wal", "-shm", "-journal")
log = logging.getLogger("archsieve")


def check_file(path: Path) -> None:
    """Raise ``StoreError`` if ``path`` is not a results database; change nothing.

    The file is read by SQLite together with its write-ahead log. A file that grows, or whose writer was killed, is
    complete only with this log. If this process opened the file itself, closing it would drop all locks that this
    process holds on the database (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    if not path.exists():
        raise NoStoreError(
            f"no results database at {path}; check the path, or start one with: archsieve search FILE; "
            f"if it was removed, {restore_advice(path)}"
        )
    if not path.is_file():
        raise StoreError(f"a results database is a file, but {path} is a folder or a device; use the path of a file")
    if not path.stat().st_size:
        raise StoreError(f"{path} is empty (0 bytes), not a results database; {restore_advice(path)}, or remove it")
    try:
        application_id = _application_id(path)
    except sqlite3.OperationalError as error:
        if _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL):  # another process has it locked
            raise store_error(str(path), str(error)) from error
        raise StoreError(f"{path} cannot be read: {error}; check its permissions") from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise store_error(str(path), str(error)) from error
        message = f"{path} is not an SQLite database; nothing was changed; check the path, or {restore_advice(path)}"
        raise StoreError(message) from None
    if application_id != APPLICATION_ID:
        raise StoreError(f"{path} is the database of another application; nothing was changed; use another path")


def _application_id(path: Path) -> int:
    """Read the application id. A reader that cannot write the file leaves a damaged one as it is.

    A file whose writer was killed may need a repair, such as the rollback of a transaction, before it can be read.
    SQLite makes it only for a connection that can write.
    """
    mode = _mode(path, read_only=True)
    try:
        return _read_application_id(path, mode.replace("mode=rw", "mode=ro"))
    except sqlite3.OperationalError as error:
        if _primary_code(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or mode != "mode=rw":
            raise
    return _read_application_id(path, mode)


def _read_application_id(path: Path, mode: str) -> int:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=BUSY_S)) as connection:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    return int(application_id)


def _primary_code(error: sqlite3.Error) -> int:
    return error.sqlite_errorcode & 0xFF  # the other bits are those of an extended code


def make_file(path: Path) -> None:
    """Create an empty database at ``path``: write it in a temporary folder next to it, then link it.

    So no other process can open an incomplete database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".archsieve-") as folder:
            new_file = Path(folder, "fresh.db")
            _write_empty(new_file)
            with folder_lock(path.parent):
                if not path.exists():
                    set_aside_log(path)
                    _publish(new_file, path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot create a results database at {path}: {error}; use another path") from error


def _write_empty(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in _definitions():
            connection.execute(statement)
        connection.executemany(f"INSERT INTO {meta.name} VALUES (?, ?)", identity().items())
        connection.commit()


def _definitions() -> Iterator[str]:
    for table in metadata.sorted_tables:  # in the order of the foreign keys
        yield str(CreateTable(table).compile(dialect=dialect()))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=dialect()))


def _publish(new_file: Path, path: Path) -> None:
    """Give ``new_file`` the name ``path``, unless a file of that name exists."""
    try:
        # A link and not a rename: a rename would overwrite a database that another process has just created.
        os.link(new_file, path)
    except FileExistsError:
        return  # another process was faster; its empty database is the same
    except OSError:  # a file system without hard links
        if not path.exists():
            new_file.replace(path)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let no other process create or replace a database in ``folder`` during the block.

    The lock is on the folder itself, so it leaves no file. A file system without locks has none.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def set_aside_log(path: Path) -> None:
    """Rename the log files next to ``path`` whose database is gone; remove empty ones.

    SQLite connects a log with a database by its name alone. It would write the log of a removed database into any
    other database that gets this name, and so destroy it. Call this under ``folder_lock``.
    """
    for suffix in LOG_SUFFIXES:
        file = Path(f"{path}{suffix}")
        if not file.exists():
            continue
        # The index of a log is rebuilt from the log, so it holds nothing of its own.
        if suffix == "-shm" or not file.stat().st_size:
            file.unlink()
            continue
        kept = free_path(Path(f"{file}-old"))
        file.rename(kept)
        log.warning("%s is the log of a database that was removed; it was renamed to %s", file, kept)


def free_path(path: Path) -> Path:
    """Return ``path``, or ``path`` with the first number that makes it the name of no file.

    A name with the log of a removed database is not free: SQLite would write this log into a file of the name.
    """
    number, candidate = 1, path
    while any(Path(f"{candidate}{suffix}").exists() for suffix in ("", *LOG_SUFFIXES)):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Return a connection to the existing file ``path``, in autocommit mode: the engine itself begins transactions."""
    uri = f"{path.resolve().as_uri()}?{_mode(path, read_only)}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    # SQLite enforces foreign keys only on connections that ask for it.
    connection.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log, NORMAL keeps the file intact after a power failure, and only a checkpoint needs an fsync.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    else:
        # A copy of a database, such as a backup, has no write-ahead log; readers would then wait for writers. An error
        # here returns with the first statement, which reports it.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA journal_mode = WAL")
    return connection


def read_only_uri(path: Path) -> str:
    """Return the URI with which SQLite opens the existing file ``path`` for reading."""
    return f"{path.resolve().as_uri()}?{_mode(path, read_only=True)}"


def _mode(path: Path, read_only: bool) -> str:
    """Return the URI parameters to open the file with.

    A reader opens the file for writing too if it may: it needs the index of the write-ahead log, and removes it when
    it closes the file.
    """
    if read_only and not os.access(path.parent, os.W_OK):
        # SQLite cannot create the index in such a folder; immutable=1 reads the file without it.
        return "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return "mode=rw" if os.access(path, os.W_OK) else "mode=ro"
