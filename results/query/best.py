"""Queries: which trials are best, how to list them, and why there are none."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from ...spaces.architectures.budget import Budget
from ...spaces.parameters.lookup import look_up
from ..database import schema
from ..database.reader import Reading
from ..database.records import COSTS, FINISHED, Trial
from ..database.rows import TRIALS, run_id_of, trials_of
from .budget_filter import Limit, inside, limits
from .columns import check_may_choose

_t = schema.trial.c
# What may be chosen at all: it ended with a validation accuracy.
CHOOSABLE = (_t.val_accuracy.is_not(None), _t.state.in_(sorted(state.value for state in FINISHED)))
_MERIT = (_t.val_accuracy.desc(), _t.params, _t.macs, _t.trial_id)
# Test accuracy is not among them: what is selected by it is no longer measured by it.
SORT_KEYS: dict[str, ColumnElement[Any]] = {
    "trial": _t.trial_id,
    "val_error": -_t.val_accuracy,
    **{name: _t[name] for name in ("number", "state", "val_accuracy", "val_loss", "train_accuracy", "train_loss")},
    **{name: _t[name] for name in (*COSTS, "latency_ms")},
    **{name: _t[name] for name in ("epochs_done", "duration_s")},
}


def best(
    store: Reading, *, budget: Budget, run: str | int | None = None, dataset: str | None = None, top: int = 1
) -> list[Trial]:
    """The ``top`` finished trials inside ``budget``, by validation accuracy, then params, then macs, then id.

    ``dataset`` is a name or a content hash; without ``run`` all runs are asked.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, but got {top}")
    with store.reading() as connection:
        where = scope(connection, run, dataset)
        winners = select(_t.trial_id).where(*CHOOSABLE, *inside(budget), *where).order_by(*_MERIT).limit(top)
        return trials_of(connection, TRIALS.where(_t.trial_id.in_(winners)).order_by(*_MERIT))


def listing(
    store: Reading,
    *,
    budget: Budget | None = None,
    run: str | int | None = None,
    dataset: str | None = None,
    sort: str = "-val_accuracy",
    limit: int | None = None,
) -> list[Trial]:
    """Trials in any state, sorted by ``sort`` (a leading ``-`` turns it round); those without that figure come last."""
    check_may_choose([sort.removeprefix("-")])
    key = look_up(SORT_KEYS, sort.removeprefix("-"), "sort key")
    order = (key.is_(None), key.desc() if sort.startswith("-") else key, *_MERIT[1:])
    with store.reading() as connection:
        where = (*scope(connection, run, dataset), *inside(budget or Budget()))
        return trials_of(connection, TRIALS.where(*where).order_by(*order).limit(limit))


def scope(connection: Connection, run: str | int | None, dataset: str | None) -> list[ColumnElement[bool]]:
    """The conditions that hold for the trials of a run, or of the runs on a data set."""
    where: list[ColumnElement[bool]] = []
    if run is not None:
        where.append(_t.run_id == run_id_of(connection, run))
    if dataset is not None:
        where.append(_t.run_id.in_(_runs_on(connection, dataset)))
    return where


def _runs_on(connection: Connection, dataset: str) -> Select[tuple[int]]:
    d = schema.dataset.c
    hashes = {row.content_hash: row.name for row in connection.execute(select(d.content_hash, d.name))}
    known = {key: key for key in hashes} | {name: name for name in hashes.values()}
    look_up(known, dataset, "data set")
    wanted = [key for key, name in hashes.items() if dataset in (key, name)]
    return select(schema.run.c.run_id).where(schema.run.c.dataset_hash.in_(wanted))


def why_none(store: Reading, budget: Budget, run: str | int | None = None, dataset: str | None = None) -> str:
    """Why :func:`best` found nothing: ``0 of 212 trials have params <= 5M; the smallest has 5.3M (trial 17)``."""
    with store.reading() as connection:
        where = scope(connection, run, dataset)
        total = _count(connection, where)
        if total == 0 and dataset is not None:
            return f"there are no trials on the data set {dataset!r}" + ("" if run is None else f" in run {run!r}")
        if total == 0:
            return "there are no trials yet" if run is None else f"run {run!r} has no trials yet"
        counts = {limit: _count(connection, [*where, limit.condition]) for limit in limits(budget)}
        for limit, count in counts.items():
            if count == 0:
                return _nearest(connection, where, limit, total)
        fitting = [*where, *inside(budget)]
        asked = " and ".join(map(str, counts)) or "any cost"
        if (joint := _count(connection, fitting)) == 0:
            return f"0 of {total} trials have {asked}; " + ", ".join(f"{n} have {limit}" for limit, n in counts.items())
        return f"{joint} of {total} trials have {asked}, but {_shortcomings(connection, fitting)}"


def _count(connection: Connection, where: list[ColumnElement[bool]]) -> int:
    return connection.scalar(select(func.count()).select_from(schema.trial).where(*where)) or 0


def _nearest(connection: Connection, where: list[ColumnElement[bool]], limit: Limit, total: int) -> str:
    known = select(limit.column, _t.trial_id).where(*where, limit.column.is_not(None))
    nearest = connection.execute(known.order_by(limit.nearest_first, _t.trial_id).limit(1)).first()
    if nearest is None:
        return f"0 of {total} trials have {limit}; of none it was measured"
    asked, had = limit.beside(nearest[0])
    trial_id = nearest.trial_id
    extreme = "smallest" if limit.at_most else "largest"
    return f"0 of {total} trials have {asked}; the {extreme} has {had} (trial {trial_id})"


def _shortcomings(connection: Connection, where: list[ColumnElement[bool]]) -> str:
    """What keeps the trials inside the budget from being chosen: ``none has a result: 2 failed, 1 running``."""
    if _count(connection, [*where, *CHOOSABLE]):
        return "some have a result"
    by_state = select(_t.state, func.count()).where(*where).group_by(_t.state).order_by(_t.state)
    told = ", ".join(f"{count} {state}" for state, count in connection.execute(by_state))
    return f"none has a validation accuracy: {told}"
