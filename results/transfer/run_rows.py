"""Rows of a run, read from the database in parts: an export of any number of trials takes little memory."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
    type_coerce,
)

from ..database import schema
from ..database.fast_sqlite import compiled
from .run_document import TABLES, belongs_to_run, fingerprints_of_run, to_json_value

_ROWS_AT_ONCE = 2000
_TIME_LENGTH = 26  # characters of a time in SQLite, with microseconds
_FIRST, _LAST = "first_trial", "last_trial"  # parameters of a query
_t = schema.trial.c
Values = Sequence[Any]  # the values of a row as JSON values, in the order of the columns of its table


def table_rows(connection: Connection, table: Table, run_id: int, *where: ColumnElement[bool]) -> Iterator[Values]:
    """Yield the rows of ``table`` that belong to a run and meet ``where``, ordered by primary key."""
    query = select(table).where(belongs_to_run(table, run_id), *where).order_by(*table.primary_key.columns)
    times = [index for index, column in enumerate(table.c) if isinstance(column.type, schema.Utc)]
    # In parts: to fetch the rows one by one takes longer than to read them.
    for part in connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).partitions():
        rows = list(map(list, part))
        for index in times:
            for values in rows:
                values[index] = to_json_value(values[index])
        yield from rows


def text_parts(
    connection: Connection, table: Table, query: Select[Any], parameters: Mapping[str, Any]
) -> Iterator[list[Any]]:
    """Yield the rows of ``query``, which is :func:`text_query` of ``table``, in lists, as JSON values."""
    converters = [(index, _CONVERTERS[type(c.type)]) for index, c in enumerate(table.c) if type(c.type) in _CONVERTERS]
    for part in _parts(connection, query, parameters):
        if not converters:
            yield part
            continue
        columns: list[Any] = list(zip(*part, strict=True))
        for index, convert in converters:
            columns[index] = map(convert, columns[index])
        yield list(zip(*columns, strict=True))


def text_query(connection: Connection, table: Table, *where: ColumnElement[bool]) -> Select[Any]:
    """Select the rows of ``table`` that meet ``where`` in the order of the primary key, JSON values as texts."""
    columns = [
        json_text(connection, column).label(column.name) if isinstance(column.type, JSON) else column
        for column in table.c
    ]
    return select(*columns).where(*where).order_by(*table.primary_key.columns)


def json_text(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return a JSON column as its text.

    To decode an architecture and to encode it again takes as long as everything else of its row. SQLite's function
    removes spaces, and raises an error for a text that is not JSON.
    """
    return type_coerce(func.json(column) if connection.dialect.name == "sqlite" else cast(column, Text), Text)


def _parts(connection: Connection, query: Select[Any], parameters: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the rows of ``query`` in lists of at most ``_ROWS_AT_ONCE`` tuples."""
    if connection.dialect.name != "sqlite":
        result = connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE), parameters)
        yield from (list(map(tuple, part)) for part in result.partitions())  # a Row is not encoded as JSON
        return
    # The tuples of the driver: SQLAlchemy takes longer to turn them into its rows than SQLite to read them.
    statement = compiled(query, tuple(parameters), connection.dialect)
    driver: Any = connection.connection.driver_connection
    cursor = driver.execute(statement.text, statement.values(parameters))
    try:
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield rows
    finally:
        cursor.close()  # an open cursor would keep the transaction active


def _utc_text(value: Any) -> str | None:
    """Return a time as the database holds it as ISO 8601 text with its zone: what ``isoformat`` of it gives."""
    if isinstance(value, str):
        # "2026-01-31 12:00:00.123456", as SQLAlchemy writes it; any other form is parsed
        if len(value) == _TIME_LENGTH and value[10] == " " and not value.endswith("000000"):
            return f"{value[:10]}T{value[11:]}+00:00"
        value = datetime.fromisoformat(value).replace(tzinfo=UTC)
    return None if value is None else str(value.isoformat())


def _bool(value: Any) -> bool | None:
    return None if value is None else bool(value)


_CONVERTERS = {schema.Utc: _utc_text, Boolean: _bool}  # from what the driver returns to a JSON value


def rows_without_trial(connection: Connection, table: Table, run_id: int) -> Iterator[Values]:
    """Yield the rows of ``table`` that belong to a run, but to none of its trials, JSON values as texts."""
    where = [belongs_to_run(table, run_id)]
    if (column := _trial_column(table)) is not None:
        if table is schema.trial or (column.name == "trial_id" and "run_id" not in table.c):
            return  # every row belongs to a trial
        if "run_id" not in table.c:  # those of trials are left out here: there are few others
            where = [column.in_(fingerprints_of_run(run_id, trained=False))]
        of_trials = select(_t[column.name]).where(_t.run_id == run_id)
        where.append(column.is_(None) if column.nullable else column.not_in(of_trials))
    for part in text_parts(connection, table, text_query(connection, table, *where), {}):
        yield from part


def trials_with_rows(
    connection: Connection, run_id: int
) -> Iterator[tuple[list[Values], list[dict[str, list[Values]]]]]:
    """Yield the trials of a run in parts, and for each trial the rows of other tables that belong to it, by table.

    JSON values are texts. The rows of an architecture belong to the first trial of the run that has it.
    """
    fingerprints: set[str] = set()
    id_index, fingerprint_index = (list(schema.trial.c.keys()).index(name) for name in ("trial_id", "fingerprint"))
    queries = _queries_of_trials(connection, run_id)
    for chunk in text_parts(connection, schema.trial, text_query(connection, schema.trial, _t.run_id == run_id), {}):
        rows: dict[int, dict[str, list[Values]]] = {trial[id_index]: {} for trial in chunk}
        first = {
            trial[fingerprint_index]: trial[id_index]
            for trial in reversed(chunk)
            if trial[fingerprint_index] not in fingerprints
        }
        ids = {trial_id: trial_id for trial_id in rows}
        limits = {_FIRST: chunk[0][id_index], _LAST: chunk[-1][id_index]}
        for table, query in queries.items():
            column = _trial_column(table)
            owner, index = ids if column.name == "trial_id" else first, list(table.c).index(column)
            for part in text_parts(connection, table, query, limits):
                for key, group in groupby(part, itemgetter(index)):
                    if key in owner:
                        rows[owner[key]].setdefault(table.name, []).extend(group)
        fingerprints.update(first)
        yield chunk, list(rows.values())


def _queries_of_trials(connection: Connection, run_id: int) -> dict[Table, Select[Any]]:
    """Return for each table the query of the rows of trials of a run, of those with ids from FIRST to LAST.

    Built once for all parts of a run, as building takes longer than running it.
    """
    in_chunk = (_t.run_id == run_id, _t.trial_id.between(bindparam(_FIRST), bindparam(_LAST)))
    queries = {}
    for table in TABLES.values():
        if table is not schema.trial and (column := _trial_column(table)) is not None:
            in_run = [table.c.run_id == run_id] if "run_id" in table.c else []
            # A query inside the query: a list of a thousand ids takes longer to pass on.
            of_chunk = column.in_(select(_t[column.name]).where(*in_chunk))
            queries[table] = text_query(connection, table, of_chunk, *in_run)
    return queries


def _trial_column(table: Table) -> Any:
    """Return the column that connects a row of ``table`` to a trial; None for tables of the whole run."""
    return next((table.c[name] for name in ("trial_id", "fingerprint") if name in table.c), None)
