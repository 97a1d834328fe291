"""Run leases: at most one living process drives a run.

A lease is an open row of the table ``process``. Whether its holder is alive is decided in one of two ways:

* If the holder's process id is visible to this process, the process table decides. Process id, boot id and start time
  identify a process uniquely, so that no clock is needed.
* Otherwise a holder is alive as long as its heartbeat changes. This applies to another machine, which may have the same
  host name, and to a container with its own process ids. A heartbeat that is old or in the future by this machine's
  clock proves nothing, because clocks differ, so the row is watched for a while.

Database and file locks are not sufficient: a file lock is valid on one machine only, and an advisory lock of PostgreSQL
ends with its connection, which may break while the driver is alive.
"""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select, update

from . import schema
from .errors import StoreError, TakenOverError, set_back
from .fast_sqlite import AnyConnection

HEARTBEAT_TIMEOUT = timedelta(minutes=2)  # a younger heartbeat is evidence that its process is alive
_p = schema.process.c
# Entries of the provenance that have their own columns; all others are stored in the column ``other``.
_PROVENANCE_COLUMNS = ("host", "pid", "boot_id", "argv", "git_commit", "git_dirty", "versions", "devices")


class Lease(NamedTuple):
    """A run that this process holds; ``replaced`` is True if the previous holder died without releasing the run."""

    process_id: int
    replaced: bool


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def holder(connection: Connection, run_id: int) -> Row[Any] | None:
    """Return the row of the process that holds the run, alive or dead; None if no process holds it."""
    return connection.execute(select(schema.process).where(_p.run_id == run_id, _p.ended_at.is_(None))).first()


def acquire(
    connection: Connection, run_id: int, provenance: Mapping[str, Any], watched_heartbeat: datetime | None = None
) -> Lease:
    """Acquire the run for the process that ``provenance`` describes.

    ``watched_heartbeat`` is the heartbeat of a holder that was watched and did not change it: such a holder is
    considered dead. Raises ``StoreError`` if another living process holds the run.
    """
    row = {"host": platform.node(), "pid": os.getpid(), **provenance}
    # The lock comes before the read, so that two processes cannot both replace a dead holder.
    lock_run(connection, run_id)
    previous = holder(connection, run_id)
    if previous is not None:
        alive = is_alive(previous, row)
        if alive or (alive is None and previous.heartbeat_at != watched_heartbeat):
            raise StoreError(_held_message(previous))
        release(connection, run_id, "lost")
    columns = {name: row.pop(name) for name in _PROVENANCE_COLUMNS if name in row}
    at = now()
    values = {**columns, "other": row or None, "started_at": at, "heartbeat_at": at}
    key = connection.execute(insert(schema.process).values(run_id=run_id, **values)).inserted_primary_key
    assert key is not None
    return Lease(int(key[0]), previous is not None)


def lock_run(connection: AnyConnection, run_id: int) -> None:
    """Let no other transaction change the holder of the run, or add a trial to it, until this transaction ends.

    On SQLite the transaction holds the write lock of the database already. PostgreSQL has no such lock, so the row of
    the run is locked.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(select(schema.run.c.run_id).where(schema.run.c.run_id == run_id).with_for_update())


def _held_message(row: Row[Any]) -> str:
    age_s = max(0, round((now() - row.heartbeat_at).total_seconds()))
    return (
        f"only one process can drive a run, but run {row.run_id} is driven by process {row.pid} on {row.host}, "
        f"heartbeat {age_s} s ago; end that process, then use archsieve resume"
    )


def is_alive(row: Row[Any], asker: Mapping[str, Any]) -> bool | None:
    """Return whether the holder ``row`` is a living process other than ``asker``; None if that needs watching."""
    recent = abs(now() - row.heartbeat_at) < HEARTBEAT_TIMEOUT
    if row.host != asker["host"]:
        return True if recent else None
    other = row.other or {}
    if _differ(row.boot_id, asker.get("boot_id")):
        return None if recent else False  # this machine has rebooted, or another machine has the same host name
    if _differ(other.get("pid_namespace"), asker.get("pid_namespace")):
        return None  # another container: the holder's process id means nothing here
    return row.pid != asker["pid"] and _is_running(row.pid, other.get("process_started"))


def _differ(one: object, other: object) -> bool:
    """Return whether both values are known and differ."""
    return None not in (one, other) and one != other


def _is_running(pid: int, recorded_ticks: int | None) -> bool:
    """Return whether process ``pid`` runs and started at ``recorded_ticks``, if that is known."""
    try:
        os.kill(pid, 0)  # signal 0 sends nothing; it only checks that the process exists
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process runs and belongs to another user
    if not Path("/proc/self/stat").exists():
        return True  # without /proc the start time is not available
    # A reused process id has another start time.
    ticks = start_ticks(pid)
    return ticks is not None and recorded_ticks in (ticks, None)


def start_ticks(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None if it has ended or /proc is not available.

    A zombie (a process that was killed and whose parent has not waited for it) counts as ended, although its id is
    still in use.

    psutil is not used: it adds the boot time, which changes when the clock is set and requires /proc/stat, which a
    sandbox may hide; and its import takes 20 ms.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets. It may contain spaces and brackets, so split after the last.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def this_process() -> dict[str, Any]:
    """Return what identifies this process uniquely, across reboots and containers."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "boot_id": _boot_id(),
        "process_started": start_ticks(os.getpid()),
        "pid_namespace": _pid_namespace(),
    }


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _pid_namespace() -> str | None:
    """Return the id of the namespace that this process's id belongs to; None if /proc is not available."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def renew(connection: Connection, run_id: int, process_id: int, sent: datetime | None = None) -> datetime:
    """Update the heartbeat of the run's holder and return it; ``sent`` is the last heartbeat that it has sent.

    Raises ``TakenOverError`` if another process has taken the run over, and ``SetBackError`` if the database has an
    older heartbeat than ``sent`` or does not know the holder: it was replaced by an older state.
    """
    own = connection.execute(select(_p.heartbeat_at).where(_p.process_id == process_id, _p.run_id == run_id)).first()
    if own is None or (sent is not None and own.heartbeat_at < sent):
        state = "does not know this process" if own is None else f"has the heartbeat {own.heartbeat_at}, not {sent}"
        raise set_back(f"run {run_id} {state}")
    if not is_held(connection, run_id, process_id):
        row = holder(connection, run_id)
        other = "no process" if row is None else f"process {row.pid} on {row.host}"
        raise TakenOverError(
            f"only one process can drive a run, but this process sent no heartbeat for too long, and run {run_id} is "
            f"now driven by {other}; end this process"
        )
    at = now()
    connection.execute(update(schema.process).where(_p.process_id == process_id).values(heartbeat_at=at))
    return at


def is_held(connection: Connection, run_id: int, process_id: int) -> bool:
    """Return whether the process in row ``process_id`` still holds the run."""
    row = holder(connection, run_id)
    return row is not None and row.process_id == process_id


def release(connection: Connection, run_id: int, reason: str) -> None:
    """End the lease of the run, with ``reason`` as its end reason."""
    is_open = (_p.run_id == run_id) & _p.ended_at.is_(None)
    connection.execute(update(schema.process).where(is_open).values(ended_at=now(), end_reason=reason))
