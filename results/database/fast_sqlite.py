"""Raw SQLite connections: run compiled SQLAlchemy statements on the sqlite3 driver, for the writes of every epoch.

An SQLAlchemy connection takes five times as long to pass a statement on as SQLite takes to run it. A trial of 12 epochs
is recorded in 1.1 ms on a raw connection (benchmarks/README.md, store.py) and takes 3.5 times as long through the
engine. The rows that are written, and the moment at which they are on the disk, are the same either way.
"""

import sqlite3
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Dialect, Engine, Executable, PoolProxiedConnection, Select
from sqlalchemy.types import TypeEngine

T = TypeVar("T")
Parameters = Mapping[str, Any] | list[Mapping[str, Any]] | None
_Processor = Callable[[Any], Any] | None


class CompiledStatement(NamedTuple):
    """A statement compiled for SQLite.

    ``text`` is SQL with question marks and ``names`` are their parameters in order. ``converters`` are pairs of an
    index into ``names`` and a function that turns the Python value into SQLite's. ``constants`` are parameters that
    the statement itself fixes. ``row`` turns a tuple of the driver into the row that is returned.
    """

    text: str
    names: tuple[str, ...]
    converters: tuple[tuple[int, Callable[[Any], Any]], ...]
    constants: Mapping[str, Any]
    row: Callable[[Sequence[Any]], Any]

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values of ``parameters`` in the order and the types that the driver takes."""
        # Most statements have no constants; then the mapping is not copied.
        by_name = {**self.constants, **parameters} if self.constants else parameters
        values = [by_name[name] for name in self.names]
        for index, convert in self.converters:
            values[index] = convert(values[index])
        return values


@lru_cache(maxsize=256)
def compiled(statement: Executable, keys: tuple[str, ...], dialect: Dialect) -> CompiledStatement:
    """Compile ``statement`` for the parameters ``keys``.

    The result is cached by the identity of ``statement``: build a statement once and use the same object again.
    """
    sql: Any = statement.compile(dialect=dialect, column_keys=list(keys))  # type: ignore[attr-defined]
    # Only an engine computes the default of a column; a raw connection would leave the column out.
    assert not sql.prefetch, "a raw connection computes no column defaults: pass the value"
    types = {name: bind.type for name, bind in sql.binds.items()}
    names = tuple(sql.positiontup)
    processors = [(index, _bind_processor(types[name], dialect)) for index, name in enumerate(names)]
    converters = tuple((index, processor) for index, processor in processors if processor is not None)
    constants = {name: value for name, value in sql.params.items() if name not in keys}
    row = _row_maker(statement, dialect) if isinstance(statement, Select) else tuple
    return CompiledStatement(str(sql), names, converters, constants, row)


def _bind_processor(kind: TypeEngine[Any], dialect: Dialect) -> _Processor:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _row_maker(query: Select[Any], dialect: Dialect) -> Callable[[Sequence[Any]], Any]:
    """Return a function that turns a tuple of the driver into a named tuple with the Python values of ``query``."""
    columns = query.selected_columns
    # SQLAlchemy's rows allow access by name and have ``_mapping``; callers use both.
    row_class: Any = type("RawRow", (_RowMapping, namedtuple("row", [str(column.key) for column in columns])), {})
    processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]

    def make_row(values: Sequence[Any]) -> Any:
        pairs = zip(processors, values, strict=True)
        return row_class._make(value if process is None else process(value) for process, value in pairs)

    return make_row


class _RowMapping:
    """Give a named tuple the attribute ``_mapping`` of SQLAlchemy's rows."""

    @property
    def _mapping(self) -> dict[str, Any]:
        return self._asdict()  # type: ignore[attr-defined,no-any-return]


class RawResult:
    """The result of a statement: its rows as named tuples, the number of changed rows, the id of the last new row."""

    def __init__(self, cursor: sqlite3.Cursor, row: Callable[[Sequence[Any]], Any]) -> None:
        self._cursor, self._row = cursor, row
        self.rowcount = cursor.rowcount
        self.inserted_primary_key: Any = (cursor.lastrowid,)

    def __iter__(self) -> Iterator[Any]:
        return map(self._row, self._cursor)

    def all(self) -> list[Any]:
        """Return all rows."""
        return list(self)

    def first(self) -> Any:
        """Return the first row, or None if there is none, and close the cursor."""
        values = self._cursor.fetchone()
        # An open cursor would keep the statement, and with it the transaction, active.
        self._cursor.close()
        return None if values is None else self._row(values)


class RawConnection:
    """An SQLite connection with the part of SQLAlchemy's ``Connection`` that the writes of a trial need."""

    def __init__(self, driver: sqlite3.Connection, dialect: Dialect) -> None:
        self._driver, self.dialect = driver, dialect

    def execute(self, statement: Executable, parameters: Parameters = None) -> RawResult:
        """Run ``statement`` with ``parameters``, or once for each mapping if ``parameters`` is a list."""
        if isinstance(parameters, list):
            # All mappings have the same keys, so the first one defines the parameters.
            compiled_statement = compiled(statement, tuple(parameters[0]), self.dialect)
            cursor = self._driver.executemany(compiled_statement.text, map(compiled_statement.values, parameters))
        else:
            compiled_statement = compiled(statement, tuple(parameters or ()), self.dialect)
            cursor = self._driver.execute(compiled_statement.text, compiled_statement.values(parameters or {}))
        return RawResult(cursor, compiled_statement.row)


AnyConnection = Connection | RawConnection  # what the writes of a trial run on


class RawWriter:
    """Writes to the SQLite file of ``engine`` through one raw connection that stays open; one thread at a time.

    To take the connection from the pool and to return it for every write would add a fifth to the time of a write.
    """

    def __init__(self, engine: Engine) -> None:
        # sqlite_file.connect allows several threads to use a connection, but only one at a time may write.
        self._engine, self._lock = engine, threading.Lock()
        self._pooled: PoolProxiedConnection | None = None

    def write(self, operation: Callable[[RawConnection], T]) -> T:
        """Run ``operation`` in a transaction with the write lock and return its result; roll back if it raises."""
        with self._lock:
            if self._pooled is None:
                self._pooled = self._engine.raw_connection()
            driver: Any = self._pooled.driver_connection
            driver.execute("BEGIN IMMEDIATE")
            try:
                result = operation(RawConnection(driver, self._engine.dialect))
                driver.commit()
            # On KeyboardInterrupt too: an open transaction would keep the write lock.
            except BaseException:
                driver.rollback()
                raise
            return result

    def close(self) -> None:
        """Return the connection to the pool; the next write takes one again."""
        with self._lock:
            if self._pooled is not None:
                self._pooled.close()
                self._pooled = None
