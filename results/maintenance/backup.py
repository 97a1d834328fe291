"""Backups: a whole copy of a store, made while others write to it."""

import os
import sqlite3
import subprocess
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL

from ..database.atomic_file import whole
from ..database.errors import StoreError
from ..database.sqlite_file import check_file, connect
from ..database.url import Place, place_of

FOLDER = Path("runs")


def back_up(url_or_path: str | Place, target: Path | None = None) -> Path:
    """Copy the store to ``target`` (a name with the time in it, beside it, by default); return where.

    The copy of a file is checked before it gets its name; that of a server is made by pg_dump. An older file is never
    overwritten.
    """
    path = place_of(url_or_path)
    if not isinstance(path, Path):
        return dump(path, target)
    check_file(path)
    target = target or path.with_name(f"{path.stem}-{datetime.now():%Y%m%d-%H%M%S}{path.suffix}")
    if target.exists():
        raise StoreError(f"a backup overwrites nothing, but {target} exists; give another name, or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as draft:
            _copy(path, draft)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be copied to {target}: {error}; the original is as it was") from error
    return target


def _copy(path: Path, draft: Path) -> None:
    with closing(connect(path, read_only=True)) as source, closing(sqlite3.connect(draft)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
        (said,) = copy.execute("PRAGMA quick_check").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(f"it is damaged ({said})")


def dump(url: URL, target: Path | None = None) -> Path:
    """Write the database at ``url`` to ``target`` with pg_dump and return where; pg_restore reads it.

    By default it lies in ./runs, named by the database and the time. An older file is never overwritten. The password
    goes by the environment of pg_dump alone, where no list of processes shows it.
    """
    target = target or FOLDER / f"{url.database}-{datetime.now():%Y%m%d-%H%M%S}.dump"
    if target.exists():
        raise StoreError(f"a backup overwrites nothing, but {target} exists; give another name, or remove it")
    place = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    secret = {"PGPASSWORD": url.password} if isinstance(url.password, str) else {}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as draft:
            told = ["pg_dump", "--format=custom", f"--file={draft}", f"--dbname={place}"]
            subprocess.run(told, check=True, capture_output=True, text=True, env={**os.environ, **secret})
    except FileNotFoundError:
        raise StoreError(
            "a backup of PostgreSQL is made by pg_dump, which is not here; install it (postgresql-client)"
        ) from None
    except subprocess.CalledProcessError as error:
        raise StoreError(f"{url} was not copied: pg_dump says: {' '.join(error.stderr.split())}") from None
    except OSError as error:
        raise StoreError(f"{url} cannot be copied to {target}: {error}") from error
    return target
