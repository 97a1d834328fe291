"""Rows of a run, read from the database in parts: an export of any number of trials takes little memory."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select

from ..database import schema
from .run_document import TABLES, belongs_to_run, to_json_value

TRIALS_AT_ONCE = 1000
_ROWS_AT_ONCE = 2000
_t = schema.trial.c
Values = list[Any]  # the values of a row as JSON values, in the order of the columns of its table


def table_rows(connection: Connection, table: Table, run_id: int, *where: ColumnElement[bool]) -> Iterator[Values]:
    """Yield the rows of ``table`` that belong to a run and meet ``where``, ordered by primary key."""
    return _rows(connection, table, belongs_to_run(table, run_id), *where)


def _rows(connection: Connection, table: Table, *where: ColumnElement[bool]) -> Iterator[Values]:
    query = select(table).where(*where).order_by(*table.primary_key.columns)
    times = [index for index, column in enumerate(table.c) if isinstance(column.type, schema.Utc)]
    for row in connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)):
        values = list(row)
        for index in times:
            values[index] = to_json_value(values[index])
        yield values


def rows_without_trial(connection: Connection, table: Table, run_id: int) -> Iterator[Values]:
    """Yield the rows of ``table`` that belong to a run, but to none of its trials."""
    if table is schema.trial or (column := _trial_column(table)) is None:
        return iter(()) if table is schema.trial else table_rows(connection, table, run_id)
    of_trials = select(_t[column.name]).where(_t.run_id == run_id)
    if column.nullable:
        return table_rows(connection, table, run_id, column.is_(None))
    return table_rows(connection, table, run_id, column.not_in(of_trials))


def trials_with_rows(connection: Connection, run_id: int) -> Iterator[tuple[Values, dict[str, list[Values]]]]:
    """Yield each trial of a run with the rows of other tables that belong to it, by table.

    The rows of an architecture belong to the first trial of the run that has it.
    """
    fingerprints: set[str] = set()
    id_index, fingerprint_index = (list(schema.trial.c.keys()).index(name) for name in ("trial_id", "fingerprint"))
    trials = table_rows(connection, schema.trial, run_id)
    while chunk := [trial for _, trial in zip(range(TRIALS_AT_ONCE), trials, strict=False)]:
        rows: dict[int, dict[str, list[Values]]] = {trial[id_index]: {} for trial in chunk}
        first = {
            trial[fingerprint_index]: trial[id_index]
            for trial in reversed(chunk)
            if trial[fingerprint_index] not in fingerprints
        }
        owners = {"trial_id": {trial_id: trial_id for trial_id in rows}, "fingerprint": first}
        for table in TABLES.values():
            if table is not schema.trial and (column := _trial_column(table)) is not None:
                owner, index = owners[column.name], list(table.c).index(column)
                in_run = [table.c.run_id == run_id] if "run_id" in table.c else []
                for row in _rows(connection, table, column.in_(list(owner)), *in_run):
                    rows[owner[row[index]]].setdefault(table.name, []).append(row)
        fingerprints.update(first)
        yield from ((trial, rows[trial[id_index]]) for trial in chunk)


def _trial_column(table: Table) -> Any:
    """Return the column that connects a row of ``table`` to a trial; None for tables of the whole run."""
    return next((table.c[name] for name in ("trial_id", "fingerprint") if name in table.c), None)


def packed(table: Table, rows: Sequence[Values]) -> dict[str, Any]:
    """Return ``rows`` as a table that has each column name once."""
    return {"columns": list(table.c.keys()), "rows": rows}
