"""Mishaps: what is done about a trial that fails and a run that cannot go on."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ...results.database.records import FailKind

ATTEMPTS = 3  # workers that one trial may lose before it counts as what kills them
IN_A_ROW = 3  # trials that fail alike before the run is stopped
_ALIKE = (FailKind.BUG, FailKind.USER_ERROR, FailKind.DATA)


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
class Alike:
    """Counts failures in a row that are the same: what fails three networks of three will fail the next ones too."""

    place: Any = None
    count: int = field(default=0)

    def ended(self) -> None:
        """A trial has ended well."""
        self.place, self.count = None, 0

    def failed(self, kind: FailKind, reason: str, trace: str) -> Stop | None:
        """A trial has failed; the stop of the run where it was one too many of a kind."""
        place = (kind, _place(trace) or reason)
        self.count = self.count + 1 if place == self.place else 1
        self.place = place
        if kind not in _ALIKE or self.count < IN_A_ROW:
            return None
        said = f"{self.count} trials in a row failed alike ({kind}): {reason}"
        return Stop(StopKind.SAME_FAILURE, said, trace)


def _place(trace: str) -> str:
    """The innermost file and line of a traceback."""
    frames = re.findall(r'^ +File "(.+)", line (\d+), in (.+)$', trace, re.MULTILINE)
    return ":".join(frames[-1]) if frames else ""
