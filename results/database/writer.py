"""Write access to the trials of a results database."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, insert

from . import lease, schema, trial_statements
from .errors import StoreError, store_error
from .fast_sqlite import AnyConnection, RawWriter
from .reader import StoreReader
from .records import COSTS, DEVICE_COSTS, FailKind, Trial, TrialState
from .rows import TRIAL, trials_of, upsert

T = TypeVar("T")
# Shortest time between two heartbeats of an attempt. An epoch may take only a millisecond, and a heartbeat with each
# would make its write slower.
HEARTBEAT_INTERVAL_S = 1.0


class StoreWriter(StoreReader):
    """Writes trials. Each write is one transaction, and repeating a write changes nothing.

    The states of a trial are queued -> running -> completed, stopped early or failed. An interrupted trial may start
    again.
    """

    def __init__(self, engine: Engine, name: str, read_only: bool) -> None:
        super().__init__(engine, name)
        self.read_only = read_only
        self._raw_writer = RawWriter(self.engine)
        self._heartbeats: dict[int, float] = {}  # trial id -> time.monotonic() of its last heartbeat

    def close(self) -> None:
        """Close all connections."""
        self._raw_writer.close()
        super().close()

    @contextmanager
    def write_transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction with the write lock; roll back if the block raises."""
        self._check_writable()
        start = time.monotonic()
        with self._transaction(self.engine) as connection:
            self.retry.warn_if_slow(start)
            yield connection

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreError(
                f"{self.name} must be open for writing, but was opened read only; open it again without read_only"
            )

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` in a write transaction and return its result; run it again if the connection was lost.

        The connection may be lost after the commit, so ``operation`` must have the same effect when it runs twice.
        """

        def attempt() -> T:
            with self.write_transaction() as connection:
                return operation(connection)

        return self.retry.call(attempt)

    def _write_trial(self, operation: Callable[[AnyConnection], T]) -> T:
        """Run ``operation`` as ``write`` does, but on SQLite through a raw connection.

        This is for frequent writes, in which SQLAlchemy would take more time than SQLite.
        """
        if self.engine.dialect.name != "sqlite":
            return self.write(operation)
        self._check_writable()
        start = time.monotonic()

        def with_lock(connection: AnyConnection) -> T:
            self.retry.warn_if_slow(start)
            return operation(connection)

        try:
            return self._raw_writer.write(with_lock)
        # The errors of a raw connection do not pass through SQLAlchemy.
        except sqlite3.Error as error:
            raise store_error(self.name, str(error)) from error

    def propose(
        self,
        run_id: int,
        *,
        architecture: Mapping[str, Any],
        fingerprint: str,
        cost: Mapping[str, int],
        layers: Sequence[Mapping[str, Any]] = (),
        choices: Mapping[str, Any],
        recipe: Mapping[str, Any],
        seed: int,
        source: int | None = None,
    ) -> Trial:
        """Write a queued trial with the next number of its run, before it is trained, and return it.

        ``cost`` has params, macs, activations and memory_bytes, may have ram_bytes and flash_bytes. A layer has name,
        kind, out_shape, params, macs and activations. Two calls with the same arguments write two trials. ``source`` is
        the id of a completed trial of the same architecture and recipe, trained under the same conditions: the new
        trial reuses its result and is completed immediately.
        """
        row = {
            "fingerprint": fingerprint,
            "choices": dict(choices),
            "recipe": dict(recipe),
            "seed": seed,
            "created_at": lease.now(),
            **{name: int(cost[name]) for name in COSTS},
        }

        device = {name: int(cost[name]) for name in DEVICE_COSTS if cost.get(name) is not None}

        def queue(connection: AnyConnection) -> int:
            trial_statements.add_architecture(connection, fingerprint, architecture, cost, layers)
            return trial_statements.queue(connection, run_id, row, device)

        def queue_and_complete(connection: Connection) -> Trial:
            assert source is not None
            trial_id = queue(connection)
            trial_statements.reuse_result(connection, trial_id, source)
            return trials_of(connection, TRIAL, {"where_id": trial_id})[0]

        # reuse_result needs parts of SQLAlchemy's connection that a raw connection does not have.
        if source is not None:
            return self.write(queue_and_complete)
        return self._write_trial(lambda connection: trials_of(connection, TRIAL, {"where_id": queue(connection)})[0])

    def start(
        self, trial_id: int, *, device: str | None = None, node: str | None = None, pid: int | None = None
    ) -> None:
        """Record that a worker starts the trial: a new attempt, unless an attempt of the same worker is open."""
        worker = {"device": device, "node": node, "pid": pid}
        self._write_trial(lambda connection: trial_statements.start(connection, trial_id, worker))

    def locate(
        self, trial_id: int, *, device: str | None = None, node: str | None = None, pid: int | None = None
    ) -> None:
        """Record which worker runs the open attempt; this is known after the worker's first report."""
        worker = {"device": device, "node": node, "pid": pid}
        # A value that is not known must not overwrite one that is recorded.
        known = {name: value for name, value in worker.items() if value is not None}
        self.write(lambda connection: trial_statements.locate(connection, trial_id, known))

    def rewind(self, trial_id: int, epoch: int) -> int:
        """Delete the metrics after ``epoch``, whose weights are lost; return the number of lost epochs."""
        return self.write(lambda connection: trial_statements.rewind(connection, trial_id, epoch))

    def interrupt(
        self, trial_id: int, outcome: str, *, fail_kind: FailKind | None = None, reason: str | None = None
    ) -> int:
        """Interrupt a trial so that it can be resumed; return how many of its attempts ended with ``outcome``.

        ``fail_kind`` is the kind of problem that interrupted it; it is removed when the trial starts again.
        """
        return self.write(
            lambda connection: trial_statements.interrupt(connection, trial_id, outcome, fail_kind, reason)
        )

    def record_epoch(self, trial_id: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one epoch, counted from 1; they replace earlier metrics of the epoch."""
        beat = time.monotonic() - self._heartbeats.get(trial_id, -HEARTBEAT_INTERVAL_S) >= HEARTBEAT_INTERVAL_S
        self._write_trial(lambda connection: trial_statements.record(connection, trial_id, epoch, metrics, beat=beat))
        if beat:  # only after the write: a failed write must not suppress the next heartbeat
            self._heartbeats[trial_id] = time.monotonic()

    def record_test(self, trial_id: int, best_epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of the test with the weights of ``best_epoch``, by their names without ``test_``."""
        if metrics:
            self._write_trial(
                lambda connection: trial_statements.record_test(connection, trial_id, best_epoch, metrics)
            )

    def record_int8(self, trial_id: int, best_epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the validation metrics of the trial's network in int8, by their names without ``int8_``."""
        self._write_trial(lambda connection: trial_statements.record_int8(connection, trial_id, best_epoch, metrics))

    def finish(
        self,
        trial_id: int,
        state: TrialState,
        *,
        fail_kind: FailKind | None = None,
        reason: str | None = None,
        summary: Mapping[str, Any] | None = None,
        predictions: Mapping[str, Any] | None = None,
    ) -> None:
        """End a trial as completed, stopped early, failed or interrupted.

        ``summary`` describes its best epoch: epochs_done, best_epoch, val_accuracy, val_loss, train_accuracy,
        train_loss, test_accuracy; values that are not finite are stored as NULL. ``predictions`` as JSON (see
        ``prediction_records.py``) are written in the same transaction. A trial that has ended keeps its state: another
        state raises ``ValueError``, and the same state adds to the summary.
        """
        result: dict[str, Any] = {"fail_kind": fail_kind, "reason": reason, "summary": summary}
        result["predictions"] = predictions
        self._write_trial(lambda connection: trial_statements.end(connection, trial_id, state, **result))

    def add_artifact(self, trial_id: int, kind: str, uri: str, bytes: int, sha256: str) -> None:
        """Record an artifact of a trial: ``uri`` is its path relative to the folder of runs, ``bytes`` its size."""
        row = {"kind": kind, "uri": schema.check_uri(uri), "bytes": bytes, "sha256": sha256, "created_at": lease.now()}
        rows = [{**row, "trial_id": trial_id}]
        self.write(lambda connection: upsert(connection, schema.artifact, rows, update=("bytes", "sha256")))

    def add_event(self, run_id: int, level: str, kind: str, detail: Any, trial_id: int | None = None) -> None:
        """Append an event to the log of a run; ``level`` is info, warning or error, ``detail`` any JSON value."""
        row = {"run_id": run_id, "trial_id": trial_id, "level": level, "kind": kind, "detail": detail}
        statement = insert(schema.event).values(**row, at=lease.now())
        self.write(lambda connection: connection.execute(statement))
