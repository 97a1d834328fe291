"""The store: read and write access to the runs and trials of a results database."""

import logging
import os
import platform
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, delete, literal, select, update
from sqlalchemy.exc import IntegrityError

from . import lease, schema, trial_statements
from .engine import open_engine
from .errors import RunExistsError
from .open_file import OpenFile
from .records import DatasetRecord, RunStatus
from .rows import dataset_row, upsert
from .run_name import check_run_name, free_name
from .url import DatabaseLocation
from .writer import StoreWriter

log = logging.getLogger("archsieve")
WATCH_S = 60.0  # how long a holder is watched; a driver renews its heartbeat three times in this time
_r = schema.run.c
T = TypeVar("T")


def open_store(url_or_path: str | DatabaseLocation, *, create: bool = False, read_only: bool = False) -> "Store":
    """Open the store at a path, ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME``.

    Use the store in a ``with`` statement, or close it. A missing file is created only if ``create``. Raises
    ``StoreError`` if there is no results database, or one that cannot be opened.
    """
    engine, name = open_engine(url_or_path, create=create and not read_only, read_only=read_only)
    return Store(engine, name, read_only=read_only)


class Store(StoreWriter):
    """Runs, trials and their metrics. Each write is one transaction, and repeating a write changes nothing."""

    def __init__(self, engine: Engine, name: str, *, read_only: bool = False) -> None:
        super().__init__(engine, name, read_only)
        self._leases: dict[int, int] = {}  # run id -> id of the row in ``process`` by which this store holds it
        self._heartbeats_sent: dict[int, datetime] = {}  # run id -> the heartbeat that the database must still have
        self._file = OpenFile(engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_run(
        self,
        name: str,
        config: Mapping[str, Any],
        searcher: str,
        seed: int,
        dataset: DatasetRecord | Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> int:
        """Create a run that starts now, driven by this process, and return its id.

        ``provenance`` may have host, pid, boot_id, argv, git_commit, git_dirty, versions and devices; other entries
        are stored too. Raises ``RunExistsError``, which contains a free name, if there is a run of this name.
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

        def insert_run(connection: Connection) -> tuple[int, int]:
            upsert(connection, schema.dataset, [dataset_row(data)])
            # One transaction for the run and its lease, so that no run is running without a driver.
            run_id = _new_run(connection, row)
            return run_id, lease.acquire(connection, run_id, provenance).process_id

        run_id, self._leases[run_id] = self.write(insert_run)
        self._file.check()
        return run_id

    def resume_run(self, run: str | int, provenance: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> int:
        """Resume a run in this process and return its id; trials that were running become interrupted.

        ``config`` replaces the settings of the run. Raises ``StoreError`` if another living process drives the run.
        """
        run_id = self.run(run).run_id
        watched_heartbeat = self._watch(run_id, provenance)
        changed = {} if config is None else {"config": dict(config)}

        def acquire(connection: Connection) -> int:
            new_lease = lease.acquire(connection, run_id, provenance, watched_heartbeat)
            trial_statements.interrupt_all(connection, run_id, "lost" if new_lease.replaced else "interrupted")
            _set_run(connection, run_id, status=RunStatus.RUNNING.value, finished_at=None, **changed)
            return new_lease.process_id

        self._leases[run_id] = self.write(acquire)
        self._file.check()
        return run_id

    def heartbeat(self, run_id: int) -> None:
        """Record that this process still drives the run; a driver calls this at least once a minute.

        Raises ``TakenOverError`` if another process has taken the run over, and ``StoreError`` if the database was
        removed, replaced, overwritten, or set back to an older state.
        """
        # SQLite itself does not report that its file was removed or overwritten.
        self._file.check()
        sent = self._heartbeats_sent.get(run_id)
        self._heartbeats_sent[run_id] = self.write(
            lambda connection: lease.renew(connection, run_id, self._leases[run_id], sent)
        )

    def _watch(self, run_id: int, provenance: Mapping[str, Any]) -> datetime | None:
        """Watch the holder of a run if this process cannot decide whether it is alive.

        Returns the holder's heartbeat if it did not change for ``WATCH_S`` seconds. Returns None if there is nothing to
        watch, or if the heartbeat changed.
        """
        asker = {"host": platform.node(), "pid": os.getpid(), **provenance}
        heartbeat: datetime | None = None
        deadline = time.monotonic() + WATCH_S
        while True:
            row = self.run_read(lambda connection: lease.holder(connection, run_id))
            if row is None or lease.is_alive(row, asker) is not None or heartbeat not in (None, row.heartbeat_at):
                return None
            if heartbeat is None:
                log.warning(
                    "process %s on %s drove run %s, and this machine cannot see whether it is alive; waiting %d s for "
                    "its heartbeat",
                    row.pid,
                    row.host,
                    run_id,
                    WATCH_S,
                )
            heartbeat = row.heartbeat_at
            if time.monotonic() > deadline:
                return heartbeat
            time.sleep(1)

    def delete_empty_run(self, run_id: int) -> bool:
        """Delete a run without results, so that its name is free again; return whether it was deleted.

        A run that has a trial, a measurement or a proxy score is not deleted, nor one that a process drives.
        """
        result_conditions = [
            table.c.run_id == run_id for table in (schema.trial, schema.measurement, schema.proxy_score)
        ]

        def delete_run(connection: Connection) -> bool:
            has_results = any(connection.scalar(select(literal(1)).where(one).limit(1)) for one in result_conditions)
            if has_results or lease.holder(connection, run_id) is not None:
                return False
            for statement in (*_delete_rows_of(run_id), delete(schema.run).where(schema.run.c.run_id == run_id)):
                connection.execute(statement)
            return True

        return self.write(delete_run)

    def finish_run(self, run_id: int, status: RunStatus | str) -> None:
        """End a run as finished, stopped or failed; trials still running become interrupted.

        Do nothing if another process has taken the run over.
        """
        end_status = RunStatus(status)
        self._file.check()
        process_id = self._leases.pop(run_id, None)

        def end_run(connection: Connection) -> None:
            if process_id is not None and not lease.is_held(connection, run_id, process_id):
                return
            trial_statements.interrupt_all(connection, run_id)
            lease.release(connection, run_id, end_status.value)
            _set_run(connection, run_id, status=end_status.value, finished_at=lease.now())

        self.write(end_run)


def _delete_rows_of(run_id: int) -> list[Any]:
    """Return statements that delete a run's rows from all tables except ``run``, in the order of the foreign keys."""
    tables = [table for table in reversed(schema.metadata.sorted_tables) if "run_id" in table.c]
    return [delete(table).where(table.c.run_id == run_id) for table in tables if table is not schema.run]


def _new_run(connection: Connection, row: Mapping[str, Any]) -> int:
    name = row["name"]
    existing = {run.name: run for run in connection.execute(select(_r.name, _r.run_id, _r.created_at))}
    if name in existing:
        # The same moment of creation: this is a retry, and the connection was lost after the first commit.
        if existing[name].created_at == row["created_at"]:
            return int(existing[name].run_id)
        raise RunExistsError(name, free_name(name, existing))
    try:
        return trial_statements.inserted(connection, schema.run, row)
    except IntegrityError:  # PostgreSQL: another driver created a run of this name in between
        raise RunExistsError(name, free_name(name, {*existing, name})) from None


def _set_run(connection: Connection, run_id: int, **values: Any) -> None:
    connection.execute(update(schema.run).where(_r.run_id == run_id).values(**values))
