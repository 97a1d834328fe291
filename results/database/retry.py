"""Retry policy: run a database operation again for a limited time while the server cannot be reached."""

import logging
import random
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError

from .errors import ConnectionLostError
from .sqlite_file import BUSY_S

WARN_AFTER_S = 2.0  # a shorter wait for a lock is not reported
MAX_PAUSE_S = 0.5  # longest pause between two attempts; random, so that several drivers do not retry together
# SQLSTATE codes of PostgreSQL for conditions that pass: serialization failure, deadlock, server shutdown or crash,
# server starting up, too many connections. Class 08 holds all connection errors.
_TRANSIENT_CODES = ("40001", "40P01", "57P01", "57P02", "57P03", "53300")
_CONNECTION_CLASS = "08"
log = logging.getLogger("archsieve")

T = TypeVar("T")


def is_transient(error: DBAPIError) -> bool:
    """Return whether the operation may succeed if it is repeated shortly after ``error``.

    No error of SQLite is transient, because SQLite has already waited for its lock (see ``sqlite_file.BUSY_S``).
    """
    if isinstance(error.orig, sqlite3.Error):
        return False
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is None:
        # The driver failed before the server answered.
        return error.connection_invalidated or isinstance(error, OperationalError)
    return sqlstate in _TRANSIENT_CODES or sqlstate.startswith(_CONNECTION_CLASS)


class RetryPolicy:
    """Repeats operations on the database ``name`` for up to ``limit_s`` seconds, and warns once about the delay."""

    def __init__(self, name: str, limit_s: float = BUSY_S) -> None:
        self.name, self.limit_s = name, limit_s
        self._warned = False

    def call(self, operation: Callable[[], T]) -> T:
        """Return the result of ``operation``; repeat it while it raises ``ConnectionLostError``, up to ``limit_s``.

        This is a loop and not tenacity because a call through tenacity takes 45 us, and this one 0.2 us; a read of
        1 ms makes two such calls. The import of tenacity would add 27 ms to every command.
        """
        start = time.monotonic()
        while True:
            try:
                return operation()
            except ConnectionLostError as error:
                if time.monotonic() - start > self.limit_s:
                    raise
                self._warn_once("%s; trying again for up to %.0f s", str(error), self.limit_s)
            time.sleep(MAX_PAUSE_S * random.uniform(0.1, 1))

    def warn_if_slow(self, since: float) -> None:
        """Warn, once, if the database was locked for long; ``since`` is a value of ``time.monotonic()``."""
        if (waited_s := time.monotonic() - since) > WARN_AFTER_S:
            self._warn_once("%s was locked by another process for %.0f s; writes were delayed", self.name, waited_s)

    def _warn_once(self, message: str, *values: object) -> None:
        if not self._warned:
            self._warned = True
            log.warning(message, *values)
