"""The time limit of a session: which trials may still start, which pause at an epoch's end, and how time was used."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...results.analysis.predicted_time import predicted_seconds
from ...results.database.records import History, Trial
from ..config.duration import parse_duration
from ..trials.failure_policy import Stop, StopKind
from .run_control import RunControl

Running = Mapping[str, tuple[int, float | None]]  # key -> epochs of the recipe, start as a value of time.monotonic()

TIME_LIMIT = "time_limit"  # kind of the event: no new trial started; outcome of an attempt that was paused


@dataclass
class TimeLimit:
    """The time limit of a session, and what is known about the time of its trials.

    Args:
        deadline: the end, as a value of ``time.monotonic()``; None for no limit.
        seconds: the length of the session that the user allows, for messages.
        reached: whether the limit has kept a trial from starting, or has paused one.
        refused_s: the predicted seconds of the trial that did not start, if it was refused before the deadline.
    """

    deadline: float | None = None
    seconds: float | None = None
    reached: bool = False
    refused_s: float | None = None
    _paused: set[str] = field(default_factory=set)  # keys of trials that Tune was asked to stop
    # key -> time and epoch of the first and of the last report of a trial in this session
    _reports: dict[str, tuple[tuple[float, int], tuple[float, int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, limit: str | float | None, started: float) -> "TimeLimit":
        """Return the limit of a session that ``started`` at this value of ``time.monotonic()``."""
        if limit is None:
            return cls()
        seconds = parse_duration(limit)
        return cls(started + seconds, seconds)

    @property
    def remaining_s(self) -> float:
        """The seconds until the deadline; negative after it."""
        return math.inf if self.deadline is None else self.deadline - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return self.remaining_s <= 0

    def allows(self, macs: int, epochs: int, history: History) -> bool:
        """Return whether a new trial is predicted to end in time. Without an ended trial there is no prediction."""
        seconds = None if self.deadline is None else predicted_seconds(macs, epochs, history.ended)
        if seconds is None or seconds <= self.remaining_s:
            return True
        self.refused_s = seconds
        return False

    def observe(self, key: str, epoch: int) -> None:
        """Note the time at which a running trial reports its ``epoch``."""
        report = time.monotonic(), epoch
        self._reports[key] = self._reports.get(key, (report,))[0], report

    def pause(self, key: str) -> None:
        """Note that Tune is asked to stop this trial, which a resume continues after its last epoch."""
        self._paused.add(key)

    def take_paused(self, key: str) -> bool:
        """Return whether the trial that ends now was paused, and forget it."""
        paused = key in self._paused
        self._paused.discard(key)
        return paused

    def end(self, control: RunControl, run: str, proposed: int, trials: int, *, started: bool) -> None:
        """Note that no new trial starts: ``proposed`` of ``trials`` have been proposed. It is recorded once.

        A session in which no trial has ``started``, because the next one was refused, has a limit that is too short.
        """
        if not self.reached:
            self.reached = True
            if proposed < trials:
                control.store.add_event(control.run_id, "info", TIME_LIMIT, {"trials": proposed, "of": trials})
        if not started and self.refused_s is not None:
            control.stop(self._too_short(self.refused_s, run))

    def check_first_trials(self, control: RunControl, run: str, running: Running) -> None:
        """Stop the run if every running trial is predicted to end too late; called while none has ended."""
        predicted = [self._seconds_of(key, *values) for key, values in running.items()]
        known = [pair for pair in predicted if pair is not None]
        if known and len(known) == len(predicted) and all(remaining > self.remaining_s for _, remaining in known):
            control.stop(self._too_short(min(total for total, _ in known), run))

    def _seconds_of(self, key: str, epochs: int, started: float | None) -> tuple[float, float] | None:
        """Return the predicted seconds of a trial that has ``started`` in this session, and those from now on.

        The first epoch of a session takes longer, because it loads the data, so it is used alone only after the
        deadline. None if nothing is known yet.
        """
        if key not in self._reports or started is None:
            return None
        now, ((first_time, first), (last_time, last)) = time.monotonic(), self._reports[key]
        if last > first:
            of_epoch = (last_time - first_time) / (last - first)
        elif self.over:
            of_epoch = (first_time - started) / max(first, 1)
        else:
            return None
        remaining = of_epoch * (epochs - last) - (now - last_time)
        return last_time - started + of_epoch * (epochs - last), remaining

    def _too_short(self, predicted_s: float, run: str) -> Stop:
        seconds = math.ceil(predicted_s)
        reason = (
            f"search.time_limit must be longer than one trial, but it is {self.seconds or 0:g} s, and a trial is "
            f"predicted to take {seconds:,} s here; use a longer one, such as: archsieve resume {run} --time-limit "
            f"{2 * seconds}s"
        )
        return Stop(StopKind.TIME_LIMIT, reason)

    def used(self, unfinished: Sequence[Trial]) -> Mapping[str, Any]:
        """Return how the session used its time, as JSON: the seconds of a worker that gave no result.

        ``unused_s`` are left because the next trial would not have ended in time, ``over_s`` passed after the limit,
        until the running epochs ended. ``unfinished_s`` were spent in trials that have no result yet.
        """
        remaining = self.remaining_s
        return {
            "limit_s": self.seconds,
            "unused_s": round(max(remaining, 0.0), 1),
            "over_s": round(max(-remaining, 0.0), 1),
            "unfinished": len(unfinished),
            "unfinished_s": round(sum(trial.duration_s or 0.0 for trial in unfinished), 1),
            "refused_s": None if self.refused_s is None else round(self.refused_s, 1),
        }
