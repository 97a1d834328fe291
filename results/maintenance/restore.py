"""Restore: put a backup, or a rescued copy, in the place of a database, without its old log files."""

import fcntl
import sqlite3
from contextlib import closing
from pathlib import Path

from ..database.atomic_file import atomic_write
from ..database.errors import LockedError, StoreError
from ..database.sqlite_file import LOG_SUFFIXES, check_file, connect, folder_lock, free_path
from ..database.url import DatabaseLocation, parse_location

# The bytes of a database file on which every open connection holds a shared lock
# (https://www.sqlite.org/fileformat.html, SHARED_FIRST and SHARED_SIZE of SQLite's source).
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


def restore(source: Path, url_or_path: str | DatabaseLocation) -> Path | None:
    """Put a copy of ``source`` in the place of the database; return the new name of the old file, None without one.

    The old file may be damaged. It is kept under another name, together with its log: SQLite would write this log into
    any database of its name. Raises ``StoreError`` if ``source`` is no intact results database, and ``LockedError`` if
    a process uses the database. The process that calls this must not have it open.
    """
    target = parse_location(url_or_path)
    if not isinstance(target, Path):
        raise StoreError(f"db restore replaces a file, but {target} is on a server; use: pg_restore --clean BACKUP")
    check_file(source)
    if target.exists() and target.samefile(source):
        raise StoreError(f"a backup must be another file than the database, but both are {target}; name the backup")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with folder_lock(target.parent), atomic_write(target) as draft:
            _copy(source, draft)
            _check_unused(target)
            kept = _set_aside(target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{source} cannot be restored to {target}: {error}; nothing was changed") from error
    return kept


def _copy(source: Path, draft: Path) -> None:
    draft.unlink(missing_ok=True)
    with closing(connect(source, read_only=True)) as original, closing(sqlite3.connect(draft)) as copy:
        original.backup(copy)
        (message,) = copy.execute("PRAGMA integrity_check").fetchone()
        if message != "ok":
            raise sqlite3.DatabaseError(f"it is damaged ({message})")
        copy.execute("PRAGMA journal_mode = WAL")


def _check_unused(path: Path) -> None:
    """Raise ``LockedError`` if another process has the file open. Unlike SQLite, this works for a damaged file, too."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except OSError:
            raise LockedError(
                f"a restore needs {path} for itself, but another process has it open; end that process and try again"
            ) from None


def _set_aside(path: Path) -> Path | None:
    """Rename the file and its logs; return the new name, None if there is no file."""
    kept = free_path(path.with_name(f"{path.stem}-replaced{path.suffix}"))
    exists = path.exists()
    if exists:
        path.rename(kept)
    for suffix in LOG_SUFFIXES:
        file = Path(f"{path}{suffix}")
        if file.exists() and file.stat().st_size:
            file.rename(f"{kept}{suffix}")
        else:
            file.unlink(missing_ok=True)
    return kept if exists else None
