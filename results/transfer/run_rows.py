"""Rows of a run, read from the database in parts: an export of any number of trials takes little memory."""

from collections.abc import Iterator
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON, ColumnElement, Connection, Table, Text, cast, func, select, type_coerce

from ..database import schema
from .run_document import TABLES, belongs_to_run, to_json_value

TRIALS_AT_ONCE = 1000
_ROWS_AT_ONCE = 2000
_t = schema.trial.c
Values = list[Any]  # the values of a row as JSON values, in the order of the columns of its table


def table_rows(connection: Connection, table: Table, run_id: int, *where: ColumnElement[bool]) -> Iterator[Values]:
    """Yield the rows of ``table`` that belong to a run and meet ``where``, ordered by primary key."""
    return _rows(connection, table, list(table.c), belongs_to_run(table, run_id), *where)


def text_rows(connection: Connection, table: Table, *where: ColumnElement[bool]) -> Iterator[Values]:
    """Yield the rows of ``table`` that meet ``where`` in the order of the primary key, JSON values as texts."""
    # To decode an architecture and to encode it again takes as long as everything else of its row. SQLite's function
    # removes spaces, and raises an error for a text that is not JSON.
    to_text = func.json if connection.dialect.name == "sqlite" else partial(cast, type_=Text)
    columns = [
        type_coerce(to_text(column), Text).label(column.name) if isinstance(column.type, JSON) else column
        for column in table.c
    ]
    return _rows(connection, table, columns, *where)


def _rows(connection: Connection, table: Table, columns: list[Any], *where: ColumnElement[bool]) -> Iterator[Values]:
    query = select(*columns).where(*where).order_by(*table.primary_key.columns)
    times = [index for index, column in enumerate(table.c) if isinstance(column.type, schema.Utc)]
    # In parts: to fetch the rows one by one takes longer than to read them.
    for part in connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).partitions():
        rows = list(map(list, part))
        for index in times:
            for values in rows:
                values[index] = to_json_value(values[index])
        yield from rows


def rows_without_trial(connection: Connection, table: Table, run_id: int) -> Iterator[Values]:
    """Yield the rows of ``table`` that belong to a run, but to none of its trials, as :func:`text_rows` does."""
    in_run = belongs_to_run(table, run_id)
    if table is schema.trial or (column := _trial_column(table)) is None:
        return iter(()) if table is schema.trial else text_rows(connection, table, in_run)
    of_trials = select(_t[column.name]).where(_t.run_id == run_id)
    if column.nullable:
        return text_rows(connection, table, in_run, column.is_(None))
    return text_rows(connection, table, in_run, column.not_in(of_trials))


def trials_with_rows(
    connection: Connection, run_id: int
) -> Iterator[tuple[list[Values], list[dict[str, list[Values]]]]]:
    """Yield the trials of a run in parts, and for each trial the rows of other tables that belong to it, by table.

    All rows are as :func:`text_rows` yields them. The rows of an architecture belong to the first trial of the run that
    has it.
    """
    fingerprints: set[str] = set()
    id_index, fingerprint_index = (list(schema.trial.c.keys()).index(name) for name in ("trial_id", "fingerprint"))
    trials = text_rows(connection, schema.trial, _t.run_id == run_id)
    while chunk := list(islice(trials, TRIALS_AT_ONCE)):
        rows: dict[int, dict[str, list[Values]]] = {trial[id_index]: {} for trial in chunk}
        first = {
            trial[fingerprint_index]: trial[id_index]
            for trial in reversed(chunk)
            if trial[fingerprint_index] not in fingerprints
        }
        owners = {"trial_id": {trial_id: trial_id for trial_id in rows}, "fingerprint": first}
        in_chunk = (_t.run_id == run_id, _t.trial_id.between(chunk[0][id_index], chunk[-1][id_index]))
        for table in TABLES.values():
            if table is not schema.trial and (column := _trial_column(table)) is not None:
                owner, index = owners[column.name], list(table.c).index(column)
                in_run = [table.c.run_id == run_id] if "run_id" in table.c else []
                # A query inside the query: a list of a thousand ids takes longer to pass on.
                of_chunk = column.in_(select(_t[column.name]).where(*in_chunk))
                for key, group in groupby(text_rows(connection, table, of_chunk, *in_run), itemgetter(index)):
                    if key in owner:
                        rows[owner[key]].setdefault(table.name, []).extend(group)
        fingerprints.update(first)
        yield chunk, [rows[trial[id_index]] for trial in chunk]


def _trial_column(table: Table) -> Any:
    """Return the column that connects a row of ``table`` to a trial; None for tables of the whole run."""
    return next((table.c[name] for name in ("trial_id", "fingerprint") if name in table.c), None)
