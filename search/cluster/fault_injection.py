"""Fault injection: break a process at a named point to test recovery; off unless ARCHSIEVE_ENABLE_FAULTS is 1.

``ARCHSIEVE_FAULT=point:action[:nth]`` breaks the process that reaches ``point`` for the ``nth`` time. With
``ARCHSIEVE_FAULT_FOLDER`` set, at most ``ARCHSIEVE_FAULT_TIMES`` faults (1 by default) happen in all processes
together: each fault creates a file in that folder.
"""

import errno
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from ...spaces.parameters.lookup import unknown

DRIVER_POINTS = (
    "after_suggest",
    "before_insert",
    "after_insert",
    "before_report",
    "after_report",
    "before_complete",
    "after_complete",
    "export_tmp",
)
WORKER_POINTS = ("mid_epoch", "ckpt_tmp_written", "ckpt_renamed")
POINTS = DRIVER_POINTS + WORKER_POINTS
ACTIONS = ("kill9", "raise", "sleep", "enospc", "nan", "oom")
VARIABLES = ("ARCHSIEVE_ENABLE_FAULTS", "ARCHSIEVE_FAULT", "ARCHSIEVE_FAULT_FOLDER", "ARCHSIEVE_FAULT_TIMES")
EXPORT_SUFFIXES = (".html", ".json", ".csv", ".parquet", ".onnx", ".pt2", ".safetensors")
HANG_S = 1e9  # the action "sleep" must outlast every timeout of a run

_visits: Counter[str] = Counter()  # how often this process has reached each point


class InjectedFaultError(RuntimeError):
    """Raised by the action ``raise``."""


class Plan(NamedTuple):
    """A planned fault: do ``action`` at the ``nth`` visit of ``point``."""

    point: str
    action: str
    nth: int


def enabled() -> bool:
    """Return whether faults may be injected in this process."""
    return os.environ.get("ARCHSIEVE_ENABLE_FAULTS") == "1"


def worker_environment() -> dict[str, str]:
    """Return the environment variables that plan the same fault in a worker; empty when faults are off."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ} if enabled() else {}


def fault(point: str) -> str | None:
    """Carry out the planned fault if this is its point and visit.

    Returns the name of an action that the caller must carry out itself (``nan``), or None.
    """
    if not enabled() or "ARCHSIEVE_FAULT" not in os.environ:
        return None
    plan = parse(os.environ["ARCHSIEVE_FAULT"])
    if plan.point != point:
        return None
    _visits[point] += 1
    # The visit first: a process that is not at its nth visit must not use up one of the counted faults.
    if _visits[point] != plan.nth or not _may_fire():
        return None
    return _break(plan)


def parse(text: str) -> Plan:
    """Parse ``point:action[:nth]``. Raises ``ValueError`` for an unknown point or action, or a wrong ``nth``."""
    point, _, rest = text.partition(":")
    action, _, nth = rest.partition(":")
    if point not in POINTS:
        raise ValueError(f"ARCHSIEVE_FAULT: {unknown('point', point, POINTS)}")
    if action not in ACTIONS:
        raise ValueError(f"ARCHSIEVE_FAULT: {unknown('action', action, ACTIONS)}")
    if action == "nan" and point != "mid_epoch":
        raise ValueError(f"ARCHSIEVE_FAULT: the action nan works only at mid_epoch, got {point!r}; use mid_epoch:nan")
    if not (nth or "1").isdigit() or int(nth or 1) < 1:
        raise ValueError(f"ARCHSIEVE_FAULT: nth must be a whole number of at least 1, got {nth!r}; use 1")
    return Plan(point, action, int(nth or 1))


def watch_exports() -> None:
    """Make the last step of every export, the rename of its temporary file, the point ``export_tmp``.

    Renames inside Tune's scratch folder are not exports.
    """

    def on_audit_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            target = Path(os.fsdecode(arguments[1]))
            if target.suffix in EXPORT_SUFFIXES and "tune" not in target.parts:
                fault("export_tmp")

    # An audit hook sees the renames of all exporters, so none of them has to call fault() itself.
    sys.addaudithook(on_audit_event)


def _may_fire() -> bool:
    """Return whether this process may still inject a fault, and if so, count it with a file."""
    folder = os.environ.get("ARCHSIEVE_FAULT_FOLDER")
    if folder is None:
        return True
    for number in range(int(os.environ.get("ARCHSIEVE_FAULT_TIMES", "1"))):
        try:
            # O_EXCL is atomic: of several processes exactly one creates the file.
            os.close(os.open(Path(folder, f"fault-{number}"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return True
    return False


def _break(plan: Plan) -> str | None:
    message = f"injected at {plan.point}"
    if plan.action == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.action == "sleep":
        time.sleep(HANG_S)
    if plan.action == "raise":
        raise InjectedFaultError(message)
    if plan.action == "enospc":
        raise OSError(errno.ENOSPC, f"No space left on device ({message})")
    if plan.action == "oom":
        # Raise torch's own error where torch is loaded, as a worker does; do not import torch only for that.
        torch = sys.modules.get("torch")
        raise MemoryError(message) if torch is None else torch.OutOfMemoryError(f"out of memory ({message})")
    return plan.action
