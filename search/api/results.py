"""A results database from Python: the best trials, queries, data frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ...results.analysis.class_metrics import ClassReport, class_report_of
from ...results.analysis.differences import Difference, compare_pair
from ...results.analysis.intervals import Measured, with_interval
from ...results.database.records import RunRecord, Trial
from ...results.database.store import open_store
from ...results.database.url import DatabaseLocation, parse_location
from ...results.query.best import best, no_match_reason, ranking
from ...results.query.dataframes import layers_frame, metrics_frame, trials_frame
from ...results.query.datasets import check_one_dataset
from ...results.query.expression_query import filter_trials
from ...results.query.pareto import pareto
from ...results.query.trial_name import find_trial
from ...spaces.architectures.budget import Budget
from .arguments import check_arguments

if TYPE_CHECKING:
    import pandas

DATABASE = "runs/archsieve.db"


@dataclass(frozen=True, kw_only=True)
class StoredTrial(Trial):
    """A trial with the database it was read from, so that :func:`~archsieve.search.api.model.train` finds its run."""

    database: DatabaseLocation = field(compare=False, repr=False)

    @classmethod
    def of(cls, trial: Trial, database: DatabaseLocation) -> "StoredTrial":
        """Return ``trial`` as a trial of ``database``."""
        return cls(**{one.name: getattr(trial, one.name) for one in fields(Trial)}, database=database)


class Trials(tuple[Trial, ...]):
    """Trials in order, as a tuple that can be converted to a data frame.

    If a query matches no trial, ``no_match_reason`` is a sentence that names the condition that no trial meets.
    """

    no_match_reason: str = ""

    @classmethod
    def of(cls, trials: Iterable[Trial], database: DatabaseLocation, no_match_reason: str = "") -> "Trials":
        """Return ``trials`` as trials of ``database``."""
        made = cls(StoredTrial.of(trial, database) for trial in trials)
        made.no_match_reason = "" if made else no_match_reason
        return made

    def __getitem__(self, index: Any) -> Any:
        """Return a trial, or the trials of a slice."""
        selected = super().__getitem__(index)
        return type(self)(selected) if isinstance(index, slice) else selected

    def to_pandas(self) -> "pandas.DataFrame":
        """Return one row per trial, indexed by its id; recipe and choices are columns such as ``recipe.lr``."""
        return trials_frame(self)


class Results:
    """A results database, open for reading. Use it in a ``with`` statement, or call :meth:`close`."""

    def __init__(self, database: str | Path | DatabaseLocation) -> None:
        self.database = parse_location(database)
        self._store = open_store(self.database, read_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._store.close()

    @property
    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        return self._store.runs()

    def trials(self, run: str | None = None) -> Trials:
        """Return the trials of ``run``, or of all runs, in any state."""
        return self._trials(self._store.trials(run))

    def trial(self, name: int | str) -> Trial:
        """Return one trial, named by its id, by RUN:NUMBER, or by the start of a fingerprint."""
        return StoredTrial.of(find_trial(self._store, name), self.database)

    def best(
        self,
        *,
        budget: Budget | None = None,
        run: str | None = None,
        data: str | None = None,
        top: int = 1,
        metric: str | None = None,
        **limits: Any,
    ) -> Trials:
        """Return the ``top`` best finished trials inside the budget; of equal ones those with fewer parameters first.

        They are ranked by ``metric``, a recorded one, or else by the metric with which their runs selected. The budget
        may be given as limits: ``best(params="5M", macs="300M")``. ``data`` is the name of a data set or its content
        hash. Raises ``ValueError`` if the trials are of several data sets and neither ``run`` nor ``data`` is given.
        """
        if budget is not None and limits:
            raise ValueError(f"best() takes a budget or limits, but got {budget} and {limits}; pass only one of them")
        budget = budget or Budget.of(limits)
        if run is None and data is None:
            check_one_dataset(self._store)
        trials = best(self._store, budget=budget, run=run, dataset=data, top=top, metric=metric)
        return self._trials(trials, "" if trials else no_match_reason(self._store, budget, run, data))

    def with_interval(self, trial: int | str | Trial, metric: str | None = None) -> Measured:
        """Return the value of ``metric``, by default the selecting one, for a trial, with its 95 % interval.

        ``interval`` has ``low``, ``high``, ``n`` images and the ``method``: "Wilson" for a share of images, else
        "bootstrap percentile". Where there is none, ``reason`` states why.
        """
        return with_interval(self._store, self._named(trial), metric)

    def compare(self, first: int | str | Trial, second: int | str | Trial, metric: str | None = None) -> Difference:
        """Return whether two trials differ by more than noise, by a paired test on their stored predictions.

        The test is McNemar's exact one for an accuracy, else a paired bootstrap. Raises ``ValueError`` for trials of
        other data. Without stored predictions the ``p_value`` is None and ``reason`` states why.
        """
        return compare_pair(self._store, self._named(first), self._named(second), metric)

    def classes(self, trial: int | str | Trial) -> ClassReport:
        """Return the metrics of each class, the confusion matrix, mistakes and calibration of a trial.

        Raises ``ValueError`` for a trial without stored predictions.
        """
        record = self._named(trial)
        report, reason = class_report_of(self._store, record)
        if report is None:
            raise ValueError(f"{reason}; train it again in a new search")
        return report

    def _named(self, trial: int | str | Trial) -> Trial:
        return trial if isinstance(trial, Trial) else find_trial(self._store, trial)

    def query(self, expression: str, *, run: str | None = None, sort: str = "", top: int | None = None) -> Trials:
        """Return the trials for which ``expression`` holds, such as ``val_accuracy > 0.9 and params < 5M``.

        ``sort`` is a column; a leading ``-`` puts the largest first. Test metrics cannot be used to sort or select.
        """
        answer = filter_trials(self._store, expression, run=run, sort=sort, top=top)
        return self._trials(answer.trials, answer.no_match_reason)

    def pareto(self, objectives: Sequence[str] | None = None, *, run: str | None = None) -> Trials:
        """Return the Pareto front: the finished trials that no other trial dominates in ``objectives``.

        The default objectives are the metric with which the runs selected, and the macs.
        """
        chosen = (ranking(self._store, run).stored_name, "macs") if objectives is None else objectives
        return self._trials(pareto(self._store.trials(run), chosen))

    def curves(self, run: str | None = None) -> "pandas.DataFrame":
        """Return one row per epoch, indexed by (trial, epoch), with a column per metric such as ``val_loss``."""
        return metrics_frame(self._store, run)

    def layers(self, run: str | None = None) -> "pandas.DataFrame":
        """Return one row per layer, indexed by (trial, layer), with its output shape and costs."""
        return layers_frame(self._store, run)

    def _trials(self, trials: Iterable[Trial], no_match_reason: str = "") -> Trials:
        return Trials.of(trials, self.database, no_match_reason)


def open_results(database: str | Path = DATABASE) -> Results:
    """Open a results database for reading: a file, or ``postgresql://USER@HOST/NAME``.

    Raises ``StoreError`` if the database does not exist.
    """
    check_arguments("open_results", {"database": database})
    return Results(database)
