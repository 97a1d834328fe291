"""Places: where a store is, as a path or a URL; passwords are never shown."""

import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from .errors import StoreError

Place = Path | URL
_DRIVER = "postgresql+psycopg"
_PASSWORD = re.compile(r"(?<=://)([^:/?#\s]*):\S*@|(?<=[?&;\s])([^=&;?\s]*password)=[^&;\s]*", re.IGNORECASE)


def place_of(url_or_path: str | Place) -> Place:
    """The path or the PostgreSQL URL that is meant; ``StoreError`` where it can be neither.

    ``sqlite:///PATH`` is the path. The URL's own text and ``repr`` hide its password.
    """
    if not isinstance(url_or_path, URL) and "://" not in str(url_or_path):
        return Path(url_or_path)
    url = _url(url_or_path)
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError("a store in memory would be forgotten; give a path, such as runs/archsieve.db")
        return Path(url.database)
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername=_DRIVER)
    if url.get_backend_name() != "postgresql":
        raise StoreError(f"a store is SQLite or PostgreSQL, but got {url}; give a path or postgresql://HOST/NAME")
    return _checked(url)


def _url(text: str | Place) -> URL:
    try:
        return make_url(text if isinstance(text, URL) else str(text))
    except (ArgumentError, ValueError):
        # The text may hold a password: it is not repeated.
        raise StoreError("not a database URL; write sqlite:///PATH or postgresql://USER@HOST/NAME") from None


def _checked(url: URL) -> URL:
    """``url``, unless a part of a password would be shown with it."""
    if "@" in (url.host or ""):
        raise StoreError("a host has no '@': write one in a password as %40, or keep the password in ~/.pgpass")
    if any("password" in name.lower() for name in url.query):
        raise StoreError(
            "a password after '?' would be shown: write it before the '@', or keep it in ~/.pgpass or PGPASSWORD"
        )
    return url


def masked(text: str) -> str:
    """``text`` with the passwords of all URLs in it as ``***``."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] is not None else f"{found[2]}=***", text)
