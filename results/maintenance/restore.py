"""Restore: put a backup, or a rescued copy, in the place of a database, without its old log files."""

import fcntl
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..database.atomic_file import sync
from ..database.errors import LockedError, StoreError
from ..database.sqlite_file import LOG_SUFFIXES, check_file, folder_lock, free_path, set_aside_log
from ..database.url import DatabaseLocation, parse_location
from .backup import copy_checked

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
        with (
            folder_lock(target.parent),
            _unused(target),
            tempfile.TemporaryDirectory(dir=target.parent, prefix=".archsieve-") as folder,
        ):
            draft = Path(folder, "restored.db")
            copy_checked(source, draft, check="integrity_check", journal_mode="WAL")
            sync(draft)
            with _set_aside(target) as kept:
                draft.replace(target)
            sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{source} cannot be restored to {target}: {error}; nothing was changed") from error
    return kept


@contextmanager
def _unused(path: Path) -> Iterator[None]:
    """Let no other process open the file during the block; raise ``LockedError`` if one has it open.

    Unlike SQLite, this works for a damaged file, too.
    """
    if not path.exists():
        yield
        return
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except OSError:
            raise LockedError(
                f"a restore needs exclusive access to {path}, but another process has it open; end that "
                "process and try again"
            ) from None
        yield


@contextmanager
def _set_aside(path: Path) -> Iterator[Path | None]:
    """Rename the file and its logs, and yield the new name; None if there is no file. Undo it if the block fails."""
    if not path.exists():
        set_aside_log(path)
        yield None
        return
    kept = free_path(path.with_name(f"{path.stem}-replaced{path.suffix}"))
    renamed: list[str] = []
    try:
        for suffix in ("", *LOG_SUFFIXES):
            file = Path(f"{path}{suffix}")
            if suffix and file.exists() and not file.stat().st_size:
                file.unlink()  # an empty log
            elif file.exists():
                file.rename(f"{kept}{suffix}")
                renamed.append(suffix)
        yield kept
    except OSError:
        _rename_back(path, kept, renamed)
        raise


def _rename_back(path: Path, kept: Path, suffixes: Sequence[str]) -> None:
    try:
        for suffix in suffixes:
            Path(f"{kept}{suffix}").rename(f"{path}{suffix}")
    except OSError as error:
        raise StoreError(f"{path} was not replaced and is now {kept}: {error}; rename it and its logs back") from error
