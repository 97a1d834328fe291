"""Best trials inside a budget, sorted lists of trials, and the reason why a query returns none."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from ...spaces.architectures.budget import Budget
from ...spaces.metrics.registry import before_int8, int8_name
from ...spaces.parameters.lookup import look_up
from ..database import schema
from ..database.reader import StoreReader
from ..database.records import COSTS, DEVICE_COSTS, FINISHED, Trial
from ..database.rows import TRIALS, device_cost, run_id_of, trials_of
from .budget_filter import Limit, limits, within_budget
from .metric_columns import TIES, RankedBy, at_best_epoch, check_int8, check_selectable, ranked_by, recorded_metrics

_t = schema.trial.c
# Only a trial that finished with a validation accuracy, which every run records, can be selected as a best trial.
FINISHED_STATE = _t.state.in_(sorted(state.value for state in FINISHED))
SELECTABLE = (_t.val_accuracy.is_not(None), FINISHED_STATE)
# Test accuracy is not a sort key: selecting trials by it would bias the test estimate.
SORT_KEYS: dict[str, ColumnElement[Any]] = {
    "trial": _t.trial_id,
    # Sorts like 1 - val_accuracy, whose constant does not change the order.
    "val_error": -_t.val_accuracy,
    **{name: _t[name] for name in ("number", "state", "val_accuracy", "val_loss", "train_accuracy", "train_loss")},
    **{name: _t[name] for name in (*COSTS, "latency_ms")},
    **{name: device_cost(name) for name in DEVICE_COSTS},
    **{name: _t[name] for name in ("epochs_done", "duration_s")},
}


def best(
    store: StoreReader,
    *,
    budget: Budget,
    run: str | int | None = None,
    dataset: str | None = None,
    top: int = 1,
    metric: str | None = None,
) -> list[Trial]:
    """Return the ``top`` best finished trials inside ``budget``.

    Trials are ranked by ``metric``, or else by the metric with which all of the runs select (by the validation accuracy
    if that differs), then by the fewest params, the fewest macs and the lowest id. ``dataset`` is a name or a content
    hash. Without ``run``, the trials of all runs are ranked together.

    Raises ``ValueError`` for an unknown run or data set, for ``top`` below 1, and for a metric that is not recorded.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}; use a number such as 5")
    with store.read_transaction() as connection:
        where = scope(connection, run, dataset)
        by = ranked_by(connection, metric, runs_in(connection, run, dataset))
        conditions = (FINISHED_STATE, by.expression.is_not(None), *within_budget(budget), *where)
        # By accuracy the ids come from the index alone. Only the rows of these few trials are read from the table.
        top_ids = select(_t.trial_id).where(*conditions).order_by(by.best_first, *TIES).limit(top)
        return trials_of(connection, TRIALS.where(_t.trial_id.in_(top_ids)).order_by(by.best_first, *TIES))


def ranking(
    store: StoreReader, run: str | int | None = None, dataset: str | None = None, metric: str | None = None
) -> RankedBy:
    """Return how :func:`best` ranks the trials of these runs."""
    with store.read_transaction() as connection:
        return ranked_by(connection, metric, runs_in(connection, run, dataset))


