"""Run documents: a run with all rows that belong to it, as plain tables that do not depend on a database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, select, union

from ..database import schema
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
    """Select the fingerprints of the architectures that a run measured or scored, and with ``trained`` trained."""
    tables = [table for table in TABLES.values() if "run_id" in table.c and "fingerprint" in table.c]
    if not trained:
        tables.remove(schema.trial)
    fingerprints = union(*(select(table.c.fingerprint).where(table.c.run_id == run_id) for table in tables)).subquery()
    return select(fingerprints.c.fingerprint)


def to_json_value(value: Any) -> Any:
    """Return ``value`` as a JSON value: a datetime as ISO 8601 text, others unchanged."""
    return value.isoformat() if isinstance(value, datetime) else value


def typed(table: Table, row: Mapping[str, Any]) -> Row:
    """Return ``row`` with the types of the columns of ``table``; raise ``ValueError`` for a value of another type."""
    return {name: check_value(table, name, value) for name, value in row.items()}
