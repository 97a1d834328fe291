"""Summary of a run of any length: its finished trials as small records, sums and counts, and samples of its trials.

The whole trials of a run of 100,000 take a gigabyte, because each has an architecture and a recipe.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import func, select

from ...spaces.metrics.selection import Selection
from ..database import schema
from ..database.reader import StoreReader
from ..database.records import FailKind, RunRecord, Trial, TrialState
from ..database.rows import TRIALS, trials_of
from .best import FINISHED_STATE
from .metric_columns import TIES, ranked_by_selection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    TrialPoints = NDArray[np.void]

_t = schema.trial.c
_ROWS_AT_ONCE = 2000
T = TypeVar("T", bound=Any)


# Columns of the finished trials of a run that have a finite value of the metric that selects. ``score`` is the value to
# maximise: ``metric_value``, or its negative if a lower value is better. ``latency_ms`` is NaN if it was not measured.
# A numpy array of 100,000 trials takes 5 MB; one Python object for each would take 30 MB.
POINT_COLUMNS = [
    ("trial", "int64"),
    ("completed", "bool"),
    ("params", "int64"),
    ("macs", "int64"),
    ("metric_value", "float64"),
    ("score", "float64"),
    ("latency_ms", "float64"),
]


class TrialChoices(NamedTuple):
    """What a trial was trained with, and its value of the metric that selects."""

    recipe: Mapping[str, Any]
    choices: Mapping[str, Any]
    metric_value: float


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


def trial_points(store: StoreReader, run_id: int, selection: Selection) -> "TrialPoints":
    """Return an array of the finished trials of a run that have a value of the metric of ``selection``, best first.

    Its columns are ``POINT_COLUMNS``. Ties are broken by the fewest params, the fewest macs and the lowest id.
    """
    import numpy as np

    by = ranked_by_selection(selection)
    completed, value = _t.state == TrialState.COMPLETED.value, by.expression
    query = select(_t.trial_id, completed, _t.params, _t.macs, value, value, _t.latency_ms)
    query = query.where(_t.run_id == run_id, FINISHED_STATE, value.is_not(None)).order_by(by.best_first, *TIES)
    points = np.fromiter(map(tuple, _stream(store, query)), np.dtype(POINT_COLUMNS))
    if not selection.higher_is_better:
        points["score"] *= -1
    finite: TrialPoints = points[np.isfinite(points["metric_value"])]
    return finite


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


def sampled_choices(store: StoreReader, points: "TrialPoints", limit: int) -> list[TrialChoices]:
    """Return what evenly spaced ones of ``points`` were trained with, ordered by number; at most ``limit``."""
    import numpy as np

    sample = evenly_spaced(points[np.argsort(points["trial"])], limit)
    values = dict(zip(sample["trial"].tolist(), sample["metric_value"].tolist(), strict=True))
    query = select(_t.trial_id, _t.recipe, _t.choices).where(_t.trial_id.in_(list(values)))
    rows = _stream(store, query.order_by(_t.run_id, _t.number))
    # a database from elsewhere may have another JSON value in place of a table
    return [TrialChoices(_table(recipe), _table(choices), values[trial]) for trial, recipe, choices in rows]


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def sampled_recipes(store: StoreReader, run: RunRecord, limit: int) -> list[Mapping[str, Any]]:
    """Return the recipes of evenly spaced trials of a run in any state, at most ``limit``."""
    step = _step(run.trials, limit)
    query = select(_t.recipe).where(_t.run_id == run.run_id, _t.number % step == 0)
    return [recipe for (recipe,) in _stream(store, query) if isinstance(recipe, dict)]


def recipe_values(store: StoreReader, run_id: int, names: Sequence[str]) -> list[dict[str, str]]:
    """Return the different values that the entries ``names``, texts, have in the recipes of a run, without null."""
    values = [_t.recipe[name].as_string() for name in names]
    query = select(*values).where(_t.run_id == run_id).distinct().order_by(*values)
    rows = (zip(names, row, strict=True) for row in _stream(store, query))
    return [{name: value for name, value in row if value is not None} for row in rows]


def evenly_spaced(entries: T, limit: int) -> T:
    """Return every n-th of ``entries``, a sequence or an array, with the smallest n that gives at most ``limit``."""
    chosen: T = entries[:: _step(len(entries), limit)]
    return chosen


def _step(count: int, limit: int) -> int:
    # -(-a // b) is a / b rounded up; "or 1", because a step of 0 is an error when there are no entries
    return -(-count // limit) or 1


def _stream(store: StoreReader, query: Any) -> Iterator[Any]:
    """Yield the rows of ``query``, of which few are in memory at a time."""
    with store.read_transaction() as connection:
        yield from connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
