"""Summary of a run of any length: its finished trials as small records, sums and counts, and samples of its trials.

The whole trials of a run of 100,000 take a gigabyte, because each has an architecture and a recipe.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import func, select

from ...spaces.metrics.selection import Selection
from ..database import schema
from ..database.reader import StoreReader
from ..database.records import FailKind, RunRecord, Trial, TrialState
from ..database.rows import TRIALS, trials_of
from .best import FINISHED_STATE
from .metric_columns import TIES, ranked_by_selection

_t = schema.trial.c
_ROWS_AT_ONCE = 2000
T = TypeVar("T")


class TrialPoint(NamedTuple):
    """A finished trial that has a finite value of the metric that selects in its run.

    ``score`` is the value to maximise: ``metric_value``, or its negative if a lower value is better.
    """

    trial: int
    state: TrialState
    params: int
    macs: int
    metric_value: float
    score: float
    latency_ms: float | None


@dataclass(frozen=True)
class RunTotals:
    """Sums over all trials of a run: training time in seconds, trials with reused metrics, failures by kind.

    The kind is None for a failed trial without one, which a database from elsewhere may have.
    """

    duration_s: float
    n_reused: int
    failures: Mapping[FailKind | None, int]

    @property
    def n_failed(self) -> int:
        """The number of failed trials."""
        return sum(self.failures.values())


def trial_points(store: StoreReader, run_id: int, selection: Selection) -> list[TrialPoint]:
    """Return the finished trials of a run that have a value of the metric of ``selection``, best first.

    Ties are broken by the fewest params, the fewest macs and the lowest id.
    """
    by = ranked_by_selection(selection)
    query = select(_t.trial_id, _t.state, _t.params, _t.macs, by.expression, _t.latency_ms)
    query = query.where(_t.run_id == run_id, FINISHED_STATE, by.expression.is_not(None))
    sign = 1 if selection.higher_is_better else -1
    return [
        TrialPoint(trial, TrialState(state), params, macs, value, sign * value, latency_ms)
        for trial, state, params, macs, value, latency_ms in _stream(store, query.order_by(by.best_first, *TIES))
        if math.isfinite(value)
    ]


def run_totals(store: StoreReader, run_id: int) -> RunTotals:
    """Return the sums and counts of a run."""
    in_run = _t.run_id == run_id
    failed = select(_t.fail_kind, func.count()).where(in_run, _t.state == TrialState.FAILED.value)
    with store.read_transaction() as connection:
        duration_s, n_reused = connection.execute(
            select(func.sum(_t.duration_s), func.count(_t.source_trial_id)).where(in_run)
        ).one()
        rows = connection.execute(failed.group_by(_t.fail_kind)).all()
    return RunTotals(duration_s or 0.0, n_reused, {kind and FailKind(kind): count for kind, count in rows})


def failed_trials(store: StoreReader, run_id: int, limit: int) -> list[Trial]:
    """Return the first failed trials of a run, at most ``limit``."""
    query = TRIALS.where(_t.run_id == run_id, _t.state == TrialState.FAILED.value).order_by(_t.number).limit(limit)
    return store.run_read(lambda connection: trials_of(connection, query))


def trials_with_ids(store: StoreReader, trial_ids: Iterable[int]) -> list[Trial]:
    """Return the trials with these ids, ordered by number; ids that the database does not have are left out."""
    query = TRIALS.where(_t.trial_id.in_(list(trial_ids))).order_by(_t.run_id, _t.number)
    return store.run_read(lambda connection: trials_of(connection, query))


def sampled_recipes(store: StoreReader, run: RunRecord, limit: int) -> list[Mapping[str, Any]]:
    """Return the recipes of evenly spaced trials of a run in any state, at most ``limit``."""
    step = _step(run.trials, limit)
    query = select(_t.recipe).where(_t.run_id == run.run_id, _t.number % step == 0)
    return [recipe for (recipe,) in _stream(store, query) if isinstance(recipe, dict)]


def evenly_spaced(entries: Sequence[T], limit: int) -> Sequence[T]:
    """Return every n-th of ``entries``, with the smallest n that gives at most ``limit``."""
    return entries[:: _step(len(entries), limit)]


def _step(count: int, limit: int) -> int:
    # -(-a // b) is a / b rounded up; "or 1", because a step of 0 is an error when there are no entries
    return -(-count // limit) or 1


def _stream(store: StoreReader, query: Any) -> Iterator[Any]:
    """Yield the rows of ``query``, of which few are in memory at a time."""
    with store.read_transaction() as connection:
        yield from connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
