"""The file under an open store: noticed when it is taken away, and saved from the open connection."""

import sqlite3
from pathlib import Path

from sqlalchemy import Engine

from .errors import StoreError


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
