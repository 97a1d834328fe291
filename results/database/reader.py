"""Reading: what a store is asked."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, or_, select
from sqlalchemy.exc import DBAPIError, StatementError

from . import schema
from .engine import reader
from .errors import LostError, NotStorableError, store_error
from .records import DatasetRecord, History, RunRecord, Trial, TrialState
from .retry import Patience, passing
from .rows import TRIALS, dataset_of, recalled, run_id_of, runs_of, trials_of

_t = schema.trial.c
_NONE_YET = History()
T = TypeVar("T")


class Reading:
    """The questions a store answers. Each is one deferred transaction: it never waits for a writer.

    ``run`` is a name or an id; an unknown one is a ``ValueError`` that names the nearest.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self.patience = Patience(name)
        self._reader = reader(engine)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads."""
        with self._transaction(self._reader) as connection:
            yield connection

    def ask(self, act: Callable[[Connection], T]) -> T:
        """What ``act`` reads in one transaction; asked again where the server was away in between."""

        def once() -> T:
            with self.reading() as connection:
                return act(connection)

        return self.patience.keep(once)

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        """A connection in a transaction of its own; a server that is away is waited for."""
        with self._translated(), self.patience.keep(partial(self._connected, engine)) as connection, connection.begin():
            yield connection

    def _connected(self, engine: Engine) -> Connection:
        with self._translated():
            return engine.connect()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if passing(error):
                said = " ".join(str(error.orig).split())
                raise LostError(f"{self.name} is away: {said}; start its server again") from error
            raise store_error(self.name, str(error.orig)) from error
        except StatementError as error:
            known = isinstance(error.orig, NotStorableError)
            raise (error.orig if known and error.orig else NotStorableError(error.orig)) from error

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        return self.ask(runs_of)

    def run(self, run: str | int) -> RunRecord:
        """The run of this name or id."""
        return self.ask(lambda connection: runs_of(connection, schema.run.c.run_id == run_id_of(connection, run))[0])

    def trial(self, trial_id: int) -> Trial:
        """The trial of this id; ``ValueError`` where there is none."""
        found = self.ask(lambda connection: trials_of(connection, TRIALS.where(_t.trial_id == trial_id)))
        if not found:
            raise ValueError(f"no trial has the id {trial_id}; list them with: archsieve results list")
        return found[0]

    def trials(self, run: str | int | None = None, *, states: Iterable[TrialState] | None = None) -> list[Trial]:
        """The trials of one run or of all, by run and number, in any state or in one of ``states``."""
        query = TRIALS.order_by(_t.run_id, _t.number)
        if states is not None:
            query = query.where(_t.state.in_(list(states)))

        def found(connection: Connection) -> list[Trial]:
            asked = query if run is None else query.where(_t.run_id == run_id_of(connection, run))
            return trials_of(connection, asked)

        return self.ask(found)

    def trained(self, fingerprint: str, dataset_hash: str) -> list[Trial]:
        """The trials that trained this architecture on these data to the end, in any run, the first one first."""
        query = TRIALS.where(_t.fingerprint == fingerprint, _t.state == TrialState.COMPLETED.value)
        query = query.where(_t.source_trial_id.is_(None), _t.val_accuracy.is_not(None))
        query = query.where(schema.run.c.dataset_hash == dataset_hash).order_by(_t.trial_id)
        return self.ask(lambda connection: trials_of(connection, query))

    def history(self, run: str | int, since: History = _NONE_YET) -> History:
        """All trials of one run: what a searcher sees.

        ``since`` is what was read of the run before. Of it, trials that have ended are taken as they are: nothing
        changes them any more, so that a driver does not read all of a long run again for each new trial.
        """

        def found(connection: Connection) -> list[Trial]:
            query = TRIALS.where(_t.run_id == run_id_of(connection, run))
            if since.ended:
                under_way = [trial.trial for trial in since.unfinished]
                query = query.where(or_(_t.number > since.trials[-1].number, _t.trial_id.in_(under_way)))
            return trials_of(connection, query)

        return History(tuple(sorted([*since.ended, *self.ask(found)], key=lambda trial: trial.number)))

    def curve(self, trial_id: int) -> dict[str, list[tuple[int, float]]]:
        """``(step, value)`` by metric name; what was NaN or infinite is so again."""
        c = schema.metric.c
        query = select(c.name, c.step, c.value, c.special).where(c.trial_id == trial_id).order_by(c.name, c.step)
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in self._rows(query):
            curves.setdefault(row.name, []).append((row.step, recalled(row.value, row.special)))
        return curves

    def layers(self, fingerprint: str) -> list[dict[str, Any]]:
        """The layers of an architecture in order: name, kind, out_shape, params, macs, activations."""
        c = schema.layer.c
        columns = [column for column in c if column.name not in ("fingerprint", "idx")]
        return self._dicts(select(*columns).where(c.fingerprint == fingerprint).order_by(c.idx))

    def dataset(self, content_hash: str) -> DatasetRecord:
        """The data set whose content has this hash; ``ValueError`` where there is none."""
        rows = self._rows(select(schema.dataset).where(schema.dataset.c.content_hash == content_hash))
        if not rows:
            raise ValueError(f"no data set has the content hash {content_hash!r}; take it from a run of this store")
        return dataset_of(rows[0])

    def provenance(self, run: str | int) -> list[dict[str, Any]]:
        """The processes that drove a run, the first one first."""
        return self._dicts_of_run(schema.process, schema.process.c.process_id, run)

    def events(self, run: str | int, kind: str | None = None, *, trial_id: int | None = None) -> list[dict[str, Any]]:
        """The events of a run, oldest first: all, those of one ``kind``, those of one trial."""
        e = schema.event.c
        narrow = [] if kind is None else [e.kind == kind]
        narrow += [] if trial_id is None else [e.trial_id == trial_id]
        return self._dicts_of_run(schema.event, e.event_id, run, *narrow)

    def artifacts(self, trial_id: int) -> list[dict[str, Any]]:
        """The files of a trial: kind, uri, bytes, sha256."""
        c = schema.artifact.c
        return self._dicts(select(schema.artifact).where(c.trial_id == trial_id).order_by(c.artifact_id))

    def _dicts_of_run(self, table: Any, order: Any, run: str | int, *narrow: Any) -> list[dict[str, Any]]:
        run_id = self.ask(lambda connection: run_id_of(connection, run))
        return self._dicts(select(table).where(table.c.run_id == run_id, *narrow).order_by(order))

    def _dicts(self, query: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in self._rows(query)]

    def _rows(self, query: Any) -> Sequence[Row[Any]]:
        return self.ask(lambda connection: connection.execute(query).all())
