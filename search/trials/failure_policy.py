"""The failure policy: how often a trial is retried after it lost its worker, and when failures stop a run."""

import re
from dataclasses import dataclass
from enum import StrEnum

from ...results.database.records import FailKind
from .report import Failure

MAX_ATTEMPTS = 3  # a trial that has lost this many workers is taken as the cause, and fails
MAX_NODE_LOSSES = 10  # nodes may be reclaimed often; but a trial that loses so many probably ends them
MAX_CONSECUTIVE = 3  # consecutive trials that fail in the same way before the run stops
# Only causes that the next trial will most likely share. Divergence or a lack of memory depend on the single trial.
_COUNTED = (FailKind.BUG, FailKind.USER_ERROR, FailKind.DATA)


class StopKind(StrEnum):
    """Why a run ends before its last trial."""

    SIGNAL = "signal"
    SAME_FAILURE = "same_failure"
    DISK_FULL = "disk_full"
    DEVICE_OFFLINE = "device_offline"
    NO_NODES = "no_nodes"
    TIME_LIMIT = "time_limit"
    ERROR = "error"


# Causes that interrupt a trial instead of failing it, and pause the run: they have nothing to do with the network.
PAUSES = {FailKind.DISK_FULL: StopKind.DISK_FULL, FailKind.DEVICE_OFFLINE: StopKind.DEVICE_OFFLINE}


@dataclass(frozen=True)
class Stop:
    """The end of a run before its last trial.

    Args:
        kind: why the run ends.
        reason: the same in one sentence, for the user.
        detail: more text, such as a traceback; may be empty.
        error: an exception of the driver itself, to be raised after the workers have ended.
    """

    kind: StopKind
    reason: str
    detail: str = ""
    error: Exception | None = None


@dataclass
class ConsecutiveFailures:
    """Counts consecutive failures with one cause. A cause that fails three trials in a row will fail the next ones."""

    cause: tuple[FailKind, str] | None = None
    count: int = 0

    def reset(self) -> None:
        """Start counting again, after a trial without a failure."""
        self.cause, self.count = None, 0

    def add(self, failure: Failure) -> Stop | None:
        """Count a failed trial. Return a stop of the run when ``MAX_CONSECUTIVE`` trials failed with this cause."""
        # The place in the code identifies the cause better than the message, which may contain values of the trial.
        cause = (failure.kind, _innermost_frame(failure.traceback) or failure.reason)
        self.count = self.count + 1 if cause == self.cause else 1
        self.cause = cause
        if failure.kind not in _COUNTED or self.count < MAX_CONSECUTIVE:
            return None
        reason = f"{self.count} consecutive trials failed in the same way ({failure.kind}): {failure.reason}"
        return Stop(StopKind.SAME_FAILURE, reason, failure.traceback)


def _innermost_frame(trace: str) -> str:
    """Return file, line and function of the innermost frame of a traceback; empty without a traceback."""
    frames = re.findall(r'^ +File "(.+)", line (\d+), in (.+)$', trace, re.MULTILINE)
    return ":".join(frames[-1]) if frames else ""
