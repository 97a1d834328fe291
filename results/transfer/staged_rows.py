"""Rows of run documents in a temporary file: an import of any number of trials takes little memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from sqlalchemy import Table

from ...spaces.parameters.lookup import unknown
from .run_document import TABLES, Row, RunDocument

_ROWS_AT_ONCE = 1000
_MAX_KEY = 2**63
_json = json.JSONEncoder(separators=(",", ":")).encode


def _temporary() -> sqlite3.Connection:
    # An empty name: SQLite keeps a small database in memory, and writes a larger one to a file that it removes.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    return database


class StagedRows(Sequence[Row]):
    """The rows of a table in a temporary file, in the order of their ids, or as they were added if they have none."""

    def __init__(self, table: Table) -> None:
        self._table, self._database = table, _temporary()
        key = table.autoincrement_column
        self._key = None if key is None else key.name
        self._columns: list[tuple[str, ...]] = []  # most rows of a table have the same columns
        self._waiting: list[tuple[int | None, int, str]] = []
        self._count = 0
        self._database.execute("CREATE TABLE rows (key INTEGER, columns INTEGER, cells TEXT)")

    def add(self, columns: Sequence[str], cells: Sequence[Any]) -> None:
        """Add a row; raise ``ValueError`` for an unknown column, and a required one that is missing or null."""
        names = tuple(columns)
        if names not in self._columns:
            for name in names:
                if name not in self._table.c:
                    label = f"column of {self._table.name}"
                    raise ValueError(f"{unknown(label, name[:60], self._table.c.keys())}; or upgrade archsieve")
            self._columns.append(names)
        row = dict(zip(names, cells, strict=True))
        for column in self._table.c:
            if not column.nullable and column.default is None and row.get(column.name) is None:
                raise ValueError(
                    f"each row of {self._table.name} must have the column {column.name}, got {str(row)[:80]}"
                )
        key = None if self._key is None else row.get(self._key)
        has_key = isinstance(key, int) and -_MAX_KEY <= key < _MAX_KEY  # any other is found when values are checked
        self._waiting.append((key if has_key else None, self._columns.index(names), _json(list(cells))))
        self._count += 1
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._database.executemany("INSERT INTO rows VALUES (?, ?, ?)", self._waiting)
        self._waiting.clear()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        self._flush()
        order = "rowid" if self._key is None else "key, rowid"
        cursor = self._database.execute(f"SELECT columns, cells FROM rows ORDER BY {order}")
        while part := cursor.fetchmany(_ROWS_AT_ONCE):
            decoded = json.loads(f"[{','.join(cells for _, cells in part)}]")
            for (columns, _), cells in zip(part, decoded, strict=True):
                yield dict(zip(self._columns[columns], cells, strict=True))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return list(self)[index]

    def __del__(self) -> None:
        self._database.close()


class DocumentBuilder:
    """Collects the rows of a run, table by table or mixed, and makes a document of them."""

    def __init__(self) -> None:
        self._tables: dict[str, StagedRows] = {}

    def start(self, name: Any) -> StagedRows:
        """Return the rows of the table ``name``, to add some; raise ``ValueError`` for an unknown table."""
        if name not in TABLES:
            raise ValueError(f"{unknown('table', name, TABLES)}; or upgrade archsieve")
        return self._tables.setdefault(name, StagedRows(TABLES[name]))

    def add(self, name: str, table: Any) -> None:
        """Add a table that has each column name once, and the values as lists."""
        rows = self.start(name)
        if not isinstance(table, Mapping) or not all(isinstance(table.get(key), list) for key in ("columns", "rows")):
            raise ValueError(f"a table must have the lists columns and rows, got {str(table)[:60]!r}")
        columns = checked_columns(table["columns"])
        for cells in table["rows"]:
            rows.add(columns, checked_cells(columns, cells))

    def document(self) -> RunDocument:
        """Return the document; raise ``ValueError`` if there is not exactly one run."""
        tables: dict[str, Sequence[Row]] = {name: self._tables.get(name, []) for name in TABLES}
        if (count := len(tables["run"])) != 1:
            raise ValueError(f"a document must have exactly one run, got {count}")
        # the run is read often
        return RunDocument({**tables, "run": list(tables["run"])})


def checked_columns(columns: Any) -> list[str]:
    """Return the columns of a table; raise ``ValueError`` if they are not different texts."""
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"the columns of a table must be different texts, got {str(columns)[:60]!r}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"the columns of a table must be different texts, got {str(columns)[:60]!r}")
    return columns


def checked_cells(columns: Sequence[str], cells: Any) -> list[Any]:
    """Return the cells of a row; raise ``ValueError`` if there is not one for each column."""
    if not isinstance(cells, list) or len(cells) != len(columns):
        raise ValueError(f"a row must have one value for each of {len(columns)} columns, got {str(cells)[:60]!r}")
    return cells


def repeated(keys: Iterable[Sequence[Any]]) -> tuple[list[Any], int] | None:
    """Return a key that is repeated, and how often it is there; None if all differ."""
    database = _temporary()
    try:
        database.execute("CREATE TABLE keys (key TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")
        texts = ((_json(list(key)),) for key in keys)
        database.executemany("INSERT INTO keys VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET n = n + 1", texts)
        found = database.execute("SELECT key, n FROM keys WHERE n > 1").fetchone()
    finally:
        database.close()
    return None if found is None else (json.loads(found[0]), found[1])
