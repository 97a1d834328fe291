"""Database URLs: parse the path or URL of a results database, and hide passwords in texts."""

import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from .errors import StoreError

DatabaseLocation = Path | URL
# psycopg 3; SQLAlchemy's default for postgresql:// is psycopg2.
_DRIVER = "postgresql+psycopg"
# The password between ':' and the last '@' of a URL, or the value of a parameter whose name ends with "password".
_PASSWORD = re.compile(r"(?<=://)([^:/?#\s]*):\S*@|(?<=[?&;\s])([^=&;?\s]*password)=[^&;\s]*", re.IGNORECASE)


def parse_location(url_or_path: str | DatabaseLocation) -> DatabaseLocation:
    """Return the path of an SQLite file, or the URL of a PostgreSQL database.

    ``sqlite:///PATH`` becomes the path. The text and the ``repr`` of the URL hide its password. Raises ``StoreError``
    if the argument is neither a path nor the URL of such a database.
    """
    if not isinstance(url_or_path, URL) and "://" not in str(url_or_path):
        return Path(url_or_path)
    url = _url(url_or_path)
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError(
                f"a results database must be a file, but got {url}, a database in memory; "
                "use a path such as runs/archsieve.db"
            )
        return Path(url.database)
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername=_DRIVER)
    if url.get_backend_name() != "postgresql":
        raise StoreError(
            f"a results database must be SQLite or PostgreSQL, but got {url}; use a path or postgresql://HOST/NAME"
        )
    return _check_password_hidden(url)


def runs_folder(location: DatabaseLocation) -> Path:
    """Return the folder of the runs of a database: its own folder, or ``runs`` for a database on a server."""
    return location.parent if isinstance(location, Path) else Path("runs")


def _url(text: str | DatabaseLocation) -> URL:
    try:
        return make_url(text if isinstance(text, URL) else str(text))
    except (ArgumentError, ValueError):
        # The message does not repeat the text, because it may contain a password.
        raise StoreError(
            "a database URL was expected, but this one cannot be parsed; use sqlite:///PATH or "
            "postgresql://USER@HOST/NAME"
        ) from None


def _check_password_hidden(url: URL) -> URL:
    """Return ``url``; raise ``StoreError`` if its text would show a part of the password."""
    if "@" in (url.host or ""):
        # An '@' in the password ends it early, so that the rest of the password is parsed as the host.
        raise StoreError(
            "a host must not contain '@', but this URL's does; write '@' in a password as %40, or store the password "
            "in ~/.pgpass"
        )
    if any("password" in name.lower() for name in url.query):
        raise StoreError(
            "a URL must not have a password after '?', because it would be shown; write it before the '@', or store it "
            "in ~/.pgpass or PGPASSWORD"
        )
    return url


def mask_passwords(text: str) -> str:
    """Return ``text`` with ``***`` in place of the password of each URL in it."""
    return _PASSWORD.sub(lambda match: f"{match[1]}:***@" if match[1] is not None else f"{match[2]}=***", text)
