"""The store: where runs and trials are written down as they happen."""

import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from . import lease, schema, trial_writes
from .engine import open_engine
from .errors import RunExistsError, StoreError
from .reading import Reading
from .records import DatasetRecord, FailKind, RunStatus, Trial, TrialState
from .rows import TRIALS, dataset_row, trials_of, upsert
from .run_name import check_run_name, free_name
from .sqlite_rescue import OpenFile

WATCH_S = 60.0  # a driver says that it lives three times as often
SLOW_S = 2.0
log = logging.getLogger("archsieve")
_r = schema.run.c


def open_store(url_or_path: str | Path, *, create: bool = False, read_only: bool = False) -> "Store":
    """The store at a path, ``sqlite:///PATH`` or ``postgresql+psycopg://...``; use it in a ``with``, or close it.

    A missing file is made only with ``create``. ``StoreError`` says what is there instead of a store.
    """
    engine, name = open_engine(url_or_path, create=create and not read_only, read_only=read_only)
    return Store(engine, name, read_only=read_only)


class Store(Reading):
    """Runs, trials and their curves. Each write is one transaction; the same said again changes nothing.

    A trial goes queued -> running -> completed, stopped early or failed; an interrupted one may start again.
    """

    def __init__(self, engine: Engine, name: str, *, read_only: bool = False) -> None:
        super().__init__(engine, name)
        self.read_only = read_only
        self._leases: dict[int, int] = {}  # run -> the process row by which this store holds it
        self._file = OpenFile(engine)
        self._warned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that holds the write lock: all of it is written, or nothing."""
        if self.read_only:
            raise StoreError(f"{self.name} was opened to be read only; open it again without read_only")
        asked = time.monotonic()
        with self._translated(), self.engine.begin() as connection:
            if (waited := time.monotonic() - asked) > SLOW_S and not self._warned:
                self._warned = True
                log.warning("%s was locked by another program for %.0f s; what is new waited", self.name, waited)
            yield connection

    def create_run(
        self,
        name: str,
        config: Mapping[str, Any],
        searcher: str,
        seed: int,
        dataset: DatasetRecord | Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> int:
        """Write down a run that begins now and return its id; ``RunExistsError`` names a free name.

        ``provenance`` says host, pid, boot_id, argv, git_commit, git_dirty, versions and devices; what else it says
        is kept too.
        """
        data = dataset if isinstance(dataset, DatasetRecord) else DatasetRecord.of(dataset)
        row = {
            "name": check_run_name(name),
            "status": RunStatus.RUNNING.value,
            "config": dict(config),
            "searcher": searcher,
            "seed": seed,
            "dataset_hash": data.content_hash,
            "version": str((provenance.get("versions") or {}).get("archsieve", "")),
            "created_at": lease.now(),
        }
        with self.writing() as connection:
            upsert(connection, schema.dataset, [dataset_row(data)])
            run_id = _new_run(connection, row)
            self._leases[run_id] = lease.take(connection, run_id, provenance).process_id
        return run_id

    def resume_run(self, run: str | int, provenance: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> int:
        """Go on with a run in this process and return its id; trials that were running become interrupted.

        ``config`` replaces the settings that the run began with. ``StoreError`` where another living process drives it.
        """
        run_id = self.run(run).run_id
        silent = self._watch(run_id, provenance)
        with self.writing() as connection:
            taken = lease.take(connection, run_id, provenance, silent)
            self._leases[run_id] = taken.process_id
            trial_writes.interrupt_all(connection, run_id, "lost" if taken.replaced else "interrupted")
            changed = {} if config is None else {"config": dict(config)}
            _set_run(connection, run_id, status=RunStatus.RUNNING.value, finished_at=None, **changed)
        return run_id

    def heartbeat(self, run_id: int) -> None:
        """Say that this process still drives the run, as a driver does at least every minute.

        ``StoreError`` where another process has taken the run over, or the database is no longer there.
        """
        self._file.check()
        with self.writing() as connection:
            lease.renew(connection, run_id, self._leases[run_id])

    def _watch(self, run_id: int, provenance: Mapping[str, Any]) -> datetime | None:
        """Watch a holder of which this machine cannot tell whether it lives; its heartbeat, once that is silent."""
        asker = {"host": platform.node(), "pid": os.getpid(), **provenance}
        until, seen = time.monotonic() + WATCH_S, None
        while True:
            with self.reading() as connection:
                row = lease.holder(connection, run_id)
            if row is None or lease.lives(row, asker) is not None or seen not in (None, row.heartbeat_at):
                return None
            seen = row.heartbeat_at
            if time.monotonic() > until:
                return seen
            time.sleep(1)

    def finish_run(self, run_id: int, status: RunStatus | str) -> None:
        """End a run as finished, stopped or failed; trials still running become interrupted.

        A run that another process has taken over is left to it.
        """
        ended = RunStatus(status)
        self._file.check()
        with self.writing() as connection:
            process_id = self._leases.pop(run_id, None)
            if process_id is not None and not lease.held(connection, run_id, process_id):
                return
            trial_writes.interrupt_all(connection, run_id)
            lease.give_back(connection, run_id, ended.value)
            _set_run(connection, run_id, status=ended.value, finished_at=lease.now())

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
    ) -> Trial:
        """Write down a queued trial with the next number of its run, before anyone trains it.

        ``cost`` has params, macs, activations and memory_bytes; a layer has name, kind, out_shape, params, macs and
        activations. The same proposal twice is two trials.
        """
        row = {
            "fingerprint": fingerprint,
            "choices": dict(choices),
            "recipe": dict(recipe),
            "seed": seed,
            **{name: int(cost[name]) for name in trial_writes.COSTS},
        }
        with self.writing() as connection:
            trial_writes.add_architecture(connection, fingerprint, architecture, cost, layers)
            trial_id = trial_writes.queue(connection, run_id, row)
            return trials_of(connection, TRIALS.where(schema.trial.c.trial_id == trial_id))[0]

    def start(
        self, trial_id: int, *, device: str | None = None, node: str | None = None, pid: int | None = None
    ) -> None:
        """Say that a worker begins with the trial: a new attempt, unless the same worker has said so."""
        with self.writing() as connection:
            trial_writes.start(connection, trial_id, {"device": device, "node": node, "pid": pid})

    def locate(
        self, trial_id: int, *, device: str | None = None, node: str | None = None, pid: int | None = None
    ) -> None:
        """Say where the attempt under way runs; a worker tells with its first report."""
        worker = {"device": device, "node": node, "pid": pid}
        with self.writing() as connection:
            told = {name: value for name, value in worker.items() if value is not None}
            trial_writes.locate(connection, trial_id, told)

    def rewind(self, trial_id: int, epoch: int) -> int:
        """Forget what was recorded after ``epoch``, whose weights are lost; return how many epochs that were."""
        with self.writing() as connection:
            return trial_writes.rewind(connection, trial_id, epoch)

    def interrupt(
        self, trial_id: int, outcome: str, *, fail_kind: FailKind | None = None, reason: str | None = None
    ) -> int:
        """Set a trial aside, to be gone on with, its attempt ended by ``outcome``; return how many ended so.

        ``fail_kind`` says what stood in the way, and is forgotten when the trial starts again.
        """
        with self.writing() as connection:
            return trial_writes.interrupt(connection, trial_id, outcome, fail_kind, reason)

    def record_epoch(self, trial_id: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write down the figures of one epoch, counted from 1; said again, they replace the earlier ones."""
        with self.writing() as connection:
            trial_writes.record(connection, trial_id, epoch, metrics)

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
        with self.writing() as connection:
            trial_writes.end(connection, trial_id, state, fail_kind=fail_kind, reason=reason, summary=summary)

    def add_artifact(self, trial_id: int, kind: str, uri: str, bytes: int, sha256: str) -> None:
        """Write down a file of a trial; ``uri`` is its path relative to the folder of the store."""
        path = PurePosixPath(uri)
        if not uri or path.is_absolute() or ".." in path.parts or "\\" in uri or ":" in uri:
            raise ValueError(f"an artifact's path is relative, with '/' and without '..', but got {uri!r}")
        row = {"kind": kind, "uri": uri, "bytes": bytes, "sha256": sha256, "created_at": lease.now()}
        with self.writing() as connection:
            upsert(connection, schema.artifact, [{**row, "trial_id": trial_id}], update=("bytes", "sha256"))

    def add_event(self, run_id: int, level: str, kind: str, detail: Any, trial_id: int | None = None) -> None:
        """Append to the log of a run; ``level`` is info, warning or error, ``detail`` any JSON."""
        row = {"run_id": run_id, "trial_id": trial_id, "level": level, "kind": kind, "detail": detail}
        with self.writing() as connection:
            connection.execute(insert(schema.event).values(**row, at=lease.now()))


def _new_run(connection: Connection, row: Mapping[str, Any]) -> int:
    name, taken = row["name"], set(connection.scalars(select(_r.name)))
    if name in taken:
        raise RunExistsError(name, free_name(name, taken))
    try:
        return trial_writes.inserted(connection, schema.run, row)
    except IntegrityError:  # PostgreSQL: another driver took the name in between
        raise RunExistsError(name, free_name(name, {*taken, name})) from None


def _set_run(connection: Connection, run_id: int, **values: Any) -> None:
    connection.execute(update(schema.run).where(_r.run_id == run_id).values(**values))
