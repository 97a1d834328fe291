"""Leases: one living process drives a run."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from . import schema
from .errors import StoreError

STALE = timedelta(minutes=2)
_p = schema.process.c
_KNOWN = ("host", "pid", "boot_id", "argv", "git_commit", "git_dirty", "versions", "devices")


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def take(connection: Connection, run_id: int, provenance: Mapping[str, Any]) -> None:
    """Let the process that ``provenance`` describes drive the run; ``StoreError`` where another one lives."""
    row = {"host": platform.node(), "pid": os.getpid(), **provenance}
    holder = connection.execute(select(schema.process).where(_p.run_id == run_id, _p.ended_at.is_(None))).first()
    if holder is not None:
        if _lives(holder, row):
            raise StoreError(
                f"one process drives a run, but run {run_id} is driven by process {holder.pid} on {holder.host}; "
                f"end that one, or wait {STALE.seconds} s after its end"
            )
        give_back(connection, run_id, "lost")
    known = {name: row.pop(name) for name in _KNOWN if name in row}
    at = now()
    connection.execute(
        insert(schema.process).values(run_id=run_id, **known, other=row or None, started_at=at, heartbeat_at=at)
    )


def _lives(holder: Row[Any], asker: Mapping[str, Any]) -> bool:
    """Whether ``holder`` is a living process other than ``asker``."""
    if now() - holder.heartbeat_at > STALE:
        return False
    if holder.host != asker["host"]:
        return True
    rebooted = holder.boot_id != asker.get("boot_id")
    return not rebooted and holder.pid != asker["pid"] and _runs(holder.pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, and belongs to someone else
    return True


def renew(connection: Connection, run_id: int) -> None:
    """Say that the driver of the run lives."""
    held = (_p.run_id == run_id) & _p.ended_at.is_(None)
    connection.execute(update(schema.process).where(held).values(heartbeat_at=now()))


def give_back(connection: Connection, run_id: int, reason: str) -> None:
    """Say that nobody drives the run any more."""
    held = (_p.run_id == run_id) & _p.ended_at.is_(None)
    connection.execute(update(schema.process).where(held).values(ended_at=now(), end_reason=reason))