def listing(
    store: StoreReader,
    *,
    budget: Budget | None = None,
    run: str | int | None = None,
    dataset: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> list[Trial]:
    """Return trials in any state, sorted by ``sort``, at most ``limit`` of them.

    ``sort`` is a key of ``SORT_KEYS`` or a recorded metric; a leading ``-`` sorts in descending order. Without it, the
    best trials by the metric of the runs come first. Trials without a value for the key come last. Ties are broken by
    the fewest params, the fewest macs and the lowest id.

    Raises ``ValueError`` for an unknown run, data set or sort key, and for a test metric as the sort key.
    """
    with store.read_transaction() as connection:
        if sort is None:
            by = ranked_by(connection, None, runs_in(connection, run, dataset))
            key, first = by.expression, by.best_first
        else:
            key = _sort_key(connection, sort.removeprefix("-"))
            first = key.desc() if sort.startswith("-") else key
        # SQLite and PostgreSQL disagree about the position of NULL; with key.is_(None) first it comes last in both.
        order = (key.is_(None), first, *TIES)
        where = (*scope(connection, run, dataset), *within_budget(budget or Budget()))
        return trials_of(connection, TRIALS.where(*where).order_by(*order).limit(limit))


def _sort_key(connection: Connection, name: str) -> ColumnElement[Any]:
    """Return the expression of a sort key; raise ``ValueError`` for an unknown one and for a test metric."""
    check_selectable([name])
    if name in SORT_KEYS:
        return SORT_KEYS[name]
    if (float_name := before_int8(name)) is not None:
        check_int8(connection, name)
        return at_best_epoch(int8_name(float_name))
    recorded = recorded_metrics(connection)
    look_up({**SORT_KEYS, **dict.fromkeys(recorded)}, name, "sort key")
    return at_best_epoch(name)


def runs_in(connection: Connection, run: str | int | None, dataset: str | None) -> list[ColumnElement[bool]]:
    """Return the SQL conditions on the runs that a query is limited to."""
    where: list[ColumnElement[bool]] = []
    if run is not None:
        where.append(schema.run.c.run_id == run_id_of(connection, run))
    if dataset is not None:
        where.append(schema.run.c.run_id.in_(_runs_on(connection, dataset)))
    return where


def scope(connection: Connection, run: str | int | None, dataset: str | None) -> list[ColumnElement[bool]]:
    """Return the SQL conditions that limit a query to one run, to the runs on one data set, or to both."""
    where: list[ColumnElement[bool]] = []
    if run is not None:
        where.append(_t.run_id == run_id_of(connection, run))
    if dataset is not None:
        where.append(_t.run_id.in_(_runs_on(connection, dataset)))
    return where


def _runs_on(connection: Connection, dataset: str) -> Select[tuple[int]]:
    """Select the ids of the runs on ``dataset``, a name or a content hash."""
    d = schema.dataset.c
    name_by_hash = {row.content_hash: row.name for row in connection.execute(select(d.content_hash, d.name))}
    valid = {key: key for key in name_by_hash} | {name: name for name in name_by_hash.values()}
    look_up(valid, dataset, "data set")
    # One name can belong to several hashes, for example after a data set was split again with another seed.
    hashes = [key for key, name in name_by_hash.items() if dataset in (key, name)]
    return select(schema.run.c.run_id).where(schema.run.c.dataset_hash.in_(hashes))


def no_match_reason(
    store: StoreReader, budget: Budget, run: str | int | None = None, dataset: str | None = None
) -> str:
    """Explain why :func:`best` returns no trial.

    For example: ``0 of 212 trials have params <= 5M; the smallest has 5.3M (trial 17)``.
    The first limit that no trial meets is reported with the trial that comes nearest to it. If each limit is met by
    some trial but no trial meets all of them, the counts for each limit are reported.
    """
    with store.read_transaction() as connection:
        where = scope(connection, run, dataset)
        total = _count(connection, where)
        if total == 0 and dataset is not None:
            return f"there are no trials on the data set {dataset!r}" + ("" if run is None else f" in run {run!r}")
        if total == 0:
            return "there are no trials yet" if run is None else f"run {run!r} has no trials yet"
        counts = {limit: _count(connection, [*where, limit.condition]) for limit in limits(budget)}
        for limit, count in counts.items():
            if count == 0:
                return _nearest_miss(connection, where, limit, total)
        in_budget = [*where, *within_budget(budget)]
        requested = " and ".join(map(str, counts)) or "any cost"
        if (joint := _count(connection, in_budget)) == 0:
            return f"0 of {total} trials have {requested}; " + ", ".join(
                f"{count} have {limit}" for limit, count in counts.items()
            )
        return f"{joint} of {total} trials have {requested}, but {_missing_results(connection, in_budget)}"


def _count(connection: Connection, where: list[ColumnElement[bool]]) -> int:
    return connection.scalar(select(func.count()).select_from(schema.trial).where(*where)) or 0


def _nearest_miss(connection: Connection, where: list[ColumnElement[bool]], limit: Limit, total: int) -> str:
    """Describe the trial that comes nearest to ``limit`` when no trial meets it."""
    measured = select(limit.column, _t.trial_id).where(*where, limit.column.is_not(None))
    nearest = connection.execute(measured.order_by(limit.nearest_first, _t.trial_id).limit(1)).first()
    if nearest is None:
        return f"0 of {total} trials have {limit}; no trial has a recorded {limit.cost}"
    limit_text, value_text = limit.format_with(nearest[0])
    trial_id = nearest.trial_id
    extreme = "smallest" if limit.at_most else "largest"
    return f"0 of {total} trials have {limit_text}; the {extreme} has {value_text} (trial {trial_id})"


def _missing_results(connection: Connection, where: list[ColumnElement[bool]]) -> str:
    """Describe why no trial can be selected: ``none has a validation metric: 2 failed, 1 running``."""
    if _count(connection, [*where, *SELECTABLE]):
        return "some have a result"
    by_state = select(_t.state, func.count()).where(*where).group_by(_t.state).order_by(_t.state)
    counts = ", ".join(f"{count} {state}" for state, count in connection.execute(by_state))
    return f"none has a validation metric: {counts}"
