"""Read access to the results database."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Row, or_, select
from sqlalchemy.exc import DBAPIError, StatementError

from ...spaces.metrics.registry import stored_name
from ...spaces.metrics.selection import is_minimized
from . import schema
from .engine import read_only_engine
from .errors import NotStorableError, UnknownTrialError, store_error, unreachable
from .records import TEST_PREFIX, DatasetRecord, History, RunRecord, RunSettings, Trial, TrialState
from .retry import RetryPolicy, is_transient
from .rows import TRIALS, dataset_of, decode_metric, run_id_of, run_settings_of, runs_of, trials_of
from .shared_values import SharedValues

_t = schema.trial.c
_EMPTY_HISTORY = History()
# Kinds of events that version 0.1.0 stored under another name. A database keeps the old name: both names are read.
OLD_EVENT_KINDS = {
    "warmup_selected": "warmed_up",
    "latency_failed": "not_measured",
    "diagnosis_failed": "not_examined",
}
T = TypeVar("T")


class StoreReader:
    """Queries of a results database. Each query is one read transaction and never waits for a writer.

    The argument ``run`` is a run's name or its id. An unknown run raises ``ValueError`` with the most similar name.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self.retry = RetryPolicy(name)
        self._read_engine = read_only_engine(engine)
        self._shared = SharedValues()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def read_transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that only reads."""
        with self._transaction(self._read_engine) as connection:
            yield connection

    def run_read(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` in a read transaction and return its result; run it again if the connection was lost."""

        def attempt() -> T:
            with self.read_transaction() as connection:
                return operation(connection)

        return self.retry.call(attempt)

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        """Yield a connection in a new transaction; wait for the server while it cannot be reached."""
        # Only the connection is retried, because the block of a ``with`` statement cannot run twice; see ``run_read``.
        with self._translated(), self.retry.call(partial(self._connect, engine)) as connection, connection.begin():
            yield connection

    def _connect(self, engine: Engine) -> Connection:
        with self._translated():
            return engine.connect()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Replace SQLAlchemy's errors by those of this package, whose messages contain a fix."""
        try:
            yield
        except DBAPIError as error:  # a subclass of StatementError, so it must come first
            if is_transient(error):
                raise unreachable(self.name, str(error.orig)) from error
            raise store_error(self.name, str(error.orig)) from error
        except StatementError as error:  # a value could not be converted for the database
            known = isinstance(error.orig, NotStorableError)
            raise (error.orig if known and error.orig else NotStorableError(error.orig)) from error

    def runs(self) -> list[RunRecord]:
        """Return all runs, oldest first."""
        return self.run_read(runs_of)

    def run(self, run: str | int) -> RunRecord:
        """Return the run of this name or id."""
        return self.run_read(
            lambda connection: runs_of(connection, schema.run.c.run_id == run_id_of(connection, run))[0]
        )

    def run_settings(self, run: str | int) -> RunSettings:
        """Return the settings of the run of this name or id, without the numbers of its trials."""
        return self.run_read(lambda connection: run_settings_of(connection, run_id_of(connection, run)))

    def trial(self, trial_id: int) -> Trial:
        """Return the trial of this id; raise ``ValueError`` if there is none."""
        trials = self.run_read(lambda connection: trials_of(connection, TRIALS.where(_t.trial_id == trial_id)))
        if not trials:
            raise UnknownTrialError(f"no trial has the id {trial_id}; list the trials with: archsieve results list")
        return trials[0]

    def trials(self, run: str | int | None = None, *, states: Iterable[TrialState] | None = None) -> list[Trial]:
        """Return the trials of one run or of all runs, ordered by run and number.

        With ``states`` only the trials in one of these states are returned.
        """
        query = TRIALS.order_by(_t.run_id, _t.number)
        if states is not None:
            query = query.where(_t.state.in_(list(states)))

        def select_trials(connection: Connection) -> list[Trial]:
            return trials_of(connection, query if run is None else query.where(_t.run_id == run_id_of(connection, run)))

        return self.run_read(select_trials)

    def trained(self, fingerprint: str, dataset_hash: str) -> list[Trial]:
        """Return the completed trials of this architecture on this dataset, in any run, oldest first.

        Trials that reuse the result of another trial are left out: they were not trained.
        """
        query = TRIALS.where(_t.fingerprint == fingerprint, _t.state == TrialState.COMPLETED.value)
        query = query.where(_t.source_trial_id.is_(None), _t.val_accuracy.is_not(None))
        query = query.where(schema.run.c.dataset_hash == dataset_hash).order_by(_t.trial_id)
        return self.run_read(lambda connection: trials_of(connection, query))

    def history(self, run: str | int, since: History = _EMPTY_HISTORY, *, curves: bool = False) -> History:
        """Return all trials of one run: the input of a searcher.

        ``since`` is an earlier history of the same run. Its final trials are used again instead of read, because they
        cannot change: a driver of a long run does not read the whole run for each new trial. With ``curves``, and once
        a trial was stopped early, final trials have their learning curves.
        """

        def select_changed(connection: Connection) -> list[Trial]:
            query = TRIALS.where(_t.run_id == run_id_of(connection, run))
            if since.ended:
                # Only unfinished trials can have changed, and new trials have higher numbers.
                unfinished = [trial.trial for trial in since.unfinished]
                query = query.where(or_(_t.number > since.trials[-1].number, _t.trial_id.in_(unfinished)))
            return trials_of(connection, query)

        changed = (
            self._shared.of_trial(trial) if trial.state.final else trial for trial in self.run_read(select_changed)
        )
        trials = sorted([*since.ended, *changed], key=lambda trial: trial.number)
        if curves and any(trial.state is TrialState.STOPPED_EARLY for trial in trials):
            trials = [self._with_curve(trial) if trial.state.finished else trial for trial in trials]
        return History(tuple(trials))

    def _with_curve(self, trial: Trial) -> Trial:
        """Return a finished trial with its learning curve; the same object if it has one."""
        if trial.curve or not trial.epochs_done:
            return trial
        name = stored_name(trial.metric)
        values = dict(self.curve(trial.source or trial.trial).get(name, []))
        sign = -1 if is_minimized(trial.metric, trial.minimized) else 1
        scores = [sign * values.get(epoch, math.nan) for epoch in range(1, trial.epochs_done + 1)]
        return replace(trial, curve=tuple(one if math.isfinite(one) else -math.inf for one in scores))

    def curve(self, trial_id: int) -> dict[str, list[tuple[int, float]]]:
        """Return pairs ``(step, value)`` by metric name, ordered by step; values may be NaN or infinite.

        The metrics of the test are left out: they have one value, see :meth:`test_metrics`.
        """
        c = schema.metric.c
        query = (
            select(c.name, c.step, c.value, c.special)
            .where(c.trial_id == trial_id, c.step > 0)
            .order_by(c.name, c.step)
        )
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in self._rows(query):
            if not row.name.startswith(TEST_PREFIX):
                curves.setdefault(row.name, []).append((row.step, decode_metric(row.value, row.special)))
        return curves

    def test_metrics(self, trial_id: int) -> dict[str, float]:
        """Return the metrics of a trial's test by their names, such as ``test_f1_macro``; they select nothing."""
        c = schema.metric.c
        query = select(c.name, c.value, c.special).where(c.trial_id == trial_id).order_by(c.name)
        return {
            row.name: decode_metric(row.value, row.special)
            for row in self._rows(query)
            if row.name.startswith(TEST_PREFIX)
        }

    def layers(self, fingerprint: str) -> list[dict[str, Any]]:
        """Return the layers of an architecture in order: name, kind, out_shape, params, macs, activations."""
        c = schema.layer.c
        # Without the key columns, a layer has the entries that it was proposed with.
        columns = [column for column in c if column.name not in ("fingerprint", "idx")]
        return self._dicts(select(*columns).where(c.fingerprint == fingerprint).order_by(c.idx))

    def dataset(self, content_hash: str) -> DatasetRecord:
        """Return the dataset whose content has this hash; raise ``ValueError`` if there is none."""
        rows = self._rows(select(schema.dataset).where(schema.dataset.c.content_hash == content_hash))
        if not rows:
            raise ValueError(
                f"no data set has the content hash {content_hash!r}; use the dataset_hash of a run in this database"
            )
        return dataset_of(rows[0])

    def provenance(self, run: str | int) -> list[dict[str, Any]]:
        """Return the processes that drove a run, oldest first."""
        return self._dicts_of_run(schema.process, schema.process.c.process_id, run)

    def events(self, run: str | int, kind: str | None = None, *, trial_id: int | None = None) -> list[dict[str, Any]]:
        """Return the events of a run, oldest first; only those of ``kind`` or of one trial if given.

        ``kind`` also finds the events that version 0.1.0 stored under the old name of the kind.
        """
        e = schema.event.c
        conditions: list[ColumnElement[bool]] = (
            [] if kind is None else [e.kind.in_({kind, OLD_EVENT_KINDS.get(kind, kind)})]
        )
        conditions += [] if trial_id is None else [e.trial_id == trial_id]
        return self._dicts_of_run(schema.event, e.event_id, run, *conditions)

    def artifacts(self, trial_id: int) -> list[dict[str, Any]]:
        """Return the artifacts of a trial: kind, uri, bytes (the size), sha256."""
        c = schema.artifact.c
        return self._dicts(select(schema.artifact).where(c.trial_id == trial_id).order_by(c.artifact_id))

    def _dicts_of_run(self, table: Any, order: Any, run: str | int, *conditions: Any) -> list[dict[str, Any]]:
        run_id = self.run_read(lambda connection: run_id_of(connection, run))
        return self._dicts(select(table).where(table.c.run_id == run_id, *conditions).order_by(order))

    def _dicts(self, query: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in self._rows(query)]

    def _rows(self, query: Any) -> Sequence[Row[Any]]:
        return self.run_read(lambda connection: connection.execute(query).all())
