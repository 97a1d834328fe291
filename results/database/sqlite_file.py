"""SQLite files: create them atomically, check them before they are opened, and detect their removal while in use."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from .errors import NoStoreError, StoreError, store_error
from .schema import APPLICATION_ID, identity, meta, metadata

BUSY_S = float(os.environ.get("ARCHSIEVE_BUSY_S", "30"))  # how long a writer waits for another process's lock
# Pages of 4 KiB that the write-ahead log may hold before a checkpoint copies them into the file. A checkpoint needs an
# fsync, so a larger log makes writes faster.
WAL_CHECKPOINT_PAGES = 8000
_RESTORE_BACKUP = "restore a backup (archsieve db backup makes them)"


def check_file(path: Path) -> None:
    """Raise ``StoreError`` if ``path`` is not a results database; change nothing.

    The file is read by SQLite, with ``immutable=1`` so that it takes no lock. If this process opened the file itself,
    closing it would drop all locks that this process holds on the database
    (https://www.sqlite.org/howtocorrupt.html, section 2.2). The next process that closes the database would then remove
    the write-ahead log in use, and later writes would be lost.
    """
    if not path.exists():
        raise NoStoreError(f"no results database at {path}; check the path, or start one with: archsieve search FILE")
    if not path.is_file():
        raise StoreError(f"a results database is a file, but {path} is a folder or a device; use the path of a file")
    if not path.stat().st_size:
        raise StoreError(f"{path} is empty (0 bytes), not a results database; {_RESTORE_BACKUP}, or remove it")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path} cannot be read: {error}; check its permissions") from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise store_error(str(path), str(error)) from error
        message = f"{path} is not an SQLite database; nothing was changed; check the path, or {_RESTORE_BACKUP}"
        raise StoreError(message) from None
    if application_id != APPLICATION_ID:
        raise StoreError(f"{path} is the database of another application; nothing was changed; use another path")


def make_file(path: Path) -> None:
    """Create an empty database at ``path``: write it in a temporary folder next to it, then link it.

    So no other process can open an incomplete database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".archsieve-") as folder:
            new_file = Path(folder, "fresh.db")
            _write_empty(new_file)
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
    return connection


def _mode(path: Path, read_only: bool) -> str:
    """Return the URI parameters to open the file with.

    A reader opens the file for writing too if it may: it needs the index of the write-ahead log, and removes it when
    it closes the file.
    """
    if read_only and not os.access(path.parent, os.W_OK):
        # SQLite cannot create the index in such a folder; immutable=1 reads the file without it.
        return "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return "mode=rw" if os.access(path, os.W_OK) else "mode=ro"


class OpenFile:
    """Detects that the SQLite file of ``engine`` was removed or replaced since the store was opened.

    A PostgreSQL database has no file, so its check does nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sqlite = engine.url.get_backend_name() == "sqlite"
        self._path = Path(str(engine.url.database)) if sqlite else None
        self._inode = self._current_inode()

    def check(self) -> None:
        """Raise ``StoreError`` if the file was removed or replaced, after its content is saved in a file next to it.

        Without this check SQLite would continue to write to a file that no other process can open.
        """
        if self._path is None or self._current_inode() == self._inode:
            return
        problem = f"{self._path} was removed or replaced while a run wrote to it"
        rescued = self._path.with_name(f"{self._path.stem}-rescued{self._path.suffix}")
        try:
            self._save(rescued)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{problem}, and its content could not be saved: {error}; restore a backup (archsieve db backup)"
            ) from error
        raise StoreError(f"{problem}; its content is saved in {rescued}: rename it to {self._path} and resume the run")

    def _current_inode(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_dev, stat.st_ino

    def _save(self, path: Path) -> None:
        # VACUUM INTO refuses to overwrite a file. It reads through the open connection, so that it also copies a file
        # whose name was removed.
        path.unlink(missing_ok=True)
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("VACUUM INTO ?", (str(path),))
        finally:
            connection.close()
