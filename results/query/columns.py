"""The columns that a filter expression can use, with their types and SQL expressions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, literal, null, or_, select

from ...spaces.metrics.registry import before_int8, int8_name, is_metric
from ...spaces.parameters.lookup import unknown
from ..database import schema
from ..database.records import DEVICE_COSTS, ZERO_SHOT_METRICS
from ..database.rows import device_cost
from .metric_columns import at_best_epoch, check_int8, is_test_metric, not_recorded, recorded_metrics

_t, _r, _d, _a = schema.trial.c, schema.run.c, schema.dataset.c, schema.architecture.c
NUMBER, TEXT, TIMESTAMP, JSON = "numbers", "texts", "timestamps", "JSON values of any type"
NESTED = ("recipe", "choices")


@dataclass(frozen=True)
class Column:
    """A column of a filter expression.

    ``content`` is ``NUMBER``, ``TEXT``, ``TIMESTAMP`` or ``JSON``. ``tables`` are the tables that ``expression`` needs
    in addition to ``trial``. ``json_type`` is set for keys of the recipe or the choices: an SQL expression for the JSON
    type of the trial's value, null if the trial does not have the key.
    """

    name: str
    content: str
    expression: ColumnElement[Any]
    tables: tuple[Table, ...] = ()
    json_type: ColumnElement[Any] | None = None

    @property
    def is_missing(self) -> ColumnElement[bool]:
        """True for the trials without a value in this column."""
        if self.json_type is None:
            return self.expression.is_(None)
        return or_(self.json_type.is_(None), self.json_type == "null")

    def read_as(self, value: float | int | str | bool) -> ColumnElement[Any]:
        """Return the expression, read as the type of ``value``; null if the trial's value has another JSON type.

        A recipe key can hold a number in one trial and a text in another. Without the check of the type, SQLite would
        treat the text as larger than every number, and PostgreSQL would fail to convert it.
        """
        if self.json_type is None:
            return self.expression
        type_names, read = _json_reader(value)
        return case((self.json_type.in_(type_names), read(self.expression)), else_=null())


def _json_reader(value: float | int | str | bool) -> tuple[tuple[str, ...], Callable[[Any], ColumnElement[Any]]]:
    """Return the names of the JSON type of ``value`` in SQLite and PostgreSQL, and the function that reads it."""
    # bool first: it is a subclass of int
    if isinstance(value, bool):
        return ("true", "false", "boolean"), lambda entry: entry.as_boolean()
    if isinstance(value, str):
        return ("text", "string"), lambda entry: entry.as_string()
    return ("integer", "real", "number"), lambda entry: entry.as_float()


def _columns() -> dict[str, Column]:
    numbers = (
        *("number", "seed", "params", "macs", "activations", "memory_bytes", "epochs_done", "best_epoch"),
        *("val_accuracy", "val_loss", "train_accuracy", "train_loss", "latency_ms", "duration_s"),
    )
    texts = ("state", "fingerprint", "fail_kind", "reason", "device")
    columns = [
        Column("trial", NUMBER, _t.trial_id),
        *(Column(name, NUMBER, _t[name]) for name in numbers),
        # In the list for "test_accuracy is not null", which selects no trial by the value.
        Column("test_accuracy", NUMBER, _t.test_accuracy),
        Column("source", NUMBER, _t.source_trial_id),
        Column("val_error", NUMBER, 1 - _t.val_accuracy),
        *(Column(name, NUMBER, at_best_epoch(name)) for name in ZERO_SHOT_METRICS),
        *(Column(name, NUMBER, device_cost(name)) for name in DEVICE_COSTS),
        Column("flops", NUMBER, 2 * _t.macs),
        Column("depth", NUMBER, _a.depth, (schema.architecture,)),
        *(Column(name, TEXT, _t[name]) for name in texts),
        Column("run", TEXT, _r.name, (schema.run,)),
        Column("searcher", TEXT, _r.searcher, (schema.run,)),
        Column("dataset", TEXT, _d.name, (schema.run, schema.dataset)),
        *(Column(name, TIMESTAMP, _t[name]) for name in ("created_at", "started_at", "ended_at")),
    ]
    return {column.name: column for column in columns}


COLUMNS = _columns()


def column(connection: Connection, name: str) -> Column:
    """Return the column ``name``, for example ``params``, ``recipe.lr`` or ``choices.2.conv.width``.

    Raises ``ValueError`` with the nearest valid name if no trial has the column.
    """
    part, dot, key = name.partition(".")
    if not dot or part not in NESTED:
        if name not in COLUMNS and (recorded := _recorded(connection, name)) is not None:
            return recorded
        if name not in COLUMNS:
            keys = _nested_names(connection, "recipe")
            if f"recipe.{name}" in keys:
                raise ValueError(f"unknown column {name!r}; did you mean 'recipe.{name}'?")
            raise ValueError(not_recorded("column", name, [*COLUMNS, *recorded_metrics(connection), *keys]))
        return COLUMNS[name]
    json_type = _json_type(connection, part, key)
    # The key is quoted inside a JSON path, so a key with a double quote would end the path early.
    if '"' in key or connection.scalar(select(literal(1)).where(json_type.is_not(None)).limit(1)) is None:
        raise ValueError(unknown("column", name, _nested_names(connection, part) or COLUMNS))
    return Column(name, JSON, _t[part][key], json_type=json_type)


def _recorded(connection: Connection, name: str) -> Column | None:
    """Return the column of a metric that a run has recorded, on validation or on test images; None for another name."""
    if (float_name := before_int8(name)) is not None:
        check_int8(connection, name)
        return Column(name, NUMBER, at_best_epoch(int8_name(float_name)))
    of_test = is_test_metric(name)
    short = name.removeprefix("test_") if of_test else name.removeprefix("val_")
    # the top-5 accuracy of the test images is recorded without that of the validation images
    if short not in recorded_metrics(connection) and not (of_test and is_metric(short)):
        return None
    return Column(name, NUMBER, at_best_epoch(name if of_test else short))


def _json_type(connection: Connection, part: str, key: str) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.json_type(_t[part], f'$."{key}"')
    return func.json_typeof(_t[part][key])


def _nested_names(connection: Connection, part: str) -> list[str]:
    """Return the column names for the keys of the recipe or the choices in the newest 200 trials.

    They serve for suggestions only, so the sample keeps an error message fast in a large database.
    """
    newest = connection.scalars(select(_t[part]).order_by(_t.trial_id.desc()).limit(200))
    return sorted({f"{part}.{key}" for entries in newest if isinstance(entries, dict) for key in entries})


def join_condition(columns: list[Column]) -> ColumnElement[bool] | None:
    """Return the condition that joins the tables of ``columns`` to ``trial``, or None if they need no join."""
    conditions = {
        schema.run: _t.run_id == _r.run_id,
        schema.dataset: _r.dataset_hash == _d.content_hash,
        schema.architecture: _t.fingerprint == _a.fingerprint,
    }
    needed = {table: conditions[table] for column in columns for table in column.tables}
    return and_(*needed.values()) if needed else None
