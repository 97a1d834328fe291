"""Columns: what a question may name, and what each holds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, literal, null, or_, select

from ...spaces.parameters.lookup import unknown
from ..database import schema
from ..database.zero_shot_records import OF_ZERO_SHOT

_t, _r, _d, _a = schema.trial.c, schema.run.c, schema.dataset.c, schema.architecture.c
NUMBER, TEXT, MOMENT, JSON = "numbers", "texts", "moments", "whatever the recipe or the searcher put there"
NESTED = ("recipe", "choices")
FORBIDDEN = frozenset({"test_accuracy"})
WHY_FORBIDDEN = (
    "test_accuracy chooses no trial: what is selected by it is no longer measured by it; choose by val_accuracy, "
    "and results show prints the test accuracy of the one that was chosen"
)


def check_may_choose(names: Iterable[str]) -> None:
    """Raise ``ValueError`` where one of ``names`` must neither select nor sort."""
    if FORBIDDEN.intersection(names):
        raise ValueError(WHY_FORBIDDEN)


@dataclass(frozen=True)
class Column:
    """A column of a question: its name, what it holds, its expression, and the tables beside ``trial`` it stands in.

    A column of the recipe or the choices also has the kind of what a trial holds there: null where it holds nothing.
    """

    name: str
    holds: str
    expression: ColumnElement[Any]
    tables: tuple[Table, ...] = ()
    kind: ColumnElement[Any] | None = None

    @property
    def absent(self) -> ColumnElement[bool]:
        """Holds for the trials that have nothing there."""
        if self.kind is None:
            return self.expression.is_(None)
        return or_(self.kind.is_(None), self.kind == "null")

    def as_type(self, value: float | int | str | bool) -> ColumnElement[Any]:
        """The expression, read as what ``value`` is; null where the trial holds something else there."""
        if self.kind is None:
            return self.expression
        kinds, read = _json_reading(value)
        return case((self.kind.in_(kinds), read(self.expression)), else_=null())


def _json_reading(value: float | int | str | bool) -> tuple[tuple[str, ...], Callable[[Any], ColumnElement[Any]]]:
    """What SQLite and PostgreSQL call the kind of ``value`` in JSON, and how it is read."""
    if isinstance(value, bool):
        return ("true", "false", "boolean"), lambda held: held.as_boolean()
    if isinstance(value, str):
        return ("text", "string"), lambda held: held.as_string()
    return ("integer", "real", "number"), lambda held: held.as_float()


def _at_best_epoch(metric: str) -> ColumnElement[Any]:
    """A figure of a trial's curve at its best epoch; null where it has none."""
    m = schema.metric.c
    own = (m.trial_id == _t.trial_id, m.name == metric, m.step == _t.best_epoch)
    return select(m.value).where(*own).correlate(schema.trial).scalar_subquery()


def _columns() -> dict[str, Column]:
    numbers = (
        *("number", "seed", "params", "macs", "activations", "memory_bytes", "epochs_done", "best_epoch"),
        *("val_accuracy", "val_loss", "train_accuracy", "train_loss", "latency_ms", "duration_s"),
    )
    texts = ("state", "fingerprint", "fail_kind", "reason", "device")
    listed = [
        Column("trial", NUMBER, _t.trial_id),
        *(Column(name, NUMBER, _t[name]) for name in numbers),
        Column("test_accuracy", NUMBER, _t.test_accuracy),
        Column("source", NUMBER, _t.source_trial_id),
        Column("val_error", NUMBER, 1 - _t.val_accuracy),
        *(Column(name, NUMBER, _at_best_epoch(name)) for name in OF_ZERO_SHOT),
        Column("flops", NUMBER, 2 * _t.macs),
        Column("depth", NUMBER, _a.depth, (schema.architecture,)),
        *(Column(name, TEXT, _t[name]) for name in texts),
        Column("run", TEXT, _r.name, (schema.run,)),
        Column("searcher", TEXT, _r.searcher, (schema.run,)),
        Column("dataset", TEXT, _d.name, (schema.run, schema.dataset)),
        *(Column(name, MOMENT, _t[name]) for name in ("created_at", "started_at", "ended_at")),
    ]
    return {column.name: column for column in listed}


COLUMNS = _columns()


def column(connection: Connection, name: str) -> Column:
    """The column of this name; a ``ValueError`` names the nearest where no trial has it."""
    part, dot, key = name.partition(".")
    if not dot or part not in NESTED:
        if name not in COLUMNS:
            keys = _keys(connection, "recipe")
            if f"recipe.{name}" in keys:
                raise ValueError(f"unknown column {name!r}; did you mean 'recipe.{name}'?")
            raise ValueError(unknown("column", name, [*COLUMNS, *keys]))
        return COLUMNS[name]
    kind = _kind(connection, part, key)
    if '"' in key or connection.scalar(select(literal(1)).where(kind.is_not(None)).limit(1)) is None:
        raise ValueError(unknown("column", name, _keys(connection, part) or COLUMNS))
    return Column(name, JSON, _t[part][key], kind=kind)


def _kind(connection: Connection, part: str, key: str) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.json_type(_t[part], f'$."{key}"')
    return func.json_typeof(_t[part][key])


def _keys(connection: Connection, part: str) -> list[str]:
    """The columns of the recipe or the choices that the newest trials have."""
    newest = connection.scalars(select(_t[part]).order_by(_t.trial_id.desc()).limit(200))
    return sorted({f"{part}.{key}" for entries in newest if isinstance(entries, dict) for key in entries})


def joined(columns: list[Column]) -> ColumnElement[bool] | None:
    """How the tables that ``columns`` stand in belong to a trial; None where they need none."""
    how = {
        schema.run: _t.run_id == _r.run_id,
        schema.dataset: _r.dataset_hash == _d.content_hash,
        schema.architecture: _t.fingerprint == _a.fingerprint,
    }
    needed = {table: how[table] for column in columns for table in column.tables}
    return and_(*needed.values()) if needed else None
