"""Conversions between rows of the database and records, and the ``upsert`` statement."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, UniqueConstraint, bindparam, func, not_, select

from ...spaces.metrics.registry import ACCURACY
from ...spaces.parameters.lookup import unknown
from . import schema
from .fast_sqlite import AnyConnection, RawConnection
from .records import (
    DEVICE_COSTS,
    EPOCH_METRICS,
    TEST_PREFIX,
    DatasetRecord,
    FailKind,
    RunRecord,
    RunSettings,
    RunStatus,
    Trial,
    TrialState,
)

LAST = "last"  # the name for the run that was created last
MAX_CANDIDATES = 5  # listed in an error message
IDS_PER_STATEMENT = 10_000  # databases limit the number of values in one statement
MAX_ROWS_PER_STATEMENT = 16  # on a raw connection, up to this many rows are inserted by one statement
_TABLES = ("data", "budget", "search", "resources", "plugins")  # keys of the settings of a run that are tables
_SPECIALS = {"nan": math.nan, "+inf": math.inf, "-inf": -math.inf}
_t = schema.trial.c
# Columns of the table ``trial`` whose attribute in ``Trial`` has another name or type.
_CONVERTED_COLUMNS = ("trial_id", "run_id", "state", "fail_kind", "source_trial_id")
_COPIED_COLUMNS = [column for column in schema.trial.c if column.name not in _CONVERTED_COLUMNS]
_config = schema.run.c.config
_m = schema.metric.c


def device_cost(name: str) -> ColumnElement[Any]:
    """Return a trial's cost ``name`` on a device, null if it has none: a metric of step 0, before the first epoch."""
    matches_trial = (_m.trial_id == _t.trial_id, _m.name == name, _m.step == 0)
    return select(_m.value).where(*matches_trial).correlate(schema.trial).scalar_subquery()


TRIALS = (
    select(
        _t.trial_id.label("trial"),
        schema.run.c.name.label("run"),
        _t.state,
        _t.fail_kind,
        _t.source_trial_id.label("source"),
        schema.architecture.c.json.label("architecture"),
        *_COPIED_COLUMNS,
        *(device_cost(name).label(name) for name in DEVICE_COSTS),
        # NULL for the runs of version 0.1.0 and of other tools; then the accuracy selects and is all that is recorded
        _config[("search", "metric")].as_string().label("metric"),
        _config[("search", "minimized")].as_string().label("minimized"),
    )
    .select_from(schema.trial)
    .join(schema.run)
    .join(schema.architecture)
)
TRIAL = TRIALS.where(_t.trial_id == bindparam("where_id"))
_METRICS = select(_m.trial_id, _m.name, _m.value).where(
    _m.trial_id == _t.trial_id,
    _m.step == _t.best_epoch,
    _m.name.not_in(EPOCH_METRICS),
    not_(_m.name.startswith(TEST_PREFIX, autoescape=True)),
    _m.value.is_not(None),
)
_RUNS = select(schema.run, schema.dataset.c.name.label("dataset")).join(schema.dataset)


def trials_of(
    connection: AnyConnection, query: Select[Any], parameters: Mapping[str, Any] | None = None
) -> list[Trial]:
    """Return the trials that ``query`` selects; it is ``TRIALS`` with conditions, and takes ``parameters``."""
    rows = [dict(row._mapping) for row in connection.execute(query, parameters)]
    measured = [row["trial"] for row in rows if row["metric"] is not None and row["best_epoch"] is not None]
    metrics = _metrics_at_best_epoch(connection, measured)
    return [_trial(row, metrics.get(row["trial"], {})) for row in rows]


def _metrics_at_best_epoch(connection: AnyConnection, trial_ids: Sequence[int]) -> dict[int, dict[str, float]]:
    """Return the recorded metrics of each trial at its best epoch, by trial id and name."""
    by_trial: dict[int, dict[str, float]] = {}
    for start in range(0, len(trial_ids), IDS_PER_STATEMENT):
        chunk = trial_ids[start : start + IDS_PER_STATEMENT]
        for trial_id, name, value in connection.execute(_METRICS.where(_t.trial_id.in_(chunk))):
            by_trial.setdefault(trial_id, {})[name] = value
    return by_trial


def _trial(row: Any, metrics: Mapping[str, float]) -> Trial:
    entries = {**row, "metrics": metrics, "metric": row["metric"] or ACCURACY}
    entries["minimized"] = tuple(json.loads(row["minimized"] or "[]"))
    entries["state"] = TrialState(entries["state"])
    if entries["fail_kind"] is not None:
        entries["fail_kind"] = FailKind(entries["fail_kind"])
    for name in DEVICE_COSTS:
        entries[name] = None if entries[name] is None else int(entries[name])
    for name in ("architecture", "choices", "recipe"):
        if not isinstance(entries[name], dict):
            entries[name] = {}  # a database from elsewhere may have another JSON value
    # The remaining columns have the names and types of the fields of Trial.
    return Trial(**entries)


def runs_of(connection: Connection, *where: ColumnElement[bool]) -> list[RunRecord]:
    """Return the runs that meet the conditions ``where``, oldest first, with their numbers of trials by state."""
    query = _RUNS.where(*where).order_by(schema.run.c.run_id)
    count_query = select(_t.run_id, _t.state, func.count()).group_by(_t.run_id, _t.state)
    counts: dict[int, dict[TrialState, int]] = {}
    for run_id, state, count in connection.execute(count_query.join(schema.run).where(*where)):
        counts.setdefault(run_id, {})[TrialState(state)] = count
    return [_run(row, counts.get(row.run_id, {})) for row in connection.execute(query)]


