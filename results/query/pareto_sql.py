"""Fronts of a store: accuracy against one cost, read off an index however many trials there are."""

from collections.abc import Sequence

from sqlalchemy import Select, bindparam, select

from ...spaces.architectures.budget import Budget
from ..database import schema
from ..database.reader import Reading
from ..database.records import COSTS, Trial
from ..database.rows import TRIALS, trials_of
from .best import CHOOSABLE, listing, scope
from .budget_filter import inside
from .columns import check_may_choose
from .pareto import pareto

_t = schema.trial.c
ACCURACY = "val_accuracy"
INDEXED = (*COSTS, "latency_ms")  # those that stand in the index


def front(
    store: Reading,
    objectives: Sequence[str] = (ACCURACY, "macs"),
    *,
    budget: Budget | None = None,
    run: str | int | None = None,
    dataset: str | None = None,
) -> list[Trial]:
    """What :func:`~archsieve.results.query.pareto.pareto` says of the trials inside ``budget``, without reading
    all of them.

    Accuracy against a cost goes down the index of merit once, reading the trials on the front alone; any other
    objectives are worked out in Python.
    """
    check_may_choose(objectives)
    asked = budget or Budget()
    costs = [name for name in objectives if name in INDEXED]
    if len(objectives) != 2 or len(costs) != 1 or ACCURACY not in objectives:
        return pareto(listing(store, budget=asked, run=run, dataset=dataset), objectives)
    with store.reading() as connection:
        where = (*CHOOSABLE, *inside(asked), *scope(connection, run, dataset), _t[costs[0]].is_not(None))
        first, next_ = _steps(costs[0], select(_t.trial_id, _t.val_accuracy, _t[costs[0]].label("cost")).where(*where))
        found: list[int] = []
        point = connection.execute(first).first()
        while point is not None:
            found.append(point.trial_id)
            point = connection.execute(next_, {"accuracy": point.val_accuracy, "cost": point.cost}).first()
        trials = {trial.trial: trial for trial in trials_of(connection, TRIALS.where(_t.trial_id.in_(found)))}
    ordered = [trials[trial_id] for trial_id in found]
    return ordered if objectives[0] == ACCURACY else ordered[::-1]


def _steps(cost: str, query: Select[tuple[int, float, float]]) -> tuple[Select[tuple[int, float, float]], ...]:
    """The trial with the highest accuracy, and the one behind a point that is the next best and cheaper."""
    ordered = query.order_by(_t.val_accuracy.desc(), _t[cost], _t.trial_id).limit(1)
    behind = ordered.where(_t.val_accuracy < bindparam("accuracy"), _t[cost] < bindparam("cost"))
    return ordered, behind
