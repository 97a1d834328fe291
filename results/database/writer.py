"""Writing: what is said of trials."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, insert

from . import lease, schema, trial_statements
from .errors import StoreError, store_error
from .fast_sqlite import DirectLine, Link
from .reader import Reading
from .records import COSTS, FailKind, Trial, TrialState
from .rows import TRIAL, trials_of, upsert

T = TypeVar("T")


BEAT_S = 1.0  # an attempt gives its sign of life at most so often: an epoch may take a millisecond


class Writing(Reading):
    """What is written down of trials. Each write is one transaction; the same said again changes nothing.

    A trial goes queued -> running -> completed, stopped early or failed; an interrupted one may start again.
    """

    def __init__(self, engine: Engine, name: str, read_only: bool) -> None:
        super().__init__(engine, name)
        self.read_only = read_only
        self._line = DirectLine(self.engine)
        self._beats: dict[int, float] = {}  # trial -> when it last gave a sign of life, by this process's clock

    def close(self) -> None:
        """Close all connections."""
        self._line.close()
        super().close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that holds the write lock: all of it is written, or nothing."""
        self._check_writable()
        asked = time.monotonic()
        with self._transaction(self.engine) as connection:
            self.patience.waited(asked)
            yield connection

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreError(f"{self.name} was opened to be read only; open it again without read_only")

    def write(self, act: Callable[[Connection], T]) -> T:
        """What ``act`` returns after all it wrote is kept; written again where the server was away in between."""

        def once() -> T:
            with self.writing() as connection:
                return act(connection)

        return self.patience.keep(once)

    def _write_trial(self, act: Callable[[Link], T]) -> T:
        """As ``write``, for what is said so often that SQLAlchemy's share of the time would be the larger one."""
        if self.engine.dialect.name != "sqlite":
            return self.write(act)
        self._check_writable()
        asked = time.monotonic()

        def begun(connection: Link) -> T:
            self.patience.waited(asked)
            return act(connection)

        try:
            return self._line.write(begun)
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
        """Write down a queued trial with the next number of its run, before anyone trains it.

        ``cost`` has params, macs, activations and memory_bytes; a layer has name, kind, out_shape, params, macs and
        activations. The same proposal twice is two trials. ``source`` is a completed trial of the same architecture,
        recipe and conditions: its figures are taken over, and this trial has ended when it is written.
        """
        row = {
            "fingerprint": fingerprint,
            "choices": dict(choices),
            "recipe": dict(recipe),
            "seed": seed,
            "created_at": lease.now(),
            **{name: int(cost[name]) for name in COSTS},
        }

        def queue(connection: Link) -> int:
            trial_statements.add_architecture(connection, fingerprint, architecture, cost, layers)
            return trial_statements.queue(connection, run_id, row)

        def linked(connection: Connection) -> Trial:
            assert source is not None
            trial_id = queue(connection)
            trial_statements.link(connection, trial_id, source)
            return trials_of(connection, TRIAL, {"of": trial_id})[0]

        if source is not None:
            return self.write(linked)
        return self._write_trial(lambda connection: trials_of(connection, TRIAL, {"of": queue(connection)})[0])

    def start(
        self, trial_id: int, *, device: str | None = None, node: str | None = None, pid: int | None = None
    ) -> None:
        """Say that a worker begins with the trial: a new attempt, unless the same worker has said so."""
        worker = {"device": device, "node": node, "pid": pid}
        self._write_trial(lambda connection: trial_statements.start(connection, trial_id, worker))

    def locate(
        self, trial_id: int, *, device: str | None = None, node: str | None = None, pid: int | None = None
    ) -> None:
        """Say where the attempt under way runs; a worker tells with its first report."""
        worker = {"device": device, "node": node, "pid": pid}
        told = {name: value for name, value in worker.items() if value is not None}
        self.write(lambda connection: trial_statements.locate(connection, trial_id, told))

    def rewind(self, trial_id: int, epoch: int) -> int:
        """Forget what was recorded after ``epoch``, whose weights are lost; return how many epochs that were."""
        return self.write(lambda connection: trial_statements.rewind(connection, trial_id, epoch))

    def interrupt(
        self, trial_id: int, outcome: str, *, fail_kind: FailKind | None = None, reason: str | None = None
    ) -> int:
        """Set a trial aside, to be gone on with, its attempt ended by ``outcome``; return how many ended so.

        ``fail_kind`` says what stood in the way, and is forgotten when the trial starts again.
        """
        return self.write(
            lambda connection: trial_statements.interrupt(connection, trial_id, outcome, fail_kind, reason)
        )

    def record_epoch(self, trial_id: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write down the figures of one epoch, counted from 1; said again, they replace the earlier ones."""
        beat = time.monotonic() - self._beats.get(trial_id, -BEAT_S) >= BEAT_S
        self._write_trial(lambda connection: trial_statements.record(connection, trial_id, epoch, metrics, beat=beat))
        if beat:
            self._beats[trial_id] = time.monotonic()

    def finish(
        self,
        trial_id: int,
        state: TrialState,
        *,
        fail_kind: FailKind | None = None,
        reason: str | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """End a trial as completed, stopped early, failed or interrupted.

        ``summary`` describes its best epoch: epochs_done, best_epoch, val_accuracy, val_loss, train_accuracy,
        train_loss, test_accuracy; what is not finite is left out. A trial that ended stays as it ended (another
        state is a ``ValueError``); the same state said again adds to the summary.
        """
        said: dict[str, Any] = {"fail_kind": fail_kind, "reason": reason, "summary": summary}
        self._write_trial(lambda connection: trial_statements.end(connection, trial_id, state, **said))

    def add_artifact(self, trial_id: int, kind: str, uri: str, bytes: int, sha256: str) -> None:
        """Write down a file of a trial; ``uri`` is its path relative to the folder of the store."""
        row = {"kind": kind, "uri": schema.check_uri(uri), "bytes": bytes, "sha256": sha256, "created_at": lease.now()}
        rows = [{**row, "trial_id": trial_id}]
        self.write(lambda connection: upsert(connection, schema.artifact, rows, update=("bytes", "sha256")))

    def add_event(self, run_id: int, level: str, kind: str, detail: Any, trial_id: int | None = None) -> None:
        """Append to the log of a run; ``level`` is info, warning or error, ``detail`` any JSON."""
        row = {"run_id": run_id, "trial_id": trial_id, "level": level, "kind": kind, "detail": detail}
        added = insert(schema.event).values(**row, at=lease.now())
        self.write(lambda connection: connection.execute(added))
