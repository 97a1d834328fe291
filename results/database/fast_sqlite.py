"""Direct connections: statements compiled once and run by SQLite's own driver, for what is said at every epoch.

To hand a statement over, an SQLAlchemy connection takes five times as long as SQLite takes to run it: a trial of 12
epochs is recorded in 1.1 ms this way (benchmarks/README.md, store.py), and takes 3.5 times as long through the engine.
What is written, and when it is on the disk, is the same either way.
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
Told = Mapping[str, Any] | list[Mapping[str, Any]] | None
_Processor = Callable[[Any], Any] | None


class Compiled(NamedTuple):
    """A statement for SQLite: its text, its parameters in order, what makes some of them SQLite's, and its rows."""

    text: str
    names: tuple[str, ...]
    makers: tuple[tuple[int, Callable[[Any], Any]], ...]
    constants: Mapping[str, Any]
    row: Callable[[Sequence[Any]], Any]

    def values(self, told: Mapping[str, Any]) -> list[Any]:
        """The parameters, as the driver takes them."""
        known = {**self.constants, **told} if self.constants else told
        values = [known[name] for name in self.names]
        for place, make in self.makers:
            values[place] = make(values[place])
        return values


@lru_cache(maxsize=256)
def compiled(statement: Executable, keys: tuple[str, ...], dialect: Dialect) -> Compiled:
    """``statement`` for the parameters ``keys``; statements are told apart by identity, so keep those you repeat."""
    found: Any = statement.compile(dialect=dialect, column_keys=list(keys))  # type: ignore[attr-defined]
    assert not found.prefetch, "a default is worked out by an engine alone: give the value"
    types = {name: bind.type for name, bind in found.binds.items()}
    names = tuple(found.positiontup)
    binders = [(place, _binder(types[name], dialect)) for place, name in enumerate(names)]
    makers = tuple((place, binder) for place, binder in binders if binder is not None)
    constants = {name: value for name, value in found.params.items() if name not in keys}
    row = _row(statement, dialect) if isinstance(statement, Select) else tuple
    return Compiled(str(found), names, makers, constants, row)


def _binder(kind: TypeEngine[Any], dialect: Dialect) -> _Processor:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _row(query: Select[Any], dialect: Dialect) -> Callable[[Sequence[Any]], Any]:
    columns = query.selected_columns
    named: Any = type("DirectRow", (_Mapped, namedtuple("row", [str(column.key) for column in columns])), {})
    readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]

    def row(values: Sequence[Any]) -> Any:
        read = zip(readers, values, strict=True)
        return named._make(value if make is None else make(value) for make, value in read)

    return row


class _Mapped:
    @property
    def _mapping(self) -> dict[str, Any]:
        return self._asdict()  # type: ignore[attr-defined,no-any-return]


class DirectRows:
    """What a statement came to: its rows as named tuples, how many it changed, and the id of the last one added."""

    def __init__(self, cursor: sqlite3.Cursor, row: Callable[[Sequence[Any]], Any]) -> None:
        self._cursor, self._row = cursor, row
        self.rowcount = cursor.rowcount
        self.inserted_primary_key: Any = (cursor.lastrowid,)

    def __iter__(self) -> Iterator[Any]:
        return map(self._row, self._cursor)

    def all(self) -> list[Any]:
        """All rows."""
        return list(self)

    def first(self) -> Any:
        """The first row; None without one."""
        found = self._cursor.fetchone()
        self._cursor.close()
        return None if found is None else self._row(found)


class Direct:
    """As much of an SQLAlchemy connection as the writes of one trial need, on an SQLite connection."""

    def __init__(self, driver: sqlite3.Connection, dialect: Dialect) -> None:
        self._driver, self.dialect = driver, dialect

    def execute(self, statement: Executable, told: Told = None) -> DirectRows:
        """Run ``statement`` with the parameters ``told``, or once for each of several sets of them."""
        if isinstance(told, list):
            ready = compiled(statement, tuple(told[0]), self.dialect)
            cursor = self._driver.executemany(ready.text, map(ready.values, told))
        else:
            ready = compiled(statement, tuple(told or ()), self.dialect)
            cursor = self._driver.execute(ready.text, ready.values(told or {}))
        return DirectRows(cursor, ready.row)


Link = Connection | Direct  # what a trial's writes go through


class DirectLine:
    """One connection kept for the direct writes of a store, to the SQLite file behind ``engine``; one writer at a time.

    To take it from the pool and to give it back at every write costs a fifth of the write.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self._kept: PoolProxiedConnection | None = None

    def write(self, act: Callable[[Direct], T]) -> T:
        """What ``act`` returns, in a transaction that holds the write lock: all that it writes is kept, or nothing."""
        with self._lock:
            if self._kept is None:
                self._kept = self._engine.raw_connection()
            driver: Any = self._kept.driver_connection
            driver.execute("BEGIN IMMEDIATE")
            try:
                found = act(Direct(driver, self._engine.dialect))
                driver.commit()
            except BaseException:
                driver.rollback()
                raise
            return found

    def close(self) -> None:
        """Give the connection back; another write takes one again."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()
                self._kept = None
