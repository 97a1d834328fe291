"""Errors: what a store refuses, and why."""

from collections.abc import Sequence


class StoreError(Exception):
    """The store cannot be opened, read or written; the message says which store, why, and what helps."""


class NoStoreError(StoreError):
    """Nothing is there yet that could be opened."""


class LockedError(StoreError):
    """Another program holds the database for too long."""


class LostError(StoreError):
    """The database server cannot be reached, or has put this process out."""


class DiskFullError(StoreError):
    """The disk that the database lies on is full."""


class NotStorableError(ValueError):
    """A value that no database keeps as it is."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the store keeps finite numbers, texts, lists and tables, but: {why}")


class RunExistsError(ValueError):
    """A run of this name is in the store already."""

    def __init__(self, name: str, free: str, changed: Sequence[str] = ()) -> None:
        other = f" with other settings: {'; '.join(changed)}; a run keeps those it began with" if changed else ""
        super().__init__(
            f"run names are unique, but {name!r} exists{other}; "
            f"take another, such as {free!r}, or go on with it: archsieve resume {name}"
        )
        self.name, self.free = name, free


class RefusedError(Exception):
    """What was asked is not done, for safety; the message says what would have happened."""


class OutsideError(RefusedError, ValueError):
    """A name that would lead out of the folder that it names something in."""


_DAMAGED = "the file is damaged: bring back a backup (archsieve db backup makes them), or look with archsieve db check"
_CURES = (
    ("locked", LockedError, "another program holds the database; end it and try again"),
    ("full", DiskFullError, "free some disk space and go on with: archsieve resume RUN"),
    ("readonly", StoreError, "make the file and its folder writable"),
    ("malformed", StoreError, _DAMAGED),
    ("not a database", StoreError, _DAMAGED),
    ("disk I/O error", StoreError, _DAMAGED),
    ("password", StoreError, "check user and password; it may stand in the URL, in PGPASSWORD or in ~/.pgpass"),
    ("permission denied", StoreError, "ask the database's owner for the right"),
    ("role", StoreError, "check the user in the URL"),
    ('" does not exist', StoreError, "check the name, or make the database: createdb NAME"),
    ("connection", StoreError, "check host and port, and that the server runs"),
    ("unable to open", StoreError, "check that the file is there; bring back a backup (archsieve db backup) if not"),
)


def store_error(name: str, reason: str) -> StoreError:
    """The error of the store ``name`` for the database's ``reason``, with what helps."""
    reason = " ".join(reason.split())
    for word, kind, cure in _CURES:
        if word in reason:
            return kind(f"{name}: {reason}; {cure}")
    return StoreError(f"{name}: {reason}; nothing was changed")
