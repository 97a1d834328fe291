"""Pareto fronts of a results database; accuracy against one cost is read from an index."""

from collections.abc import Sequence

from sqlalchemy import Select, bindparam, select

from ...spaces.architectures.budget import Budget
from ...spaces.metrics.registry import VAL_ACCURACY
from ..database import schema
from ..database.reader import StoreReader
from ..database.records import COSTS, Trial
from ..database.rows import TRIALS, trials_of
from .best import SELECTABLE, listing, runs_in, scope
from .budget_filter import within_budget
from .metric_columns import check_recorded, check_selectable, ranked_by
from .pareto import OBJECTIVES, objective_name, pareto

_t = schema.trial.c
INDEXED_COSTS = (*COSTS, "latency_ms")  # the costs in the index trial_merit


def front(
    store: StoreReader,
    objectives: Sequence[str] | None = None,
    *,
    budget: Budget | None = None,
    run: str | int | None = None,
    dataset: str | None = None,
) -> list[Trial]:
    """Return the same trials as :func:`~archsieve.results.query.pareto.pareto` of the trials inside ``budget``.

    For accuracy against one cost, the front is found in the index ``trial_merit``: each step of the search returns the
    next trial on the front, so only those trials are read, however many trials there are. Fronts of other objectives
    are computed in Python from all trials. The default objectives are the metric of the runs and the macs.

    Raises ``ValueError`` for an unknown run, data set or objective, and for a test metric as an objective.
    """
    with store.read_transaction() as connection:
        if objectives is None:
            objectives = (ranked_by(connection, None, runs_in(connection, run, dataset)).metric, "macs")
        check_selectable(objectives)
        objectives = [objective_name(name) for name in objectives]
        check_recorded(connection, "objective", objectives, OBJECTIVES)
    budget = budget or Budget()
    costs = [name for name in objectives if name in INDEXED_COSTS]
    if len(objectives) != 2 or len(costs) != 1 or VAL_ACCURACY not in objectives:
        return pareto(listing(store, budget=budget, run=run, dataset=dataset), objectives)
    with store.read_transaction() as connection:
        where = (*SELECTABLE, *within_budget(budget), *scope(connection, run, dataset), _t[costs[0]].is_not(None))
        columns = select(_t.trial_id, _t.val_accuracy, _t[costs[0]].label("cost"))
        most_accurate, next_cheaper = _steps(costs[0], columns.where(*where))
        ids: list[int] = []
        point = connection.execute(most_accurate).first()
        while point is not None:
            ids.append(point.trial_id)
            point = connection.execute(next_cheaper, {"accuracy": point.val_accuracy, "cost": point.cost}).first()
        trials = {trial.trial: trial for trial in trials_of(connection, TRIALS.where(_t.trial_id.in_(ids)))}
    ordered = [trials[trial_id] for trial_id in ids]
    # The ids are in order of falling accuracy. pareto() sorts by the first objective, best first.
    return ordered if objectives[0] == VAL_ACCURACY else ordered[::-1]


def _steps(cost: str, query: Select[tuple[int, float, float]]) -> tuple[Select[tuple[int, float, float]], ...]:
    """Return two statements: for the most accurate trial, and for the most accurate one among all cheaper trials.

    The second statement takes the ``accuracy`` and ``cost`` of the point before as parameters.
    """
    ordered = query.order_by(_t.val_accuracy.desc(), _t[cost], _t.trial_id).limit(1)
    cheaper = ordered.where(_t.val_accuracy < bindparam("accuracy"), _t[cost] < bindparam("cost"))
    return ordered, cheaper
