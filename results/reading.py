"""Reading: what a store is asked."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError, StatementError

from . import schema
from .errors import store_error
from .records import DatasetRecord, History, RunRecord, Trial, TrialState
from .rows import TRIALS, dataset_of, recalled, run_id_of, runs_of, trials_of

_t = schema.trial.c


class Reading:
    """The questions a store answers. Each is one deferred transaction: it never waits for a writer.

    ``run`` is a name or an id; an unknown one is a ``ValueError`` that names the nearest.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self._reader = engine.execution_options(reads=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads."""
        with self._translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise store_error(self.name, str(error.orig)) from error
        except StatementError as error:
            raise ValueError(f"the store keeps finite numbers, texts, lists and tables, but: {error.orig}") from error

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        with self.reading() as connection:
            return runs_of(connection)

    def run(self, run: str | int) -> RunRecord:
        """The run of this name or id."""
        with self.reading() as connection:
            return runs_of(connection, schema.run.c.run_id == run_id_of(connection, run))[0]

    def trial(self, trial_id: int) -> Trial:
        """The trial of this id; ``ValueError`` where there is none."""
        with self.reading() as connection:
            found = trials_of(connection, TRIALS.where(_t.trial_id == trial_id))
        if not found:
            raise ValueError(f"no trial has the id {trial_id}; list them with: archsieve results list")
        return found[0]

    def trials(self, run: str | int | None = None, *, states: Iterable[TrialState] | None = None) -> list[Trial]:
        """The trials of one run or of all, by run and number, in any state or in one of ``states``."""
        query = TRIALS.order_by(_t.run_id, _t.number)
        if states is not None:
            query = query.where(_t.state.in_(list(states)))
        with self.reading() as connection:
            if run is not None:
                query = query.where(_t.run_id == run_id_of(connection, run))
            return trials_of(connection, query)

    def history(self, run: str | int) -> History:
        """All trials of one run: what a searcher sees."""
        return History(tuple(self.trials(run)))

    def curve(self, trial_id: int) -> dict[str, list[tuple[int, float]]]:
        """``(step, value)`` by metric name; what was NaN or infinite is so again."""
        c = schema.metric.c
        query = select(c.name, c.step, c.value, c.special).where(c.trial_id == trial_id).order_by(c.name, c.step)
        curves: dict[str, list[tuple[int, float]]] = {}
        with self.reading() as connection:
            for name, step, value, special in connection.execute(query):
                curves.setdefault(name, []).append((step, recalled(value, special)))
        return curves

    def layers(self, fingerprint: str) -> list[dict[str, Any]]:
        """The layers of an architecture in order: name, kind, out_shape, params, macs, activations."""
        c = schema.layer.c
        columns = [column for column in c if column.name not in ("fingerprint", "idx")]
        return self._dicts(select(*columns).where(c.fingerprint == fingerprint).order_by(c.idx))

    def dataset(self, content_hash: str) -> DatasetRecord:
        """The data set whose content has this hash; ``ValueError`` where there is none."""
        with self.reading() as connection:
            query = select(schema.dataset).where(schema.dataset.c.content_hash == content_hash)
            row = connection.execute(query).first()
        if row is None:
            raise ValueError(f"no data set has the content hash {content_hash!r}; take it from a run of this store")
        return dataset_of(row)

    def provenance(self, run: str | int) -> list[dict[str, Any]]:
        """The processes that drove a run, the first one first."""
        return self._dicts_of_run(schema.process, schema.process.c.process_id, run)

    def events(self, run: str | int) -> list[dict[str, Any]]:
        """The events of a run, oldest first."""
        return self._dicts_of_run(schema.event, schema.event.c.event_id, run)

    def artifacts(self, trial_id: int) -> list[dict[str, Any]]:
        """The files of a trial: kind, uri, bytes, sha256."""
        c = schema.artifact.c
        return self._dicts(select(schema.artifact).where(c.trial_id == trial_id).order_by(c.artifact_id))

    def _dicts_of_run(self, table: Any, order: Any, run: str | int) -> list[dict[str, Any]]:
        with self.reading() as connection:
            run_id = run_id_of(connection, run)
        return self._dicts(select(table).where(table.c.run_id == run_id).order_by(order))

    def _dicts(self, query: Any) -> list[dict[str, Any]]:
        with self.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]
