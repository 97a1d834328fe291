"""Backups: a consistent copy of a database, made while other processes write to it."""

import os
import sqlite3
import subprocess
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL

from ..database.atomic_file import atomic_write
from ..database.errors import StoreError
from ..database.sqlite_file import check_file, connect
from ..database.url import DatabaseLocation, parse_location

BACKUP_FOLDER = Path("runs")  # where backups of a server are written by default


def back_up(url_or_path: str | DatabaseLocation, target: Path | None = None) -> Path:
    """Copy the database to ``target`` and return the path of the copy.

    By default, the copy of a file is next to it, with the time in its name. The copy is checked before it gets its
    name. A PostgreSQL database is copied by :func:`dump`. Raises ``StoreError`` if ``target`` exists or if the copy
    fails.
    """
    path = parse_location(url_or_path)
    if not isinstance(path, Path):
        return dump(path, target)
    check_file(path)
    target = target or path.with_name(f"{path.stem}-{datetime.now():%Y%m%d-%H%M%S}{path.suffix}")
    if target.exists():
        raise StoreError(f"a backup must not overwrite a file, but {target} exists; use another name or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as draft:
            copy_checked(path, draft)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be copied to {target}: {error}; the original was not changed") from error
    return target


def copy_checked(path: Path, draft: Path, *, check: str = "quick_check", journal_mode: str = "DELETE") -> None:
    """Copy the database at ``path`` to ``draft`` and check the copy; raise ``sqlite3.DatabaseError`` for damage.

    With the journal mode DELETE the copy is one file; with WAL it has a write-ahead log when it is opened.
    """
    with closing(connect(path, read_only=True)) as source, closing(sqlite3.connect(draft)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        (message,) = copy.execute(f"PRAGMA {check}").fetchone()
        if message != "ok":
            raise sqlite3.DatabaseError(f"it is damaged ({message})")
        copy.execute(f"PRAGMA journal_mode = {journal_mode}")


def dump(url: URL, target: Path | None = None) -> Path:
    """Write the database at ``url`` to ``target`` with pg_dump and return the path; pg_restore can read the file.

    By default the file is in ./runs, with the name of the database and the time in its name. Raises ``StoreError`` if
    the file exists or if pg_dump fails.
    """
    target = target or BACKUP_FOLDER / f"{url.database}-{datetime.now():%Y%m%d-%H%M%S}.dump"
    if target.exists():
        raise StoreError(f"a backup must not overwrite a file, but {target} exists; use another name or remove it")
    # pg_dump gets the password through its environment, because a list of processes shows its arguments.
    address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    password = {"PGPASSWORD": url.password} if isinstance(url.password, str) else {}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as draft:
            command = ["pg_dump", "--format=custom", f"--file={draft}", f"--dbname={address}"]
            subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **password})
    except FileNotFoundError:
        raise StoreError(
            "a backup of PostgreSQL needs pg_dump, which was not found; install it (package postgresql-client)"
        ) from None
    except subprocess.CalledProcessError as error:
        raise StoreError(
            f"{url} was not copied: pg_dump failed: {' '.join(error.stderr.split())}; correct this"
        ) from None
    except OSError as error:
        raise StoreError(f"{url} cannot be copied to {target}: {error}; use another path") from error
    return target
