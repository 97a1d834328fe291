"""Read-only SQL: run one statement that cannot write, within limits of time and memory."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ...spaces.parameters.lookup import unknown
from ..database.errors import RefusedError
from ..database.reader import StoreReader
from ..database.schema import metadata
from ..database.sqlite_file import read_only_uri

TIMEOUT_S = 5.0
MAX_ROWS = 1000
_FIRST_WORDS = ("select", "with", "values", "explain")
_SKIPPED = re.compile(r"\s+|--[^\n]*|/\*.*?\*/|\(", re.DOTALL)  # spaces, comments and brackets before the first word
_MAX_VALUE_BYTES = 10**6  # of one value or statement: functions such as zeroblob() must not fill the memory
_MAX_TOTAL_BYTES = 50 * 10**6  # of all rows together
_MEMORY_BYTES = 512 * 2**20  # address space of the process that runs the statement
_GRACE_S = 1.0  # beyond the time limit, for the start of the process and a message of SQLite itself
_SERVER_ROLES = ("pg_read_server_files", "pg_execute_server_program", "pg_write_server_files")  # of PostgreSQL
_READ_ONLY_RULE = "results sql only reads: one SELECT, WITH, VALUES or EXPLAIN statement"
_TOO_LARGE = f"all rows can have at most {_MAX_TOTAL_BYTES:,} bytes, but these have more; select fewer or shorter ones"
_OUT_OF_MEMORY = f"a statement can use at most {_MEMORY_BYTES:,} bytes of memory, but this one needs more; narrow it"


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

    On SQLite the statement runs in a process of its own, which ends after the time limit and cannot take more than
    512 MiB. The connection is read-only, and an authorizer allows nothing except reading and functions that compute. On
    PostgreSQL the transaction is read-only, and the statement can read what the role of the database URL can read. A
    superuser can also read files of the server and run programs, so this role is refused.

    Raises ``RefusedError`` for a statement that would write, for several statements, after the time limit, and if the
    rows are too large. Raises ``ValueError`` for invalid SQL and for unknown tables.
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
    # SELECT(1) and SELECT* are valid, so a word ends where its letters end. The error message repeats the word.
    word = re.match(r"[A-Za-z_]{1,20}|\S{0,20}", statement[start:])
    return word[0].lower() if word else ""


def _run_on_sqlite(store: StoreReader, statement: str, timeout_s: float, rows: int) -> SqlResult:
    request = {
        "uri": read_only_uri(Path(str(store.engine.url.database))),
        "statement": statement,
        "timeout_s": timeout_s,
        "rows": rows,
        "value_bytes": _MAX_VALUE_BYTES,
        "total_bytes": _MAX_TOTAL_BYTES,
        "memory_bytes": _MEMORY_BYTES,
    }
    # -I: neither the current folder nor variables of the environment can put other code in the place of a module.
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("sql_process.py"))]
    try:
        # json.dumps writes a lone surrogate as an escape, which UTF-8 does not have.
        process = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=timeout_s + _GRACE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _translated("interrupted", timeout_s) from None
    try:
        answer = json.loads(process.stdout)
    except ValueError:
        raise _crash(process.returncode, process.stderr.decode(errors="replace")) from None
    if "error" in answer:
        raise _translated(answer["error"], timeout_s) from None
    return _result(answer["columns"], [[_value(value) for value in row] for row in answer["rows"]], rows)


def _crash(return_code: int, stderr: str) -> Exception:
    """Return the exception for a process without an answer; its code is negative if a signal has ended it."""
    last_line = (stderr.strip().splitlines() or ["no message"])[-1]
    if last_line.startswith("MemoryError"):
        return RefusedError(_OUT_OF_MEMORY)
    ended = f"signal {-return_code} has ended it" if return_code < 0 else f"it has ended with code {return_code}"
    return RefusedError(
        f"the process of a statement must return its rows, but {ended}: {last_line}; narrow the statement, or free "
        "memory"
    )


def _value(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def _run_on_postgresql(store: StoreReader, statement: str, timeout_s: float, rows: int) -> SqlResult:
    try:
        with store.engine.connect() as connection, connection.begin() as transaction:
            _check_role(connection)
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
            # With binary=True the driver prepares the statement, and the server cannot prepare more than one statement.
            # "SELECT 1; COMMIT; DELETE ..." is therefore an error and cannot leave the read-only transaction.
            cursor: Any = connection.connection.cursor()
            # stream() receives one row at a time: the rest of a large result never reaches this process.
            with closing(cursor.stream(statement.encode(), binary=True)) as stream:
                fetched = _within_limits(stream, rows)
            names = [entry[0] for entry in cursor.description or ()]
            transaction.rollback()
    except Exception as error:
        # psycopg is optional, so its exceptions are recognized by the name of their module, without an import.
        if isinstance(error, DBAPIError) or type(error).__module__.startswith("psycopg"):
            raise _translated(str(getattr(error, "orig", error)), timeout_s) from None
        raise
    return _result(names, fetched, rows)


def _check_role(connection: Connection) -> None:
    """Raise ``RefusedError`` for a role with rights that a read-only transaction does not restrict.

    The statement can change from the current role back to the role of the session, so both are checked.
    """
    query = f"""
        SELECT rolname, CASE WHEN rolsuper THEN 'superuser' ELSE 'member of ' || granted END
        FROM pg_roles LEFT JOIN unnest(ARRAY[{", ".join(map(repr, _SERVER_ROLES))}]) AS granted
            ON NOT rolsuper AND pg_has_role(pg_roles.oid, granted, 'MEMBER')
        WHERE rolname IN (current_user, session_user) AND (rolsuper OR granted IS NOT NULL)
    """
    found = connection.exec_driver_sql(query).first()
    if found is not None:
        role, right = found
        raise RefusedError(
            f"results sql needs a role that can only read, but {role} is a {right}, who can read files of the server "
            "or run programs; create a role (docs/database.md) and name it in the URL"
        )


def _within_limits(stream: Iterable[Any], rows: int) -> list[Any]:
    fetched, size = [], 0
    for row in stream:
        fetched.append(row)
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
        if size > _MAX_TOTAL_BYTES:
            raise RefusedError(_TOO_LARGE)
        # One row more than requested shows whether there are more.
        if len(fetched) > rows:
            break
    return fetched


def _result(names: list[str], fetched: list[Any], rows: int) -> SqlResult:
    return SqlResult(tuple(names), tuple(map(tuple, fetched[:rows])), len(fetched) > rows)


# Patterns in the drivers' messages, and our message for each; the argument is the time limit in seconds. The first
# matching pattern decides.
_REFUSALS: tuple[tuple[str, Callable[[float], str]], ...] = (
    (
        r"interrupted|statement timeout",
        lambda s: f"a statement can take {s:g} s, but this one took longer; narrow it, or set a longer --timeout",
    ),
    (r"^rows too large$", lambda _: _TOO_LARGE),
    (r"^out of memory$", lambda _: _OUT_OF_MEMORY),
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
    if function := re.search(r"not authorized to use function: (\S+)", reason):
        return RefusedError(
            f"{_READ_ONLY_RULE}, but the function {function[1]} may do more than read; leave the function out"
        )
    for pattern, message in _REFUSALS:
        if re.search(pattern, reason):
            return RefusedError(message(timeout_s))
    if match := re.search(r'no such table: (\S+)|relation "(\S+)" does not exist', reason):
        return ValueError(unknown("table", match[1] or match[2], metadata.tables))
    return ValueError(
        f"the database rejects the statement: {reason.strip().splitlines()[0]}; "
        f"its tables are {', '.join(metadata.tables)}"
    )
