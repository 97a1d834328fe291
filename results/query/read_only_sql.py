"""The sandbox: one SQL statement that can only read, for a limited time."""

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
from ..database.reader import Reading
from ..database.schema import metadata
from ..database.sqlite_file import connect

TIMEOUT_S = 5.0
ROWS = 1000
_FIRST_WORDS = ("select", "with", "values", "explain")
_COMMENT = re.compile(r"\s+|--[^\n]*|/\*.*?\*/|\(", re.DOTALL)
_LONGEST_BYTES = 10**6  # of one value or statement: functions such as zeroblob cannot fill the memory
_STEPS = 1000  # of SQLite's machine between two looks at the clock
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_READ_ONLY = "results sql only reads: one SELECT, WITH, VALUES or EXPLAIN"


@dataclass(frozen=True)
class SqlAnswer:
    """The names of the columns, the first rows, and whether there are more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


def ask_sql(store: Reading, statement: str, *, timeout_s: float = TIMEOUT_S, rows: int = ROWS) -> SqlAnswer:
    """Run one statement that reads; at most ``rows`` rows and ``timeout_s`` seconds.

    ``RefusedError`` where it would write, is more than one, or takes too long; ``ValueError`` where it is no SQL.
    On SQLite the connection is read only and an authorizer lets nothing pass but reading and functions; on PostgreSQL
    the transaction is read only, and what the role of the URL may read it may read here.
    """
    first = _first_word(statement)
    if first not in _FIRST_WORDS:
        raise RefusedError(f"{_READ_ONLY}, but this begins with {first!r}")
    ask = _ask_sqlite if store.engine.dialect.name == "sqlite" else _ask_postgresql
    return ask(store, statement.strip().rstrip(";"), timeout_s, rows)


def _first_word(statement: str) -> str:
    at = 0
    while match := _COMMENT.match(statement, at):
        at = match.end()
    return statement[at : at + 20].split(maxsplit=1)[0].lower() if statement[at:].strip() else ""


def _ask_sqlite(store: Reading, statement: str, timeout_s: float, rows: int) -> SqlAnswer:
    deadline = time.monotonic() + timeout_s
    with closing(connect(Path(str(store.engine.url.database)), read_only=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            cursor = connection.execute(statement)
            found = cursor.fetchmany(rows + 1)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _told(str(error), timeout_s) from None
        return _answer([entry[0] for entry in cursor.description or ()], found, rows)


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    loads_code = action == sqlite3.SQLITE_FUNCTION and second == "load_extension"
    return sqlite3.SQLITE_OK if action in _ALLOWED and not loads_code else sqlite3.SQLITE_DENY


def _ask_postgresql(store: Reading, statement: str, timeout_s: float, rows: int) -> SqlAnswer:
    try:
        with store.engine.connect() as connection, connection.begin() as transaction:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
            # binary results make the driver prepare the statement, and the server prepares no more than one
            cursor: Any = connection.connection.cursor(binary=True)
            cursor.execute(statement.encode())
            found = cursor.fetchmany(rows + 1)
            names = [entry[0] for entry in cursor.description or ()]
            transaction.rollback()
    except Exception as error:
        if isinstance(error, DBAPIError) or type(error).__module__.startswith("psycopg"):
            raise _told(str(getattr(error, "orig", error)), timeout_s) from None
        raise
    return _answer(names, found, rows)


def _answer(names: list[str], found: list[Any], rows: int) -> SqlAnswer:
    return SqlAnswer(tuple(names), tuple(map(tuple, found[:rows])), len(found) > rows)


# What the drivers say, and what it means.
_MEANINGS: tuple[tuple[str, Callable[[float], str]], ...] = (
    (r"interrupted|statement timeout", lambda s: f"a statement has {s:g} s, and this one took longer; narrow it"),
    (r"one statement at a time|multiple commands", lambda _: f"{_READ_ONLY}, but this is more than one statement"),
    (r"not authorized|prohibited|readonly|read-only", lambda _: f"{_READ_ONLY}, but this would do more"),
    (r"too big|string or blob", lambda _: f"a value has at most {_LONGEST_BYTES:,} bytes, but this one has more"),
)


def _told(reason: str, timeout_s: float) -> Exception:
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, reason):
            return RefusedError(meaning(timeout_s))
    if match := re.search(r'no such table: (\S+)|relation "(\S+)" does not exist', reason):
        return ValueError(unknown("table", match[1] or match[2], metadata.tables))
    return ValueError(
        f"no answer from the database: {reason.strip().splitlines()[0]}; it has the tables {', '.join(metadata.tables)}"
    )
