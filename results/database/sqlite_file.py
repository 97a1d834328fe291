"""SQLite files: made whole or not at all, checked before they are opened, and watched while a store has them open."""

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

BUSY_S = float(os.environ.get("ARCHSIEVE_BUSY_S", "30"))  # how long a writer waits for another program
LOG_PAGES = 8000  # of 4 KiB: how long the write-ahead log may grow before it is carried into the file, with an fsync
_BACKUP = "bring back a backup (archsieve db backup makes them)"


def check_file(path: Path) -> None:
    """Raise ``StoreError`` where ``path`` is no results database; change nothing.

    SQLite itself reads the file, with ``immutable`` without a lock of its own. Opened past it, closing the file would
    drop the locks that this process holds by stores it has open (howtocorrupt.html, 2.2), and the next program to
    leave the database would remove the log under them: what they write afterwards would be lost.
    """
    if not path.exists():
        raise NoStoreError(f"no results database at {path}; check the path, or start one with: archsieve search FILE")
    if not path.is_file():
        raise StoreError(f"a results database is a file, but {path} is a folder or a device; give the file in it")
    if not path.stat().st_size:
        raise StoreError(f"{path} is empty (0 bytes), not a results database; {_BACKUP}, or remove it")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path} cannot be read: {error}; check its permissions") from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise store_error(str(path), str(error)) from error
        said = f"{path} is not an SQLite database; nothing was changed; check the path, or {_BACKUP}"
        raise StoreError(said) from None
    if found != APPLICATION_ID:
        raise StoreError(f"{path} is the database of another application; nothing was changed; give another path")


def make_file(path: Path) -> None:
    """Write an empty store beside ``path`` and link it into place: nobody ever meets half a store."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".archsieve-") as folder:
            fresh = Path(folder, "fresh.db")
            _write_empty(fresh)
            _place(fresh, path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot make a results database at {path}: {error}; choose another path") from error


def _write_empty(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in _definitions():
            connection.execute(statement)
        connection.executemany(f"INSERT INTO {meta.name} VALUES (?, ?)", identity().items())
        connection.commit()


def _definitions() -> Iterator[str]:
    for table in metadata.sorted_tables:
        yield str(CreateTable(table).compile(dialect=dialect()))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=dialect()))


def _place(fresh: Path, path: Path) -> None:
    try:
        os.link(fresh, path)
    except FileExistsError:
        return  # another process was first; its store is as good
    except OSError:  # a file system without hard links
        if not path.exists():
            fresh.replace(path)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection to the existing file ``path``, in autocommit: the engine says when a transaction begins."""
    uri = f"{path.resolve().as_uri()}?{_mode(path, read_only)}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _mode(path: Path, read_only: bool) -> str:
    """How to open the file: a reader, too, writes the index of the log where it can, so that nothing is left behind."""
    if read_only and not os.access(path.parent, os.W_OK):
        return "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return "mode=rw" if os.access(path, os.W_OK) else "mode=ro"


class OpenFile:
    """The SQLite file of ``engine`` as it was when the store was opened; PostgreSQL has none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sqlite = engine.url.get_backend_name() == "sqlite"
        self._path = Path(str(engine.url.database)) if sqlite else None
        self._is = self._now()

    def check(self) -> None:
        """Raise ``StoreError`` where the file has been removed or replaced; what it held is saved beside it first.

        SQLite would go on writing to a file that nobody can open any more.
        """
        if self._path is None or self._now() == self._is:
            return
        gone = f"{self._path} was removed or replaced while a run wrote to it"
        saved = self._path.with_name(f"{self._path.stem}-rescued{self._path.suffix}")
        try:
            self._save(saved)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{gone}, and could not be saved: {error}; bring back a backup (archsieve db backup)"
            ) from error
        raise StoreError(f"{gone}; all it held is saved in {saved}: put it back as {self._path} and resume")

    def _now(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _save(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("VACUUM INTO ?", (str(path),))
        finally:
            connection.close()
