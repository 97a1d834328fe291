"""The failure policy: how often a lost trial is retried, and when failures stop a run."""

import re
from dataclasses import dataclass
from enum import StrEnum

from ...results.database.records import FailKind
from .report import Failure

ATTEMPTS = 3  # workers that one trial may lose before it counts as what kills them
MAX_CONSECUTIVE = 3  # trials that fail in the same way before the run is stopped
_COUNTED = (FailKind.BUG, FailKind.USER_ERROR, FailKind.DATA)


class StopKind(StrEnum):
    """Why a run ends before its last trial."""

    SIGNAL = "signal"
    SAME_FAILURE = "same_failure"
    DISK_FULL = "disk_full"
    NO_NODES = "no_nodes"
    ERROR = "error"


@dataclass(frozen=True)
class Stop:
    """The end of a run before its last trial: why, in one sentence, and at more length where there is more to say.

    ``error`` is what the driver itself ran into, to be raised when the workers have ended.
    """

    kind: StopKind
    reason: str
    detail: str = ""
    error: Exception | None = None


@dataclass
class ConsecutiveFailures:
    """Counts consecutive failures of one cause: what fails three networks of three will fail the next ones too."""

    cause: tuple[FailKind, str] | None = None
    count: int = 0

    def reset(self) -> None:
        """Forget the failures so far: a trial has ended well."""
        self.cause, self.count = None, 0

    def add(self, failure: Failure) -> Stop | None:
        """Count a failed trial; return the stop of the run when it is one too many of its cause."""
        cause = (failure.kind, _innermost_frame(failure.traceback) or failure.reason)
        self.count = self.count + 1 if cause == self.cause else 1
        self.cause = cause
        if failure.kind not in _COUNTED or self.count < MAX_CONSECUTIVE:
            return None
        reason = f"{self.count} trials in a row failed alike ({failure.kind}): {failure.reason}"
        return Stop(StopKind.SAME_FAILURE, reason, failure.traceback)


def _innermost_frame(trace: str) -> str:
    """The innermost file and line of a traceback; empty where there is none."""
    frames = re.findall(r'^ +File "(.+)", line (\d+), in (.+)$', trace, re.MULTILINE)
    return ":".join(frames[-1]) if frames else ""
