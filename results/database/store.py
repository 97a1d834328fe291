"""The store: where runs and trials are written down as they happen."""

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
from .records import DatasetRecord, RunStatus
from .rows import dataset_row, upsert
from .run_name import check_run_name, free_name
from .sqlite_file import OpenFile
from .url import Place
from .writer import Writing

log = logging.getLogger("archsieve")
WATCH_S = 60.0  # a driver says that it lives three times as often
_r = schema.run.c
T = TypeVar("T")


def open_store(url_or_path: str | Place, *, create: bool = False, read_only: bool = False) -> "Store":
    """The store at a path, ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME``; use it in a ``with``, or close it.

    A missing file is made only with ``create``. ``StoreError`` says what is there instead of a store.
    """
    engine, name = open_engine(url_or_path, create=create and not read_only, read_only=read_only)
    return Store(engine, name, read_only=read_only)


class Store(Writing):
    """Runs, trials and their curves. Each write is one transaction; the same said again changes nothing."""

    def __init__(self, engine: Engine, name: str, *, read_only: bool = False) -> None:
        super().__init__(engine, name, read_only)
        self._leases: dict[int, int] = {}  # run -> the process row by which this store holds it
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

        def act(connection: Connection) -> tuple[int, int]:
            upsert(connection, schema.dataset, [dataset_row(data)])
            run_id = _new_run(connection, row)
            return run_id, lease.take(connection, run_id, provenance).process_id

        run_id, self._leases[run_id] = self.write(act)
        return run_id

    def resume_run(self, run: str | int, provenance: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> int:
        """Go on with a run in this process and return its id; trials that were running become interrupted.

        ``config`` replaces the settings that the run began with. ``StoreError`` where another living process drives it.
        """
        run_id = self.run(run).run_id
        silent = self._watch(run_id, provenance)
        changed = {} if config is None else {"config": dict(config)}

        def act(connection: Connection) -> int:
            taken = lease.take(connection, run_id, provenance, silent)
            trial_statements.interrupt_all(connection, run_id, "lost" if taken.replaced else "interrupted")
            _set_run(connection, run_id, status=RunStatus.RUNNING.value, finished_at=None, **changed)
            return taken.process_id

        self._leases[run_id] = self.write(act)
        return run_id

    def heartbeat(self, run_id: int) -> None:
        """Say that this process still drives the run, as a driver does at least every minute.

        ``StoreError`` where another process has taken the run over, or the database is no longer there.
        """
        self._file.check()
        self.write(lambda connection: lease.renew(connection, run_id, self._leases[run_id]))

    def _watch(self, run_id: int, provenance: Mapping[str, Any]) -> datetime | None:
        """Watch a holder of which this machine cannot tell whether it lives; its heartbeat, once that is silent."""
        asker = {"host": platform.node(), "pid": os.getpid(), **provenance}
        seen: datetime | None = None
        until = time.monotonic() + WATCH_S
        while True:
            row = self.ask(lambda connection: lease.holder(connection, run_id))
            if row is None or lease.lives(row, asker) is not None or seen not in (None, row.heartbeat_at):
                return None
            if seen is None:
                who = f"process {row.pid} on {row.host}"
                log.warning("%s drove run %s and may live, unseen from here: watched for %d s", who, run_id, WATCH_S)
            seen = row.heartbeat_at
            if time.monotonic() > until:
                return seen
            time.sleep(1)

    def forget_unbegun(self, run_id: int) -> bool:
        """Take back a run of which nothing was found out, so that its name is free; say whether it was.

        It stays where it has a trial, a measurement or a proxy's score, or somebody drives it.
        """
        found = [table.c.run_id == run_id for table in (schema.trial, schema.measurement, schema.proxy_score)]

        def act(connection: Connection) -> bool:
            begun = any(connection.scalar(select(literal(1)).where(of_run).limit(1)) for of_run in found)
            if begun or lease.holder(connection, run_id) is not None:
                return False
            for gone in (*_owned(run_id), delete(schema.run).where(schema.run.c.run_id == run_id)):
                connection.execute(gone)
            return True

        return self.write(act)

    def finish_run(self, run_id: int, status: RunStatus | str) -> None:
        """End a run as finished, stopped or failed; trials still running become interrupted.

        A run that another process has taken over is left to it.
        """
        ended = RunStatus(status)
        self._file.check()
        process_id = self._leases.pop(run_id, None)

        def act(connection: Connection) -> None:
            if process_id is not None and not lease.held(connection, run_id, process_id):
                return
            trial_statements.interrupt_all(connection, run_id)
            lease.give_back(connection, run_id, ended.value)
            _set_run(connection, run_id, status=ended.value, finished_at=lease.now())

        self.write(act)


def _owned(run_id: int) -> list[Any]:
    """The rows of a run but its own, those that point at others first."""
    tables = [table for table in reversed(schema.metadata.sorted_tables) if "run_id" in table.c]
    return [delete(table).where(table.c.run_id == run_id) for table in tables if table is not schema.run]


def _new_run(connection: Connection, row: Mapping[str, Any]) -> int:
    name = row["name"]
    taken = {found.name: found for found in connection.execute(select(_r.name, _r.run_id, _r.created_at))}
    if name in taken:
        if (
            taken[name].created_at == row["created_at"]
        ):  # this very run: the connection was lost before that was heard of
            return int(taken[name].run_id)
        raise RunExistsError(name, free_name(name, taken))
    try:
        return trial_statements.inserted(connection, schema.run, row)
    except IntegrityError:  # PostgreSQL: another driver took the name in between
        raise RunExistsError(name, free_name(name, {*taken, name})) from None


def _set_run(connection: Connection, run_id: int, **values: Any) -> None:
    connection.execute(update(schema.run).where(_r.run_id == run_id).values(**values))
