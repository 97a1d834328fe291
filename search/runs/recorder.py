"""The recorder: what Tune asks for and what it reports, through the store; only the driver writes."""

import math
import random
import time
from collections.abc import Callable as Function
from dataclasses import asdict, dataclass, field
from typing import Any

from ...results.analysis.health import FINDING, Curve, details, findings
from ...results.database.errors import StoreError
from ...results.database.records import FailKind, History, Trial, TrialState
from ...results.database.store import Store
from ...spaces.architectures.cost import cost, layer_costs
from ..cluster.fault_injection import fault
from ..searchers.base import Proposal, Searcher
from ..tasks.base import Diagnosis
from ..trials.checkpoint_files import Checkpoints
from ..trials.failure_policy import ATTEMPTS, ConsecutiveFailures, Stop, StopKind
from ..trials.metrics import summary, write_metrics
from ..trials.report import Failure, TrialReport, TrialStart
from ..trials.spool import Spool, Spooled
from ..trials.trial_cache import TrialCache
from .run_control import RunControl


@dataclass
class Recorder:
    """The run of ``control``: proposals and results pass through here on their way to the store and to Tune.

    ``searcher`` makes the proposals; one that ``cache`` finds in an earlier run is not trained again. ``on_change`` is
    called whenever a trial starts, reports or ends. ``exhausted`` means that the searcher had nothing new to propose,
    ``doing`` is what is done when all trials have ended. A worker ends itself after ``timeout_s`` seconds of one trial.
    """

    control: RunControl
    searcher: Searcher
    seed: int
    trials: int
    checkpoints: Checkpoints
    spool: Spool
    timeout_s: float | None = None
    on_change: Function[["Recorder"], None] = lambda recorder: None
    cache: TrialCache | None = None
    exhausted: bool = False
    doing: str = ""
    running: dict[str, Trial] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)
    _failures: ConsecutiveFailures = field(default_factory=ConsecutiveFailures)
    _handed: set[int] = field(default_factory=set)
    _aside: list[Trial] = field(default_factory=list)
    _all_proposed: bool = False
    _history: History = field(default_factory=History)

    @property
    def store(self) -> Store:
        """Where everything is written."""
        return self.control.store

    @property
    def run_id(self) -> int:
        """The run's id in the store."""
        return self.control.run_id

    @property
    def stopping(self) -> Stop | None:
        """Why the run ends before its last trial; None while it continues."""
        return self.control.stopping

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: every trial has ended, and no new one will come."""
        history = self.history
        return not history.unfinished and (self.exhausted or len(history) >= self.trials)

    @property
    def history(self) -> History:
        """The run's trials, as the store has them now; those that have ended are read once."""
        self._history = self.store.history(self.run_id, self._history)
        return self._history

    def propose(self, key: str) -> Trial | None:
        """The next trial, written down before it is handed out; None where there is none.

        What an earlier driver or a dead worker left unfinished comes first. Chance comes from the run's seed and the
        trial's number alone, so a resumed run goes on as an unbroken one.
        """
        trial = self._next()
        if trial is not None:
            self._handed.add(trial.trial)
            self.running[key] = trial
        return trial

    @property
    def more_may_come(self) -> bool:
        """Whether a trial under way may lose its worker and be handed out again."""
        return self.stopping is None and bool(self.running or self._aside)

    @property
    def waiting(self) -> bool:
        """Whether a trial was handed out that no worker has begun."""
        return any(key not in self._began for key in self.running)

    def _next(self) -> Trial | None:
        self.tick()
        if self.stopping is not None:
            return None
        if self._aside:
            return self._aside.pop(0)
        if self._all_proposed:
            return None
        history = self.history
        left = next((trial for trial in history.unfinished if trial.trial not in self._handed), None)
        return left or self._untrained(history)

    def _untrained(self, history: History) -> Trial | None:
        """The next new trial that has to be trained; one that an earlier run has trained is linked to it and counts."""
        trial = self._new(history)
        while trial is not None and trial.source is not None:
            self._changed()
            trial = None if self.stopping is not None else self._new(self.history)
        return trial

    def _new(self, history: History) -> Trial | None:
        number = len(history)
        self._all_proposed = number >= self.trials
        if self._all_proposed:
            return None
        proposal = self.searcher.ask(history, random.Random(f"{self.seed}/{number}"))
        fault("after_suggest")
        if proposal is None:
            self.exhausted = self._all_proposed = True
            return None
        same = None if self.cache is None else self.cache.find(proposal)
        seed = random.Random(f"trial {self.seed}/{number}").getrandbits(31)  # of the trial's weights and batches
        return self._write(proposal, seed, source=None if same is None else same.trial)

    def _write(self, proposal: Proposal, seed: int, source: int | None) -> Trial:
        architecture = proposal.architecture
        price = cost(architecture, self.searcher.sieve.batch_size)
        if not self.searcher.sieve.allows(architecture):
            raise AssertionError(f"the searcher proposed {architecture}, which breaks {self.searcher.sieve.budget}")
        fault("before_insert")
        trial = self.store.propose(
            self.run_id,
            architecture=architecture.to_json(),
            fingerprint=architecture.fingerprint,
            cost=price.to_json(),
            layers=[row.to_json() for row in layer_costs(architecture)],
            choices=proposal.choices,
            recipe=proposal.recipe.to_json(),
            seed=seed,
            source=source,
        )
        fault("after_insert")
        return trial

    def started(self, key: str) -> None:
        """A worker begins with the trial."""
        self._began[key] = time.monotonic()
        self.store.start(self.running[key].trial)
        self._changed()

    def reported(self, key: str, report: TrialReport) -> None:
        """An epoch is done, or the trial has failed; after a resume its epochs come again and replace themselves."""
        self.tick()  # a driver that slept must find out first whether the run is still its own
        fault("before_report")
        self._keep("record", self.running[key], report)
        fault("after_report")
        self._changed()

    def completed(self, key: str, report: TrialReport) -> None:
        """The trial ended by itself, or a scheduler stopped it."""
        self.tick()
        fault("before_complete")
        self._keep("end", self.running.pop(key), report)
        fault("after_complete")
        self._changed()

    def lost(self, key: str, failure: Failure) -> None:
        """The worker died, or Tune could not run the trial: it is handed out again, but not for ever."""
        if key not in self.running:
            return
        trial = self.running.pop(key)
        if key not in self._began:  # its worker died before it could begin: that is an attempt too
            self.store.start(trial.trial)
        took_s = time.monotonic() - self._began.get(key, math.inf)
        if failure.kind is FailKind.WORKER_LOST and self.timeout_s is not None and took_s >= self.timeout_s:
            reason = f"it took longer than search.trial_timeout_s = {self.timeout_s:g} s"
            failure = Failure(FailKind.TIMEOUT, reason, failure.traceback)
        if failure.kind is not FailKind.WORKER_LOST or self._lost_again(trial, failure.reason) >= ATTEMPTS:
            self._failed(trial, failure)
        self._changed()

    def _keep(self, verb: str, trial: Trial, report: TrialReport) -> None:
        """Call ``record`` or ``end``; what the database cannot take is spooled, and the run stopped."""
        entry = Spooled(verb, trial.trial, report)
        if self.spool.file is not None:
            self.spool.add(entry)
            return
        try:
            getattr(self, verb)(trial, report)
        except StoreError as error:
            file = self.spool.add(entry)
            said = f"{error}; what was reported since lies in {file}, and a resume takes it up"
            self.stop(Stop(StopKind.ERROR, said, error=type(error)(said)))

    def replay(self) -> None:
        """Bring in what an earlier driver spooled; said twice, it changes nothing."""
        for verb, trial_id, report in self.spool.entries():
            trial = self.store.trial(trial_id)
            if not trial.state.final:
                getattr(self, verb)(trial, report)
        self.spool.clear()

    def record(self, trial: Trial, report: TrialReport) -> None:
        """Write down where a worker began and its metrics; one that failed may not have reported before."""
        if report.start is not None:
            self._resumed(trial, report.start)
        for problem in report.problems:
            self._event("checkpoint", problem, trial)
        write_metrics(self.store, self.run_id, trial, report, self.searcher.sieve)
        if report.latency_error is not None:
            self._event("not_measured", report.latency_error, trial)

    def end(self, trial: Trial, report: TrialReport) -> None:
        """Write down how a trial ended."""
        if report.diagnosis_error is not None:
            self._event("not_examined", report.diagnosis_error, trial)
        if report.failure is not None:
            self._failed(trial, report.failure, report.diagnosis)
            return
        stopped = report.epoch < trial.recipe["epochs"]
        state = TrialState.STOPPED_EARLY if stopped else TrialState.COMPLETED
        curve, final = self.store.curve(trial.trial), report.final_metrics
        self._examine(trial, curve, report.diagnosis, predicted=final.predicted)
        self.store.finish(trial.trial, state, summary=summary(curve, final.test_accuracy))
        self._failures.reset()
        self.checkpoints.of_trial(trial.trial).clear()

    def stop(self, stop: Stop) -> None:
        """End the run before its last trial; the first reason is the one that counts."""
        self.control.stop(stop)

    def _resumed(self, trial: Trial, start: TrialStart) -> None:
        """Write down where the worker is, and remove epochs after the one that it resumed from."""
        self.store.locate(trial.trial, device=start.device, node=start.host, pid=start.pid)
        if gone := self.store.rewind(trial.trial, start.epoch):
            reason = f"no checkpoint of the last {gone} epochs could be used; goes on after epoch {start.epoch}"
            self._event("rewound", reason, trial)

    def _lost_again(self, trial: Trial, reason: str) -> int:
        """Set a trial aside whose worker died, to be handed out again; return how many workers it has lost."""
        lost = self.store.interrupt(
            trial.trial, FailKind.WORKER_LOST.value, fail_kind=FailKind.WORKER_LOST, reason=reason
        )
        self._event("worker_lost", f"attempt {lost} of {ATTEMPTS}: {reason}", trial)
        if lost < ATTEMPTS:
            self._aside.append(trial)
        return lost

    def _failed(self, trial: Trial, failure: Failure, diagnosis: Diagnosis | None = None) -> None:
        kind, reason = failure.kind, failure.reason
        if kind is FailKind.DISK_FULL:
            self._paused(trial, reason)
            return
        curve = self.store.curve(trial.trial)
        if kind is FailKind.DIVERGED:
            self._examine(trial, curve, diagnosis, diverged=True)
        self.store.finish(trial.trial, TrialState.FAILED, fail_kind=kind, reason=reason, summary=summary(curve))
        self._event(kind.value, reason, trial, **({"traceback": failure.traceback} if failure.traceback else {}))
        if stop := self._failures.add(failure):
            self.stop(stop)
        self.checkpoints.of_trial(trial.trial).clear()

    def _paused(self, trial: Trial, reason: str) -> None:
        """The disk is full: the trial waits at its checkpoint, and so does the run."""
        self.store.interrupt(trial.trial, FailKind.DISK_FULL.value, fail_kind=FailKind.DISK_FULL, reason=reason)
        self._event(FailKind.DISK_FULL.value, reason, trial)
        self.stop(Stop(StopKind.DISK_FULL, f"the disk with {self.checkpoints.url} is full: {reason}"))

    def _examine(self, trial: Trial, curve: Curve, diagnosis: Diagnosis | None, **facts: Any) -> None:
        """Write down what the trial shows of its health, before it has ended: a driver that dies here does it again."""
        examined = None if diagnosis is None else asdict(diagnosis)
        for detail in details(findings(curve, self.searcher.sieve.space.classes, examined=examined, **facts)):
            self.store.add_event(self.run_id, "info", FINDING, detail, trial.trial)

    def _event(self, kind: str, reason: str, trial: Trial, **more: Any) -> None:
        self.store.add_event(self.run_id, "warning", kind, {"reason": reason, **more}, trial.trial)

    def tick(self) -> None:
        """Send a heartbeat when one is due."""
        self.control.tick()

    def say(self, doing: str) -> None:
        """Tell whoever watches what is being done now that all trials have ended."""
        self.doing = doing
        self._changed()

    def sweep(self) -> None:
        """Remove what a driver that was killed between two writes left of trials that have ended."""
        ended = {trial.trial for trial in self.history if trial.state.final}
        for trial in set(self.checkpoints.trials()) & ended:
            self.checkpoints.of_trial(trial).clear()

    def _changed(self) -> None:
        self.tick()
        self.on_change(self)
