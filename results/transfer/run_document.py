"""Documents: runs with all that belongs to them, taken out of a store as plain tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, Connection, Float, Integer, Select, Table, select, union

from ...spaces.parameters.lookup import unknown
from ..database import schema
from ..database.reader import Reading
from ..database.rows import run_id_of

FORMAT = 1
_t = schema.trial.c
# Files do not travel, so neither do the rows that point at them.
_LEFT = (schema.meta, schema.artifact)
TABLES: Mapping[str, Table] = {table.name: table for table in schema.metadata.sorted_tables if table not in _LEFT}
Row = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """One run: its rows by table, in the values of JSON. ``tables`` are in an order in which they can be inserted."""

    tables: Mapping[str, Sequence[Row]]

    @classmethod
    def of(cls, packed: Any) -> "Document":
        """The document that :meth:`packed` packed; a ``ValueError`` where tables or columns are missing or unknown."""
        if not isinstance(packed, Mapping):
            raise ValueError(f"a run is a mapping of tables, but got {str(packed)[:60]!r}")
        for name in packed:
            if name not in TABLES:
                raise ValueError(f"{unknown('table', name, TABLES)}; or upgrade archsieve")
        tables = {name: list(from_table(packed[name])) if name in packed else [] for name in TABLES}
        for name, rows in tables.items():
            for row in rows:
                _check_whole(TABLES[name], row)
        if (count := len(tables["run"])) != 1:
            raise ValueError(f"a document describes one run, but got {count}")
        return cls(tables)

    def packed(self) -> dict[str, dict[str, list[Any]]]:
        """The document as JSON's own types: tables with their column names said once; empty ones are left out."""
        return {name: as_table(rows) for name, rows in self.tables.items() if rows}

    @property
    def run(self) -> Row:
        """The row of the run itself."""
        return self.tables["run"][0]

    @property
    def name(self) -> str:
        """What the run is called."""
        return str(self.run["name"])


def documents(store: Reading, runs: Iterable[str | int] = ()) -> list[Document]:
    """The named runs, or all of them, read at one moment."""
    with store.reading() as connection:
        ids = [run_id_of(connection, run) for run in runs]
        ids = ids or list(connection.scalars(select(schema.run.c.run_id).order_by(schema.run.c.run_id)))
        return [Document({name: _rows(connection, table, run) for name, table in TABLES.items()}) for run in ids]


def _rows(connection: Connection, table: Table, run_id: int) -> list[Row]:
    query = select(table).where(_belongs(table, run_id)).order_by(*table.primary_key.columns)
    return [{name: plain(value) for name, value in row._mapping.items()} for row in connection.execute(query)]


def _belongs(table: Table, run_id: int) -> ColumnElement[bool]:
    """The rows of ``table`` that belong to a run."""
    if "run_id" in table.c:
        return table.c.run_id == run_id
    if "trial_id" in table.c:
        return table.c.trial_id.in_(select(_t.trial_id).where(_t.run_id == run_id))
    if "fingerprint" in table.c:
        return table.c.fingerprint.in_(_fingerprints(run_id))
    assert table is schema.dataset, f"{table.name} belongs to no run"
    return table.c.content_hash.in_(select(schema.run.c.dataset_hash).where(schema.run.c.run_id == run_id))


def _fingerprints(run_id: int) -> Select[Any]:
    """The architectures that a run tried, measured or scored."""
    with_run = [table for table in TABLES.values() if "run_id" in table.c and "fingerprint" in table.c]
    found = union(*(select(table.c.fingerprint).where(table.c.run_id == run_id) for table in with_run)).subquery()
    return select(found.c.fingerprint)


def plain(value: Any) -> Any:
    """``value`` as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value


def _check_whole(table: Table, row: Row) -> None:
    """Raise where a column is unknown, or one that must be there is not, or is empty."""
    for name in row:
        if name not in table.c:
            raise ValueError(f"{unknown(f'column of {table.name}', name, table.c.keys())}; or upgrade archsieve")
    for column in table.c:
        if not column.nullable and column.default is None and row.get(column.name) is None:
            raise ValueError(f"each row of {table.name} has {column.name}, but got {str(row)[:80]}")


def typed(table: Table, row: Mapping[str, Any]) -> Row:
    """The values that ``table`` takes; a ``ValueError`` where a column holds something else."""
    return {name: _typed(table, name, value) for name, value in row.items()}


def _typed(table: Table, name: str, value: Any) -> Any:
    kind = table.c[name].type
    if value is None or isinstance(kind, JSON):
        return value
    if isinstance(kind, schema.Utc):
        return _moment(f"{table.name}.{name}", value)
    wanted = int if isinstance(kind, Integer | BigInteger) else float if isinstance(kind, Float) else kind.python_type
    right = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
    if not right or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"{table.name}.{name} holds {wanted.__name__}, but got {value!r}")
    return value


def _moment(where: str, value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{where} holds a moment as ISO 8601 writes it, but got {value!r}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{where} holds a moment with its zone, but got {value!r}")
    return moment


def as_table(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """``rows`` with their column names said once."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "rows": [[row.get(name) for name in columns] for row in rows]}


def from_table(table: Any) -> Iterator[Row]:
    """The rows that :func:`as_table` packed."""
    if not isinstance(table, Mapping) or not all(isinstance(table.get(key), list) for key in ("columns", "rows")):
        raise ValueError(f"a table has columns and rows, but got {str(table)[:60]!r}")
    for row in table["rows"]:
        if not isinstance(row, list) or len(row) != len(table["columns"]):
            raise ValueError(
                f"a row has a value for each of {len(table['columns'])} columns, but got {str(row)[:60]!r}"
            )
        yield dict(zip(table["columns"], row, strict=True))
