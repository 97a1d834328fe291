"""Leases: one living process drives a run.

Where the holder's process can be seen from here, the process table tells whether it lives: process id, boot and start
time name a process for good, and no clock is asked. Elsewhere a holder lives while its heartbeat changes: on another
machine, which may have this one's name, or in a container with process ids of its own. A heartbeat that is old, or in
the future, by this machine's clock proves nothing, so it is watched.

Leases are kept by hand: a file lock holds on one machine only, and an advisory lock of PostgreSQL ends with its
connection, which may break while the driver lives.
"""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select, update

from . import schema
from .errors import StoreError
from .fast_sqlite import Link

STALE = timedelta(minutes=2)
_p = schema.process.c
_KNOWN = ("host", "pid", "boot_id", "argv", "git_commit", "git_dirty", "versions", "devices")


class Lease(NamedTuple):
    """A run held by this process; ``replaced`` says that its last holder had died with the run in hand."""

    process_id: int
    replaced: bool


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def holder(connection: Connection, run_id: int) -> Row[Any] | None:
    """The process that holds the run, dead or alive."""
    return connection.execute(select(schema.process).where(_p.run_id == run_id, _p.ended_at.is_(None))).first()


def take(connection: Connection, run_id: int, provenance: Mapping[str, Any], silent: datetime | None = None) -> Lease:
    """Let the process that ``provenance`` describes drive the run; ``StoreError`` where another one lives.

    ``silent`` is the heartbeat of a holder that was watched and did not change it.
    """
    row = {"host": platform.node(), "pid": os.getpid(), **provenance}
    lock_run(connection, run_id)
    before = holder(connection, run_id)
    if before is not None:
        verdict = lives(before, row)
        if verdict or (verdict is None and before.heartbeat_at != silent):
            raise StoreError(_held(before))
        give_back(connection, run_id, "lost")
    known = {name: row.pop(name) for name in _KNOWN if name in row}
    at = now()
    values = {**known, "other": row or None, "started_at": at, "heartbeat_at": at}
    key = connection.execute(insert(schema.process).values(run_id=run_id, **values)).inserted_primary_key
    assert key is not None
    return Lease(int(key[0]), before is not None)


def lock_run(connection: Link, run_id: int) -> None:
    """Let nobody else change who drives the run, or add a trial, until the transaction ends.

    On SQLite the transaction holds the write lock already; PostgreSQL has none, and the row of the run stands for it.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(select(schema.run.c.run_id).where(schema.run.c.run_id == run_id).with_for_update())


def _held(row: Row[Any]) -> str:
    age = max(0, round((now() - row.heartbeat_at).total_seconds()))
    return (
        f"one process drives a run, but run {row.run_id} is driven by process {row.pid} on {row.host}, heartbeat "
        f"{age} s ago; end that one, and go on with archsieve resume"
    )


def lives(row: Row[Any], asker: Mapping[str, Any]) -> bool | None:
    """Whether the holder ``row`` is a living process other than ``asker``; None where only watching can tell."""
    recent = abs(now() - row.heartbeat_at) < STALE
    if row.host != asker["host"]:
        return True if recent else None
    other = row.other or {}
    if _differ(row.boot_id, asker.get("boot_id")):
        return None if recent else False  # this machine was started anew, or another one has its name
    if _differ(other.get("pid_namespace"), asker.get("pid_namespace")):
        return None
    return row.pid != asker["pid"] and _runs(row.pid, other.get("process_started"))


def _differ(one: object, other: object) -> bool:
    return None not in (one, other) and one != other


def _runs(pid: int, start: int | None) -> bool:
    """Whether the process of this id runs, and is the one that was started then."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, and belongs to another user
    if not Path("/proc/self/stat").exists():
        return True  # the system does not tell more
    ticks = started(pid)
    return ticks is not None and start in (ticks, None)


def started(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None where it has ended, or the system does not tell.

    One that was killed and whose parent has not asked for it yet has ended, though its id is still taken.

    Read by hand and not with psutil: psutil adds the time of the boot, which moves when the clock is set and needs
    /proc/stat, which a sandbox may hide; and its import takes 20 ms.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def this_process() -> dict[str, Any]:
    """What tells this process from every other one, before and after a boot, inside a container and outside."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "boot_id": _boot_id(),
        "process_started": started(os.getpid()),
        "pid_namespace": _pid_namespace(),
    }


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _pid_namespace() -> str | None:
    """Whose process ids this process's own is one of; None where the system does not tell."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def renew(connection: Connection, run_id: int, process_id: int) -> None:
    """Say that the driver of the run lives; ``StoreError`` where the run was taken over."""
    if not held(connection, run_id, process_id):
        new = holder(connection, run_id)
        by = "nobody" if new is None else f"process {new.pid} on {new.host}"
        raise StoreError(f"this process was silent for too long: run {run_id} is now driven by {by}; leave it to that")
    connection.execute(update(schema.process).where(_p.process_id == process_id).values(heartbeat_at=now()))


def held(connection: Connection, run_id: int, process_id: int) -> bool:
    """Whether the process of that row still holds the run."""
    row = holder(connection, run_id)
    return row is not None and row.process_id == process_id


def give_back(connection: Connection, run_id: int, reason: str) -> None:
    """Say that nobody drives the run any more."""
    open_ = (_p.run_id == run_id) & _p.ended_at.is_(None)
    connection.execute(update(schema.process).where(open_).values(ended_at=now(), end_reason=reason))
