"""Rows: what the tables hold, turned into records and back."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, UniqueConstraint, bindparam, func, select

from ...spaces.parameters.lookup import unknown
from . import schema
from .fast_sqlite import Direct, Link
from .records import DatasetRecord, FailKind, RunRecord, RunStatus, Trial, TrialState

TOGETHER = 16  # so many rows at most are one statement on a direct connection
_SPECIALS = {"nan": math.nan, "+inf": math.inf, "-inf": -math.inf}
_t = schema.trial.c
_RENAMED = ("trial_id", "run_id", "state", "fail_kind", "source_trial_id")
_COPIED = [column for column in schema.trial.c if column.name not in _RENAMED]
TRIALS = (
    select(
        _t.trial_id.label("trial"),
        schema.run.c.name.label("run"),
        _t.state,
        _t.fail_kind,
        _t.source_trial_id.label("source"),
        schema.architecture.c.json.label("architecture"),
        *_COPIED,
    )
    .select_from(schema.trial)
    .join(schema.run)
    .join(schema.architecture)
)
TRIAL = TRIALS.where(_t.trial_id == bindparam("of"))
_RUNS = select(schema.run, schema.dataset.c.name.label("dataset")).join(schema.dataset)


def trials_of(connection: Link, query: Select[Any], told: Mapping[str, Any] | None = None) -> list[Trial]:
    """The trials that ``query``, a narrowed ``TRIALS`` with the parameters ``told``, selects."""
    return [_trial(row) for row in connection.execute(query, told)]


def _trial(row: Any) -> Trial:
    entries = dict(row._mapping)
    entries["state"] = TrialState(entries["state"])
    if entries["fail_kind"] is not None:
        entries["fail_kind"] = FailKind(entries["fail_kind"])
    return Trial(**entries)


def runs_of(connection: Connection, *where: ColumnElement[bool]) -> list[RunRecord]:
    """The runs that hold to ``where``, oldest first, with their trials counted by state."""
    query = _RUNS.where(*where).order_by(schema.run.c.run_id)
    counted = select(_t.run_id, _t.state, func.count()).group_by(_t.run_id, _t.state)
    counts: dict[int, dict[TrialState, int]] = {}
    for run_id, state, count in connection.execute(counted.join(schema.run).where(*where)):
        counts.setdefault(run_id, {})[TrialState(state)] = count
    return [_run(row, counts.get(row.run_id, {})) for row in connection.execute(query)]


def _run(row: Row[Any], counts: Mapping[TrialState, int]) -> RunRecord:
    entries = dict(row._mapping)
    entries["status"] = RunStatus(entries["status"])
    return RunRecord(**entries, counts=counts)


def run_id_of(connection: Connection, run: str | int) -> int:
    """The id of the run named (or numbered) ``run``; an unknown one is a ``ValueError`` that names the nearest."""
    c = schema.run.c
    found = connection.scalar(select(c.run_id).where(c.name == run if isinstance(run, str) else c.run_id == run))
    if found is not None:
        return int(found)
    names = list(connection.scalars(select(c.name)))
    if not names:
        raise ValueError(f"unknown run {run!r}; the store has no runs yet; start one with: archsieve search FILE")
    raise ValueError(unknown("run", run, names))


def dataset_row(record: DatasetRecord) -> dict[str, Any]:
    """The row of ``record``."""
    return {column.name: getattr(record, column.name) for column in schema.dataset.c}


def dataset_of(row: Row[Any]) -> DatasetRecord:
    """The record of ``row``."""
    return DatasetRecord.of(dict(row._mapping))


def stored(value: float) -> dict[str, float | str | None]:
    """``value`` and ``special`` of a metric: SQLite would turn NaN into NULL, PostgreSQL would sort it first."""
    value = float(value)
    if math.isfinite(value):
        return {"value": value, "special": None}
    return {"value": None, "special": "nan" if math.isnan(value) else "+inf" if value > 0 else "-inf"}


def recalled(value: float | None, special: str | None) -> float:
    """The figure that :func:`stored` took apart."""
    return _SPECIALS[special] if special is not None else float(value)  # type: ignore[arg-type]


def upsert(connection: Link, table: Table, rows: Sequence[Mapping[str, Any]], update: Sequence[str] = ()) -> int:
    """Insert ``rows``; where the table's key exists, overwrite the columns ``update``, or nothing. Return the count."""
    if not rows:
        return 0
    if isinstance(connection, Direct) and len(rows) <= TOGETHER:
        columns = tuple(rows[0])
        statement = _upsert(connection.dialect.name, table, tuple(update), len(rows), columns)
        values = [row[name] for row in rows for name in columns]
        return connection.execute(statement, dict(zip(_numbered(columns, len(rows)), values, strict=True))).rowcount
    statement = _upsert(connection.dialect.name, table, tuple(update))
    return connection.execute(statement, [dict(row) for row in rows]).rowcount


@cache
def _upsert(dialect: str, table: Table, update: tuple[str, ...], count: int = 0, columns: tuple[str, ...] = ()) -> Any:
    """The statement, of ``count`` rows at once or of any; to build it takes longer than to run it."""
    statement = _insert(dialect, table)
    if count:
        kinds = {name: table.c[name].type for name in columns}
        numbered = iter(_numbered(columns, count))
        rows = [{name: bindparam(next(numbered), type_=kind) for name, kind in kinds.items()} for _ in range(count)]
        statement = statement.values(rows)
    if not update:
        return statement.on_conflict_do_nothing(index_elements=_key(table))
    replaced = {name: statement.excluded[name] for name in update}
    return statement.on_conflict_do_update(index_elements=_key(table), set_=replaced)


@cache
def _numbered(columns: tuple[str, ...], count: int) -> tuple[str, ...]:
    """The parameters of :func:`_upsert` for ``count`` rows, row by row."""
    return tuple(f"{name}_{at}" for at in range(count) for name in columns)


def _insert(dialect: str, table: Table) -> Any:
    """An insert that knows ``ON CONFLICT``: each dialect has its own."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)


def _key(table: Table) -> list[str]:
    """The columns of the table's unique constraint, or else of its primary key."""
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    return [column.name for column in (unique[0] if unique else table.primary_key).columns]
