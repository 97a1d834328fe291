"""Backups: a whole copy of a store, made while others write to it."""

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from ..database.atomic_file import whole
from ..database.errors import StoreError
from ..database.sqlite_file import check_file, connect
from ..database.url import Place, place_of
from .postgresql_dump import dump


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
