"""The process that runs one SQL statement on an SQLite file: ``python -I sql_process.py`` with the request on stdin.

It is a program of its own, without an import of this package: a function of SQLite, such as printf with a large width,
can take all time and memory, and only the end of its process stops it. It starts in 20 ms.
"""

import json
import resource
import sqlite3
import sys
import time
from contextlib import suppress
from typing import Any

STEPS_PER_CHECK = 1000  # instructions of SQLite's virtual machine between two checks of the time limit
ALLOWED_ACTIONS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
# Functions that only compute with their arguments. Others can load code, read files, or change the connection.
_FUNCTIONS = """
abs avg ceil ceiling changes char coalesce concat concat_ws count cume_dist date datetime degrees dense_rank exp
first_value floor format glob group_concat hex ifnull iif instr json json_array json_array_length json_each
json_extract json_group_array json_group_object json_insert json_object json_patch json_quote json_remove
json_replace json_set json_tree json_type json_valid julianday lag last_value lead length like likelihood likely ln
log log10 log2 lower ltrim max min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote
radians random randomblob rank replace round row_number rtrim sign soundex sqrt strftime string_agg substr
substring sum time timediff total trim trunc typeof unhex unicode unixepoch unlikely upper zeroblob acos acosh asin
asinh atan atan2 atanh cos cosh sin sinh tan tanh -> ->> current_date current_time current_timestamp if
json_array_insert json_error_position json_pretty jsonb jsonb_array jsonb_array_insert jsonb_each jsonb_extract
jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set
jsonb_tree last_insert_rowid median percentile percentile_cont percentile_disc sqlite_source_id sqlite_version
total_changes unistr unistr_quote
"""
_TABLES = ("json_each", "json_tree", "jsonb_each", "jsonb_tree")  # functions that return a table
ALLOWED_FUNCTIONS = frozenset(_FUNCTIONS.split())


class TooLargeError(Exception):
    """The rows have more bytes than the limit."""


def main() -> None:
    """Read a request as JSON from stdin, and write the answer as JSON to stdout.

    The request has uri, statement, timeout_s, rows, value_bytes, total_bytes and memory_bytes. The answer has columns
    and rows, or error.
    """
    request = json.load(sys.stdin)
    _limit(request["memory_bytes"], request["timeout_s"])
    try:
        answer = _run(request)
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        answer = {"error": str(error)}
    except TooLargeError:
        answer = {"error": "rows too large"}
    except MemoryError:
        answer = {"error": "out of memory"}
    json.dump(answer, sys.stdout)


def _limit(memory_bytes: int, timeout_s: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    seconds = int(timeout_s) + 2  # in case that the process that waits for this one was killed
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(request: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + request["timeout_s"]
    connection = sqlite3.connect(request["uri"], uri=True, timeout=request["timeout_s"], isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, request["value_bytes"])
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for table in _TABLES:
        # SQLite declares such a table at its first use. The authorizer denies every declaration.
        with suppress(sqlite3.Error):
            connection.execute(f"SELECT count(*) FROM {table}('[]')")
    connection.set_authorizer(authorize)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_PER_CHECK)
    try:
        cursor = connection.execute(request["statement"])
        # One row more than requested shows whether there are more.
        rows, size = [], 0
        for row in cursor:
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if size > request["total_bytes"]:
                raise TooLargeError
            rows.append([{"hex": value.hex()} if isinstance(value, bytes) else value for value in row])
            if len(rows) > request["rows"]:
                break
        return {"columns": [entry[0] for entry in cursor.description or ()], "rows": rows}
    finally:
        connection.set_progress_handler(None, 0)
        connection.close()


def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Allow or deny one action of a statement, as a callback of SQLite; ``second`` is the name of a function."""
    if action not in ALLOWED_ACTIONS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in ALLOWED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


if __name__ == "__main__":
    main()
