"""Recorded metrics as columns: which metrics the runs of a database have, and how trials rank by them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from ...spaces.metrics.registry import ACCURACY, before_int8, int8_name, is_metric, metric_label, stored_name
from ...spaces.metrics.selection import Selection, is_minimized
from ...spaces.parameters.lookup import unknown
from ..database import schema
from ..database.records import TEST_PREFIX

_t, _r, _m = schema.trial.c, schema.run.c, schema.metric.c
# After the metric. By accuracy this is the order of the index trial_merit, so that SQLite reads the best trials from
# the index and sorts nothing. The id comes last: without it, trials with equal metrics would have no defined order.
TIES = (_t.params, _t.macs, _t.trial_id)
# distinct: a database can have many runs, and few combinations of metrics. Made once: each ranking needs it first.
_SELECTIONS = (
    select(*(_r.config[("search", key)].as_string() for key in ("metric", "record_metrics", "minimized")))
    .where(select(_t.trial_id).where(_t.run_id == _r.run_id).exists())
    .distinct()
)
UNSELECTABLE_MESSAGE = (
    "{0} cannot select or sort trials, because that would bias the test estimate; use {1} "
    "(results show prints the test metrics of a trial)"
)


def is_test_metric(name: str) -> bool:
    """Return whether ``name`` is a metric on test images, which must neither select nor sort trials."""
    return name.startswith(TEST_PREFIX)


def check_selectable(names: Iterable[str]) -> None:
    """Raise ``ValueError`` if one of ``names`` is a column that must neither select nor sort trials."""
    for name in names:
        if is_test_metric(name):
            raise ValueError(unselectable(name))


def unselectable(name: str) -> str:
    """Return the error message for a test metric that should select or sort."""
    return UNSELECTABLE_MESSAGE.format(name, stored_name(name.removeprefix(TEST_PREFIX)))


@dataclass(frozen=True)
class RankedBy:
    """The metric that ranks trials: its name, its value in SQL, and whether a higher value is better."""

    metric: str
    expression: ColumnElement[Any]
    higher_is_better: bool

    @property
    def label(self) -> str:
        """How a text calls the metric."""
        return f"validation {metric_label(self.metric)}"

    @property
    def stored_name(self) -> str:
        """The name of the metric in the database."""
        return stored_name(self.metric)

    @property
    def sort(self) -> str:
        """The column to sort by, with a leading ``-`` if the largest value comes first."""
        return f"-{self.stored_name}" if self.higher_is_better else self.stored_name

    @property
    def best_first(self) -> ColumnElement[Any]:
        """The sort key that puts the best trial first."""
        return self.expression.desc() if self.higher_is_better else self.expression.asc()


def at_best_epoch(name: str) -> ColumnElement[Any]:
    """Return a trial's value of the metric ``name`` at its best epoch, null if it has none."""
    matches_trial = (_m.trial_id == _t.trial_id, _m.name == name, _m.step == _t.best_epoch)
    return select(_m.value).where(*matches_trial).correlate(schema.trial).scalar_subquery()


def selections(connection: Connection, runs: Iterable[ColumnElement[bool]] = ()) -> set[Selection]:
    """Return the selections of the runs that meet the conditions ``runs`` and have a trial."""
    rows = connection.execute(_SELECTIONS.where(*runs))
    return {
        Selection() if metric is None else Selection(metric, _names(others), _names(lower))
        for metric, others, lower in rows
    }


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(json.loads(text or "[]"))


def recorded_metrics(connection: Connection) -> list[str]:
    """Return the names of all metrics that runs have recorded, but the accuracy, in alphabetical order."""
    return sorted(_directions(connection))


def _directions(connection: Connection, runs: Iterable[ColumnElement[bool]] = ()) -> dict[str, set[bool]]:
    """Return for each metric that the runs have recorded, but the accuracy, whether a lower value is better.

    There are two answers for a custom metric that has one direction in one run and the other in another run.
    """
    directions: dict[str, set[bool]] = {}
    for selection in selections(connection, runs):
        for name in selection.recorded:
            directions.setdefault(name, set()).add(is_minimized(name, selection.minimized))
    return directions


def ranked_by(connection: Connection, metric: str | None, runs: Iterable[ColumnElement[bool]] = ()) -> RankedBy:
    """Return how trials rank: by ``metric``, or else by the metric with which all the runs select.

    Runs with different metrics are compared by the accuracy, which all of them have. Raises ``ValueError`` for a test
    metric, for one that no run has recorded, and for one that the runs rank in opposite directions.
    """
    if metric is None:
        chosen = {(one.metric, one.higher_is_better) for one in selections(connection, runs)}
        name, higher = chosen.pop() if len(chosen) == 1 else (ACCURACY, True)
        return _ranked_by(name, higher)
    check_selectable([metric])
    name = metric.removeprefix("val_")
    if (float_name := before_int8(name)) is not None:
        check_int8(connection, name)
        return _ranked_by(int8_name(float_name), ranked_by(connection, float_name, runs).higher_is_better)
    if name == ACCURACY:
        return _ranked_by(name, True)
    recorded = recorded_metrics(connection)
    if name not in recorded:
        raise ValueError(not_recorded("metric", name, recorded))
    directions = _directions(connection, runs).get(name, {is_minimized(name)})  # other runs: these trials have no value
    if len(directions) > 1:
        raise ValueError(
            f"the runs must have one direction of the metric {name!r}, but some maximise it and others minimise it; "
            "name one run: --run RUN"
        )
    return _ranked_by(name, not directions.pop())


def check_int8(connection: Connection, name: str) -> None:
    """Raise ``ValueError`` if no trial has a value of ``name``, a metric after quantisation to int8."""
    stored = int8_name(before_int8(name) or ACCURACY)
    if connection.scalar(select(_m.trial_id).where(_m.name == stored).limit(1)) is None:
        raise ValueError(
            f"no trial of this database has the metric {stored!r}; measure it with archsieve quantize TRIAL"
        )


def ranked_by_selection(selection: Selection) -> RankedBy:
    """Return how the trials of a run rank whose metric ``selection`` names."""
    return _ranked_by(selection.metric, selection.higher_is_better)


def _ranked_by(metric: str, higher_is_better: bool) -> RankedBy:
    expression: Any = _t.val_accuracy if metric == ACCURACY else at_best_epoch(metric)
    return RankedBy(metric, expression, higher_is_better)


def check_recorded(connection: Connection, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ``ValueError`` for a name that is neither in ``known`` nor a metric that a run has recorded."""
    others = [name for name in names if name not in known]
    recorded = recorded_metrics(connection) if others else {}
    for name in others:
        if before_int8(name) is not None:
            check_int8(connection, name)
        elif name not in recorded:
            raise ValueError(not_recorded(what, name, [*known, *recorded]))


def not_recorded(what: str, name: str, known: Iterable[str]) -> str:
    """Return the error message for a metric that no run has recorded, or for an unknown name."""
    if not is_metric(name):
        return unknown(what, name, {*known, "val_accuracy"} if what == "metric" else set(known))
    return (
        f"no run of this database has recorded the metric {name!r}; it is recorded by a search with "
        f'search.record_metrics = ["{name}"]'
    )