def run_settings_of(connection: Connection, run_id: int) -> RunSettings:
    """Return the settings of a run. Unlike :func:`runs_of` it counts no trials, which takes 0.1 s for 100,000."""
    columns = (schema.run.c.run_id, schema.run.c.name, schema.run.c.dataset_hash, _config)
    row = connection.execute(select(*columns).where(schema.run.c.run_id == run_id)).one()
    return RunSettings(row.run_id, row.name, row.dataset_hash, _settings(row.config))


def _run(row: Row[Any], counts: Mapping[TrialState, int]) -> RunRecord:
    entries = dict(row._mapping)
    entries["status"] = RunStatus(entries["status"])
    entries["config"] = _settings(entries["config"])
    return RunRecord(**entries, counts=counts)


def _settings(config: Any) -> dict[str, Any]:
    """Return the settings of a run without tables that are none: a database from elsewhere may have any JSON value."""
    entries = config.items() if isinstance(config, dict) else ()
    return {name: value for name, value in entries if name not in _TABLES or isinstance(value, dict)}


def run_id_of(connection: Connection, run: str | int) -> int:
    """Return the id of the run with the name (a text) or id (a number) ``run``.

    A text that is no name of a run may be the beginning of exactly one name, or :data:`LAST` for the run that was
    created last.

    Raises ``ValueError`` with the most similar name for an unknown run, and with the names if several begin so.
    """
    c = schema.run.c
    run_id = connection.scalar(select(c.run_id).where(c.name == run if isinstance(run, str) else c.run_id == run))
    if run_id is not None:
        return int(run_id)
    names = {name: number for number, name in connection.execute(select(c.run_id, c.name).order_by(c.run_id))}
    if not names:
        raise ValueError(f"unknown run {run!r}; the database has no runs yet; start one with: archsieve search FILE")
    if run == LAST:
        return int(names[list(names)[-1]])
    matches = [name for name in names if isinstance(run, str) and run and name.startswith(run)]
    if len(matches) == 1:
        return int(names[matches[0]])
    if matches:
        listed, more = ", ".join(matches[:MAX_CANDIDATES]), " and more" if len(matches) > MAX_CANDIDATES else ""
        raise ValueError(f"the names of several runs begin with {run!r}: {listed}{more}; use a whole name")
    raise ValueError(unknown("run", run, list(names)))


def dataset_row(record: DatasetRecord) -> dict[str, Any]:
    """Return the row of ``record``, for an insert."""
    return {column.name: getattr(record, column.name) for column in schema.dataset.c}


def dataset_of(row: Row[Any]) -> DatasetRecord:
    """Return the record of ``row``."""
    return DatasetRecord.of(dict(row._mapping))


def encode_metric(value: float) -> dict[str, float | str | None]:
    """Return the columns ``value`` and ``special`` of a metric.

    NaN and infinite values are stored as a name in ``special``, because SQLite would turn NaN into NULL and PostgreSQL
    would sort it first.
    """
    value = float(value)
    if math.isfinite(value):
        return {"value": value, "special": None}
    return {"value": None, "special": "nan" if math.isnan(value) else "+inf" if value > 0 else "-inf"}


def decode_metric(value: float | None, special: str | None) -> float:
    """Return the value of a metric from its two columns: the inverse of :func:`encode_metric`."""
    return _SPECIALS[special] if special is not None else float(value)  # type: ignore[arg-type]


def upsert(
    connection: AnyConnection, table: Table, rows: Sequence[Mapping[str, Any]], update: Sequence[str] = ()
) -> int:
    """Insert ``rows`` into ``table`` and return the number of inserted or updated rows.

    Where a row with the same key exists, its columns ``update`` are overwritten; without ``update`` it is not
    changed.
    """
    if not rows:
        return 0
    if isinstance(connection, RawConnection) and len(rows) <= MAX_ROWS_PER_STATEMENT:
        columns = tuple(rows[0])
        statement = _upsert(connection.dialect.name, table, tuple(update), len(rows), columns)
        values = [row[name] for row in rows for name in columns]
        return connection.execute(
            statement, dict(zip(_parameter_names(columns, len(rows)), values, strict=True))
        ).rowcount
    statement = _upsert(connection.dialect.name, table, tuple(update))
    return connection.execute(statement, [dict(row) for row in rows]).rowcount


@cache
def _upsert(dialect: str, table: Table, update: tuple[str, ...], count: int = 0, columns: tuple[str, ...] = ()) -> Any:
    """Return the statement for ``count`` rows with ``columns``, or for one row at a time if ``count`` is 0.

    The statement is cached, because building it takes longer than running it.
    """
    statement = _insert(dialect, table)
    if count:
        types = {name: table.c[name].type for name in columns}
        names = iter(_parameter_names(columns, count))
        rows = [{name: bindparam(next(names), type_=type_) for name, type_ in types.items()} for _ in range(count)]
        statement = statement.values(rows)
    if not update:
        return statement.on_conflict_do_nothing(index_elements=_key(table))
    new_values = {name: statement.excluded[name] for name in update}
    return statement.on_conflict_do_update(index_elements=_key(table), set_=new_values)


@cache
def _parameter_names(columns: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return the names of the parameters of :func:`_upsert` for ``count`` rows, row by row."""
    return tuple(f"{name}_{index}" for index in range(count) for name in columns)


def _insert(dialect: str, table: Table) -> Any:
    """Return an insert with ``ON CONFLICT``, which SQLAlchemy has only in the classes of a dialect."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)


def _key(table: Table) -> list[str]:
    """Return the columns of the table's unique constraint, or of its primary key if it has none."""
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    return [column.name for column in (unique[0] if unique else table.primary_key).columns]
