"""Run documents: a run with all rows that belong to it, as plain tables that do not depend on a database."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, select, union

from ...spaces.parameters.lookup import unknown
from ..database import schema
from ..database.reader import StoreReader
from ..database.rows import run_id_of
from .document_schema import check_value

FORMAT = 1
_t = schema.trial.c
# meta describes the database itself. Artifacts are files that are not exported, so their rows would refer to nothing.
_NOT_EXPORTED = (schema.meta, schema.artifact)
TABLES: Mapping[str, Table] = {
    table.name: table for table in schema.metadata.sorted_tables if table not in _NOT_EXPORTED
}
Row = dict[str, Any]


@dataclass(frozen=True)
class RunDocument:
    """A run: its rows by table, with JSON values.

    ``tables`` are in an order in which their rows can be inserted without breaking a foreign key.
    """

    tables: Mapping[str, Sequence[Row]]

    @classmethod
    def from_json(cls, data: Any) -> "RunDocument":
        """Return the document of the JSON value of a run in an export.

        Raises ``ValueError`` for missing and unknown tables and columns.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"a run must be a mapping of tables, got {str(data)[:60]!r}")
        for name in data:
            if name not in TABLES:
                raise ValueError(f"{unknown('table', name, TABLES)}; or upgrade archsieve")
        tables = {name: list(from_table(data[name])) if name in data else [] for name in TABLES}
        for name, rows in tables.items():
            for row in rows:
                _check_columns(TABLES[name], row)
        if (count := len(tables["run"])) != 1:
            raise ValueError(f"a document must have exactly one run, got {count}")
        return cls(tables)

    def ordered(self) -> "RunDocument":
        """Return the document with the rows of each table in the order of their ids, as they were written."""
        keys = {name: TABLES[name].autoincrement_column for name in self.tables}
        return RunDocument(
            {
                name: list(rows) if (key := keys[name]) is None else sorted(rows, key=itemgetter(key.name))
                for name, rows in self.tables.items()
            }
        )

    @property
    def run(self) -> Row:
        """The row of the table ``run``."""
        return self.tables["run"][0]

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self.run["name"])


def run_ids(connection: Connection, runs: Iterable[str | int] = ()) -> list[int]:
    """Return the ids of ``runs``, or of all runs; each once, as a name, its beginning and ``last`` may mean one run."""
    ids = list(dict.fromkeys(run_id_of(connection, run) for run in runs))
    return ids or list(connection.scalars(select(schema.run.c.run_id).order_by(schema.run.c.run_id)))


def documents(store: StoreReader, runs: Iterable[str | int] = ()) -> list[RunDocument]:
    """Return the documents of ``runs``, or of all runs, read in one transaction."""
    with store.read_transaction() as connection:
        ids = run_ids(connection, runs)
        return [RunDocument({name: _rows(connection, table, run) for name, table in TABLES.items()}) for run in ids]


def _rows(connection: Connection, table: Table, run_id: int) -> list[Row]:
    query = select(table).where(belongs_to_run(table, run_id)).order_by(*table.primary_key.columns)
    return [{name: to_json_value(value) for name, value in row._mapping.items()} for row in connection.execute(query)]


def belongs_to_run(table: Table, run_id: int) -> ColumnElement[bool]:
    """Return the condition that is true for the rows of ``table`` that belong to a run."""
    if "run_id" in table.c:
        return table.c.run_id == run_id
    if "trial_id" in table.c:
        return table.c.trial_id.in_(select(_t.trial_id).where(_t.run_id == run_id))
    if "fingerprint" in table.c:
        return table.c.fingerprint.in_(fingerprints_of_run(run_id))
    assert table is schema.dataset, f"{table.name} belongs to no run"
    return table.c.content_hash.in_(select(schema.run.c.dataset_hash).where(schema.run.c.run_id == run_id))


def fingerprints_of_run(run_id: int, *, trained: bool = True) -> Select[Any]:
    """Select the fingerprints of the architectures that a run measured or scored; with ``trained`` also of its trials."""
    tables = [table for table in TABLES.values() if "run_id" in table.c and "fingerprint" in table.c]
    if not trained:
        tables.remove(schema.trial)
    fingerprints = union(*(select(table.c.fingerprint).where(table.c.run_id == run_id) for table in tables)).subquery()
    return select(fingerprints.c.fingerprint)


def to_json_value(value: Any) -> Any:
    """Return ``value`` as a JSON value: a datetime as ISO 8601 text, others unchanged."""
    return value.isoformat() if isinstance(value, datetime) else value


def _check_columns(table: Table, row: Row) -> None:
    """Raise ``ValueError`` for an unknown column, and for a required column that is missing or null."""
    for name in row:
        if name not in table.c:
            raise ValueError(f"{unknown(f'column of {table.name}', name[:60], table.c.keys())}; or upgrade archsieve")
    for column in table.c:
        if not column.nullable and column.default is None and row.get(column.name) is None:
            raise ValueError(f"each row of {table.name} must have the column {column.name}, got {str(row)[:80]}")


def typed(table: Table, row: Mapping[str, Any]) -> Row:
    """Return ``row`` with the types of the columns of ``table``; raise ``ValueError`` for a value of another type."""
    return {name: check_value(table, name, value) for name, value in row.items()}


def as_table(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return ``rows`` as a table that has each column name once, and the values as lists."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "rows": [[row.get(name) for name in columns] for row in rows]}


def from_table(table: Any) -> Iterator[Row]:
    """Yield the rows of a table from :func:`as_table`; raise ``ValueError`` for any other structure."""
    if not isinstance(table, Mapping) or not all(isinstance(table.get(key), list) for key in ("columns", "rows")):
        raise ValueError(f"a table must have the lists columns and rows, got {str(table)[:60]!r}")
    columns = table["columns"]
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise ValueError(f"the columns of a table must be different texts, got {str(columns)[:60]!r}")
    for row in table["rows"]:
        if not isinstance(row, list) or len(row) != len(table["columns"]):
            raise ValueError(
                f"a row must have one value for each of {len(table['columns'])} columns, got {str(row)[:60]!r}"
            )
        yield dict(zip(table["columns"], row, strict=True))
