"""Errors of the results database."""

import errno
from collections.abc import Sequence

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)


class StoreError(Exception):
    """The database cannot be opened, read or written. The message names the database, the reason and the fix."""


class NoStoreError(StoreError):
    """There is no results database at this path or URL."""


class LockedError(StoreError):
    """Another process has held the lock of the database for too long."""


class ConnectionLostError(StoreError):
    """The database server cannot be reached, or it has closed the connection."""


class TakenOverError(StoreError):
    """Another process drives the run now; this process must not write any more."""


class SetBackError(StoreError):
    """The database was replaced by an older state of itself while this process wrote to it."""


def set_back(fact: object) -> SetBackError:
    """Return the error of a database that lacks what this process has written: ``fact`` is what it has or lacks."""
    return SetBackError(
        f"the database was set back to an older state while a run wrote to it: {fact}; check which backup was "
        "restored, then resume the run: archsieve resume RUN"
    )


class DiskFullError(StoreError):
    """The disk that holds the database is full."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether ``error`` means that a disk is full, wherever it was raised."""
    return isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS)


class NotStorableError(ValueError):
    """The database cannot store this value unchanged."""

    def __init__(self, reason: object) -> None:
        super().__init__(
            f"values in the database must be finite numbers, texts, lists and tables, but: {reason}; "
            "replace that value before you write it"
        )


class UnknownTrialError(ValueError):
    """The database has no trial with this id."""


def first_clause(error: Exception) -> str:
    """Return the message of ``error`` without its fix, which another message replaces."""
    return str(error).partition("; ")[0]


class RunExistsError(ValueError):
    """The database already holds a run of this name.

    ``free`` is a name that can be used instead. ``changed`` describes settings that differ from the existing run's.
    """

    def __init__(self, name: str, free: str, changed: Sequence[str] = ()) -> None:
        other = f" with other settings: {'; '.join(changed)}; a run keeps its first settings" if changed else ""
        super().__init__(
            f"run names must be unique, but {name!r} exists{other}; "
            f"use another name, such as {free!r}, or resume the run: archsieve resume {name}"
        )
        self.name, self.free = name, free


class RefusedError(Exception):
    """The operation was refused for safety; the message describes what it would have done."""


class PathEscapeError(RefusedError, ValueError):
    """A name contains a path, so that it would point to another folder."""


def restore_advice(name: object, source: object = "BACKUP") -> str:
    """Return the advice to put ``source`` in the place of the database ``name``.

    A command and not a copy: the log files of the old database would destroy a file that is copied to its name.
    """
    return f"restore a backup with: archsieve db restore {source} --db {name}"


# Texts of PostgreSQL and PgBouncer when all connections of a server, database or role are in use. The server sends them
# before a connection exists, so the driver has no error code.
_NO_CONNECTION_LEFT = ("too many clients", "connection slots", "too many connections", "no more connections allowed")


def is_exhausted(reason: str) -> bool:
    """Return whether a server refused a connection because all of its connections are in use."""
    return any(text in reason for text in _NO_CONNECTION_LEFT)


def unreachable(name: str, reason: str) -> ConnectionLostError:
    """Return the error of the server of the database ``name`` that refused or closed a connection."""
    reason = " ".join(reason.split())  # PostgreSQL's messages have several lines
    if is_exhausted(reason):
        return ConnectionLostError(
            f"{name} has no free connection: {reason}; end other programs that use the server, or raise its "
            "max_connections"
        )
    return ConnectionLostError(f"{name} cannot be reached: {reason}; start its server again")


_DAMAGED = "the file is damaged: {restore}; archsieve db check shows details, archsieve db backup makes backups"
# (text in the driver's message, class of the error, fix). The first text that occurs in the message decides. Texts and
# not codes, because the drivers of SQLite and PostgreSQL have no error codes in common.
_FIXES = (
    ("locked", LockedError, "another process holds the database; end it and try again"),
    # SQLite's words for a process that is stopped or very slow while it repairs the log.
    ("locking protocol", LockedError, "another process holds the database; end it and try again"),
    ("full", DiskFullError, "free some disk space, then resume the run: archsieve resume RUN"),
    ("readonly", StoreError, "make the file and its folder writable"),
    ("malformed", StoreError, _DAMAGED),
    ("not a database", StoreError, _DAMAGED),
    ("disk I/O error", StoreError, _DAMAGED),
    ("password", StoreError, "check user and password; the password can be in the URL, in PGPASSWORD or in ~/.pgpass"),
    ("permission denied", StoreError, "ask the owner of the database for this permission"),
    ("role", StoreError, "check the user in the URL"),
    ('" does not exist', StoreError, "check the name, or create the database: createdb NAME"),
    ("connection", StoreError, "check host and port, and that the server is running"),
    ("unable to open", StoreError, "check that the file exists; if not, {restore}"),
)


def store_error(name: str, reason: str) -> StoreError:
    """Return the error of the database ``name`` for the driver's message ``reason``, with a fix if one is known."""
    reason = " ".join(reason.split())  # PostgreSQL's messages have several lines
    for text, error_class, fix in _FIXES:
        if text in reason:
            return error_class(f"{name}: {reason}; {fix.replace('{restore}', restore_advice(name))}")
    return StoreError(f"{name}: {reason}; nothing was changed")
