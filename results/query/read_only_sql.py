"""Read-only SQL: run one statement that cannot write, within a time limit."""

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from ...spaces.parameters.lookup import unknown
from ..database.errors import RefusedError
from ..database.reader import StoreReader
from ..database.schema import metadata
from ..database.sqlite_file import connect

TIMEOUT_S = 5.0
MAX_ROWS = 1000
_FIRST_WORDS = ("select", "with", "values", "explain")
_SKIPPED = re.compile(r"\s+|--[^\n]*|/\*.*?\*/|\(", re.DOTALL)  # spaces, comments and brackets before the first word
_MAX_VALUE_BYTES = 10**6  # of one value or statement: functions such as zeroblob() must not fill the memory
_STEPS_PER_CHECK = 1000  # instructions of SQLite's virtual machine between two checks of the time limit
_ALLOWED_ACTIONS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_READ_ONLY_RULE = "results sql only reads: one SELECT, WITH, VALUES or EXPLAIN statement"


@dataclass(frozen=True)
class SqlResult:
    """The column names, the first rows, and whether there are more rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


def run_read_only_sql(
    store: StoreReader, statement: str, *, timeout_s: float = TIMEOUT_S, rows: int = MAX_ROWS
) -> SqlResult:
    """Run one statement that only reads, and return at most ``rows`` rows within ``timeout_s`` seconds.

    On SQLite the connection is read-only, and an authorizer allows nothing except reading and functions. On PostgreSQL
    the transaction is read-only, and the statement can read what the role of the database URL can read.

    Raises ``RefusedError`` for a statement that would write, for several statements, and after the time limit. Raises
    ``ValueError`` for invalid SQL and for unknown tables.
    """
    first_word = _first_word(statement)
    if first_word not in _FIRST_WORDS:
        raise RefusedError(f"{_READ_ONLY_RULE}, but the statement begins with {first_word!r}; write a SELECT")
    run = _run_on_sqlite if store.engine.dialect.name == "sqlite" else _run_on_postgresql
    return run(store, statement.strip().rstrip(";"), timeout_s, rows)


def _first_word(statement: str) -> str:
    start = 0
    while match := _SKIPPED.match(statement, start):
        start = match.end()
    # The word is repeated in an error message, so it is cut to 20 characters.
    return statement[start : start + 20].split(maxsplit=1)[0].lower() if statement[start:].strip() else ""


def _run_on_sqlite(store: StoreReader, statement: str, timeout_s: float, rows: int) -> SqlResult:
    deadline = time.monotonic() + timeout_s
    # A separate connection: the authorizer and the limits must not apply to the connections of the engine's pool.
    with closing(connect(Path(str(store.engine.url.database)), read_only=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_PER_CHECK)
        try:
            cursor = connection.execute(statement)
            # One row more than requested shows whether there are more.
            fetched = cursor.fetchmany(rows + 1)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _translated(str(error), timeout_s) from None
        return _result([entry[0] for entry in cursor.description or ()], fetched, rows)


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Allow or deny one action of a statement, as a callback of SQLite; ``second`` is the name of a function."""
    loads_code = action == sqlite3.SQLITE_FUNCTION and second == "load_extension"
    return sqlite3.SQLITE_OK if action in _ALLOWED_ACTIONS and not loads_code else sqlite3.SQLITE_DENY


def _run_on_postgresql(store: StoreReader, statement: str, timeout_s: float, rows: int) -> SqlResult:
    try:
        with store.engine.connect() as connection, connection.begin() as transaction:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
            # With binary=True the driver prepares the statement, and the server cannot prepare more than one statement.
            # "SELECT 1; COMMIT; DELETE ..." is therefore an error and cannot leave the read-only transaction.
            cursor: Any = connection.connection.cursor(binary=True)
            cursor.execute(statement.encode())
            fetched = cursor.fetchmany(rows + 1)
            names = [entry[0] for entry in cursor.description or ()]
            transaction.rollback()
    except Exception as error:
        # psycopg is optional, so its exceptions are recognized by the name of their module, without an import.
        if isinstance(error, DBAPIError) or type(error).__module__.startswith("psycopg"):
            raise _translated(str(getattr(error, "orig", error)), timeout_s) from None
        raise
    return _result(names, fetched, rows)


def _result(names: list[str], fetched: list[Any], rows: int) -> SqlResult:
    return SqlResult(tuple(names), tuple(map(tuple, fetched[:rows])), len(fetched) > rows)


# Patterns in the drivers' messages, and our message for each; the argument is the time limit in seconds. The first
# matching pattern decides.
_REFUSALS: tuple[tuple[str, Callable[[float], str]], ...] = (
    (
        r"interrupted|statement timeout",
        lambda s: f"a statement can take {s:g} s, but this one took longer; narrow it, or set a longer --timeout",
    ),
    (
        r"one statement at a time|multiple commands",
        lambda _: f"{_READ_ONLY_RULE}, but there is more than one statement; run them one by one",
    ),
    (
        r"not authorized|prohibited|readonly|read-only",
        lambda _: f"{_READ_ONLY_RULE}, but this statement does more than read; write a SELECT",
    ),
    (
        r"too big|string or blob",
        lambda _: f"a value can have at most {_MAX_VALUE_BYTES:,} bytes, but the result has a larger one; shorten it",
    ),
)


def _translated(reason: str, timeout_s: float) -> Exception:
    """Return our exception for the message ``reason`` of a database driver."""
    for pattern, message in _REFUSALS:
        if re.search(pattern, reason):
            return RefusedError(message(timeout_s))
    if match := re.search(r'no such table: (\S+)|relation "(\S+)" does not exist', reason):
        return ValueError(unknown("table", match[1] or match[2], metadata.tables))
    return ValueError(
        f"the database rejects the statement: {reason.strip().splitlines()[0]}; "
        f"its tables are {', '.join(metadata.tables)}"
    )
