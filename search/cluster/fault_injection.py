"""Faults: things broken on purpose at named points, to see what survives; off unless ARCHSIEVE_ENABLE_FAULTS is 1.

``ARCHSIEVE_FAULT=point:action[:nth]`` breaks the process that comes to ``point`` for the ``nth`` time. With
``ARCHSIEVE_FAULT_FOLDER`` set, all processes together are broken at most ``ARCHSIEVE_FAULT_TIMES`` times (once by
default): each time leaves a file there.
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
EXPORTED = (".html", ".json", ".csv", ".parquet", ".onnx", ".pt2", ".safetensors")
FOR_EVER_S = 1e9

_visits: Counter[str] = Counter()


class InjectedFaultError(RuntimeError):
    """Raised by the action ``raise``."""


class Plan(NamedTuple):
    """What breaks where: at the ``nth`` visit of ``point``."""

    point: str
    action: str
    nth: int


def enabled() -> bool:
    """Whether faults may be injected in this process."""
    return os.environ.get("ARCHSIEVE_ENABLE_FAULTS") == "1"


def told() -> dict[str, str]:
    """The environment that tells a worker of the fault planned here; empty where faults are off."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ} if enabled() else {}


def fault(point: str) -> str | None:
    """Break here, where that is planned; return the name of an action that the caller must carry out (``nan``)."""
    if not enabled() or "ARCHSIEVE_FAULT" not in os.environ:
        return None
    plan = parse(os.environ["ARCHSIEVE_FAULT"])
    if plan.point != point:
        return None
    _visits[point] += 1
    if _visits[point] != plan.nth or not _may_fire():
        return None
    return _break(plan)


def parse(text: str) -> Plan:
    """The plan that ``point:action[:nth]`` spells."""
    point, _, rest = text.partition(":")
    action, _, nth = rest.partition(":")
    if point not in POINTS:
        raise ValueError(f"ARCHSIEVE_FAULT: {unknown('point', point, POINTS)}")
    if action not in ACTIONS:
        raise ValueError(f"ARCHSIEVE_FAULT: {unknown('action', action, ACTIONS)}")
    if action == "nan" and point != "mid_epoch":
        raise ValueError(f"ARCHSIEVE_FAULT: a network gives nan mid_epoch, and nowhere else, but got {point!r}")
    if not (nth or "1").isdigit() or int(nth or 1) < 1:
        raise ValueError(f"ARCHSIEVE_FAULT: nth counts visits from 1, but got {nth!r}")
    return Plan(point, action, int(nth or 1))


def watch_exports() -> None:
    """Make the renaming of a finished draft, the last step of every export, the point ``export_tmp``.

    What Tune renames in its own scratch folder is no export.
    """

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            target = Path(os.fsdecode(arguments[1]))
            if target.suffix in EXPORTED and "tune" not in target.parts:
                fault("export_tmp")

    sys.addaudithook(hear)


def _may_fire() -> bool:
    """Whether this process is among those that may break; it leaves its mark where they are counted."""
    folder = os.environ.get("ARCHSIEVE_FAULT_FOLDER")
    if folder is None:
        return True
    for number in range(int(os.environ.get("ARCHSIEVE_FAULT_TIMES", "1"))):
        try:
            os.close(os.open(Path(folder, f"fault-{number}"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return True
    return False


def _break(plan: Plan) -> str | None:
    said = f"injected at {plan.point}"
    if plan.action == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.action == "sleep":
        time.sleep(FOR_EVER_S)
    if plan.action == "raise":
        raise InjectedFaultError(said)
    if plan.action == "enospc":
        raise OSError(errno.ENOSPC, f"No space left on device ({said})")
    if plan.action == "oom":
        torch = sys.modules.get("torch")
        raise MemoryError(said) if torch is None else torch.OutOfMemoryError(f"out of memory ({said})")
    return plan.action
