"""The open database file: detect that it was removed, replaced or overwritten while in use, and save its content."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from .atomic_file import atomic_write, sync
from .errors import SetBackError, StoreError, restore_advice
from .sqlite_file import LOG_SUFFIXES, folder_lock, free_path, set_aside_log

_HEADER_BYTES = 100
# Parts of the header (https://www.sqlite.org/fileformat.html). The first never changes while a database is in use: the
# name of the format and the size of a page.
_CONSTANT = slice(0, 18)
_JOURNAL = slice(18, 20)  # 1, 1 for a rollback journal, 2, 2 for a write-ahead log
_CHANGE_COUNTER = slice(24, 28)
_COPY_BYTES = 2**20
# Device and inode of a file -> a descriptor of it that stays open. To close one would drop all locks that this process
# holds on the database (https://www.sqlite.org/howtocorrupt.html, section 2.2).
_DESCRIPTORS: dict[tuple[int, int], int] = {}
_Inode = tuple[int, int]


class OpenFile:
    """Detects that the SQLite file of ``engine`` was removed, replaced or overwritten since the store was opened.

    A PostgreSQL database has no file, so its check does nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sqlite = engine.url.get_backend_name() == "sqlite"
        self._path = Path(str(engine.url.database)).absolute() if sqlite else None
        self._inode = None if self._path is None else _inode_of(self._path)
        self._logs: dict[Path, _Inode | None] = {}
        self._header: bytes | None = None
        self._error: StoreError | None = None

    def check(self) -> None:
        """Raise ``StoreError`` if the file was removed, replaced or overwritten, after its content is saved.

        SQLite itself would continue to write: to a file that no other process can open, or into a foreign file. Takes
        some microseconds.
        """
        if self._path is None:
            return
        if self._error is None:
            self._error = self._problem(self._path)
        if self._error is not None:
            raise self._error

    def _problem(self, path: Path) -> StoreError | None:
        if _inode_of(path) != self._inode:
            return self._after_removal(path)
        header = self._read_header(path)
        if self._header is not None and not _continues(self._header, header):
            return self._after_overwriting(path)
        self._header = header
        self._logs = {file: _inode_of(file) for file in _log_files(path)}
        return None

    def _read_header(self, path: Path) -> bytes:
        assert self._inode is not None
        if self._inode not in _DESCRIPTORS:
            _DESCRIPTORS[self._inode] = os.open(path, os.O_RDONLY)
        return os.pread(_DESCRIPTORS[self._inode], _HEADER_BYTES, 0)

    def _after_removal(self, path: Path) -> StoreError:
        problem = f"{path} was removed or replaced while a run wrote to it"
        try:
            with folder_lock(path.parent):
                rescued = self._save(path)
                self._remove_logs(path)
        except (OSError, sqlite3.Error) as error:
            return StoreError(f"{problem}, and its content could not be saved: {error}; {restore_advice(path)}")
        return StoreError(f"{problem}; its content is saved in {rescued}; {_restore_and_resume(path, rescued)}")

    def _after_overwriting(self, path: Path) -> StoreError:
        """Save what this process knows, and leave the foreign content in a file that this process does not write to.

        SQLite would otherwise copy the write-ahead log into the foreign file when this process ends.
        """
        problem = f"{path} was overwritten, for example by an older copy, while a run wrote to it"
        try:
            with folder_lock(path.parent):
                rescued, reason = self._try_save(path)
                self._detach(path)
        except OSError as error:
            return SetBackError(f"{problem}, and its content could not be saved: {error}; {restore_advice(path)}")
        if rescued is None:
            return SetBackError(
                f"{problem}; its content could not be saved ({reason}); to lose as little as possible, take the newest "
                f"backup, and {_restore_and_resume(path)}"
            )
        return SetBackError(
            f"{problem}; what this process knows of it is saved in {rescued}; {_restore_and_resume(path, rescued)}"
        )

    def _try_save(self, path: Path) -> tuple[Path | None, str]:
        """Return the file with the saved content, or None and the reason why it could not be saved."""
        try:
            return self._save(path), ""
        except (OSError, sqlite3.Error) as error:
            return None, str(error)

    def _save(self, path: Path) -> Path:
        """Copy the content through the open connection, which also reads a file whose name was removed."""
        rescued = free_path(path.with_name(f"{path.stem}-rescued{path.suffix}"))
        with atomic_write(rescued) as draft:
            # VACUUM INTO refuses to overwrite a file; one is left by a process that was killed here.
            draft.unlink(missing_ok=True)
            with closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("VACUUM INTO ?", (str(draft),))
            _check_copy(draft)
        sync(path.parent)
        return rescued

    def _remove_logs(self, path: Path) -> None:
        """Remove the log files of the removed database: SQLite would write them into the next file of this name.

        A database that has replaced the old one may have log files of its own, which have other inodes.
        """
        for file, inode in self._logs.items():
            if inode is not None and _inode_of(file) == inode:
                file.unlink()
        if not path.exists():
            set_aside_log(path)

    def _detach(self, path: Path) -> None:
        assert self._inode is not None
        with atomic_write(path) as draft:
            _copy(_DESCRIPTORS[self._inode], draft)
            self._remove_logs(path)


def _restore_and_resume(path: Path, source: object = "BACKUP") -> str:
    return f"{restore_advice(path, source)}; then resume the run: archsieve resume RUN --db {path}"


def _continues(before: bytes, after: bytes) -> bool:
    """Return whether the header ``after`` can follow ``before`` in one database.

    Writers and checkpoints only increase the change counter. In an older copy it is smaller. A writer switches to a
    write-ahead log and never back; a backup has none.
    """
    increasing = (_JOURNAL, _CHANGE_COUNTER)
    return before[_CONSTANT] == after[_CONSTANT] and all(before[part] <= after[part] for part in increasing)


def _log_files(path: Path) -> list[Path]:
    return [Path(f"{path}{suffix}") for suffix in LOG_SUFFIXES]


def _inode_of(path: Path) -> _Inode | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _check_copy(draft: Path) -> None:
    """Raise ``sqlite3.DatabaseError`` if the rows of a copy contradict each other: it mixes two states then."""
    with closing(sqlite3.connect(draft)) as connection:
        (message,) = connection.execute("PRAGMA integrity_check").fetchone()
        if message != "ok":
            raise sqlite3.DatabaseError(f"it is damaged ({message})")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise sqlite3.DatabaseError("rows refer to rows that are missing")


def _copy(descriptor: int, target: Path) -> None:
    with target.open("wb") as out:
        position = 0
        while part := os.pread(descriptor, _COPY_BYTES, position):
            out.write(part)
            position += len(part)
