"""The recorder: gives Tune the proposed trials, and writes their reports to the store. Only the driver writes."""

import logging
import math
import time
from collections.abc import Callable as Function
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ...results.analysis.health import FINDING, Curve, event_details, findings
from ...results.database.errors import DiskFullError, StoreError, UnknownTrialError, first_clause, set_back
from ...results.database.records import FailKind, History, Trial, TrialState
from ...results.database.store import Store
from ...spaces.architectures.cost import cost, layer_costs
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ..cluster.fault_injection import fault
from ..searchers.base import Proposal, Searcher, check_inside_budget, proposal_rng, trial_seed
from ..tasks.base import Diagnosis
from ..trials.checkpoint_files import Checkpoints, identity_of_trial
from ..trials.failure_policy import MAX_ATTEMPTS, MAX_NODE_LOSSES, PAUSES, ConsecutiveFailures, Stop, StopKind
from ..trials.metrics import summary, write_final_metrics, write_metrics
from ..trials.report import Failure, TrialReport, TrialStart
from ..trials.reserve import disk_space
from ..trials.spool import Spool, Spooled
from ..trials.trial_cache import TrialCache
from .run_control import RunControl
from .spool_replay import replay
from .time_limit import TIME_LIMIT, TimeLimit

log = logging.getLogger("archsieve")


@dataclass
class Recorder:
    """Passes proposals and reports of one run between the searcher, the store and Tune.

    Args:
        control: the run in the store.
        searcher: makes the proposals.
        seed, trials: the seed of the run, and its number of trials.
        checkpoints: the checkpoints of the run's trials.
        spool: takes the reports that cannot be written to the store.
        limit: the time limit of the session.
        timeout_s: a worker ends itself after this many seconds of one trial; None for no limit.
        on_change: called whenever a trial starts, reports or ends.
        cache: finds trials of earlier runs, which are not trained again; None for no cache.
        selection: the metric that selects the best epoch of a trial.
        exhausted: whether the searcher had nothing new to propose.
        activity: what the run does after all trials have ended, as text for the progress display.
        running: the trials that Tune runs, by Tune's trial id ("key" in the methods below).
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
    limit: TimeLimit = field(default_factory=TimeLimit)
    selection: Selection = BY_ACCURACY
    exhausted: bool = False
    activity: str = ""
    running: dict[str, Trial] = field(default_factory=dict)
    _started_at: dict[str, float] = field(default_factory=dict)
    _epochs: dict[int, int] = field(default_factory=dict)  # epochs that each trial has reported, by id
    _failures: ConsecutiveFailures = field(default_factory=ConsecutiveFailures)
    _assigned: set[int] = field(default_factory=set)  # ids of the trials that Tune has got from this driver
    _retries: list[Trial] = field(default_factory=list)  # trials that lost their worker and wait for another one
    _all_proposed: bool = False  # then a question of Tune needs no query of the store
    _history: History = field(default_factory=History)

    @property
    def store(self) -> Store:
        """The results database."""
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
        """Whether every trial has ended and no new one will be proposed."""
        history, paused = self.history, self.stopping is not None and self.stopping.kind is StopKind.TIME_LIMIT
        ended = self.exhausted or self.out_of_time or len(history) >= self.trials
        return not (paused or history.unfinished) and ended

    @property
    def history(self) -> History:
        """The run's trials as they are in the store now. Trials that have ended are read only once."""
        self._history = self.store.history(self.run_id, self._history, curves=True)
        return self._history

    def propose(self, key: str) -> Trial | None:
        """Return the next trial to train, already in the store; None if there is none now.

        Trials that an earlier driver or a lost worker left unfinished come first. Random numbers depend only on the
        run's seed and the trial's number, so a resumed run proposes the same trials as an uninterrupted one.
        """
        trial = self._next()
        if trial is not None:
            # A running trial is unfinished in the store; without this set it would be proposed a second time.
            self._assigned.add(trial.trial)
            self.running[key] = trial
        return trial

    @property
    def may_propose_more(self) -> bool:
        """Whether an unfinished trial may lose its worker, so that :meth:`propose` returns it once more."""
        return self.stopping is None and bool(self.running or self._retries)

    @property
    def has_pending(self) -> bool:
        """Whether Tune has a trial that no worker has started yet."""
        return any(key not in self._started_at for key in self.running)

    def _next(self) -> Trial | None:
        self.tick()
        if self.stopping is not None:
            return None
        if self._retries:
            return self._retries.pop(0)
        if self._all_proposed:
            return None
        history = self.history
        unfinished = next((trial for trial in history.unfinished if trial.trial not in self._assigned), None)
        return unfinished or (None if self._is_out_of_time(history) else self._next_untrained(history))

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit came before the last trial."""
        return self.limit.reached

    def _is_out_of_time(self, history: History) -> bool:
        """Return whether no new trial may be proposed; the first one starts in any case."""
        if self.limit.over and 0 < len(history) < self.trials:
            self._end_by_time(history)
        return self.out_of_time

    def _end_by_time(self, history: History) -> None:
        self._all_proposed = True
        self.limit.end(self.control, self.run_name, len(history), self.trials, started=bool(self._assigned))

    def pauses(self, key: str, report: TrialReport) -> bool:
        """Return whether the time limit pauses a trial after this report; a resume continues it after this epoch."""
        if self.limit.deadline is None or report.done or key not in self._started_at:
            return False
        self.limit.observe(key, report.epoch)
        if not self.history.ended:
            epochs = {key: (trial.recipe["epochs"], self._started_at.get(key)) for key, trial in self.running.items()}
            self.limit.check_first_trials(self.control, self.run_name, epochs)
        if self.limit.over:
            self.limit.pause(key)
            self._end_by_time(self.history)
        return self.limit.over

    def _next_untrained(self, history: History) -> Trial | None:
        """Propose trials until one has to be trained, and return it.

        A trial that the cache finds in an earlier run is stored with a link to that trial. It counts as a trial of this
        run.
        """
        trial = self._propose_new(history)
        while trial is not None and trial.source is not None:
            self._changed()
            trial = None if self.stopping is not None else self._propose_new(self.history)
        return trial

    def _propose_new(self, history: History) -> Trial | None:
        number = len(history)
        self._all_proposed = number >= self.trials
        if self._all_proposed:
            return None
        proposal = self.searcher.ask(history, proposal_rng(self.seed, number))
        fault("after_suggest")
        if proposal is None:
            self.exhausted = self._all_proposed = True
            return None
        cached = None if self.cache is None else self.cache.find(proposal)
        macs, epochs = proposal.architecture.cost.macs, proposal.recipe.epochs
        if cached is None and not self.limit.allows(macs, epochs, history):
            self._end_by_time(history)
            return None
        return self._insert(proposal, trial_seed(self.seed, number), None if cached is None else cached.trial)

    def _insert(self, proposal: Proposal, seed: int, source: int | None) -> Trial:
        architecture = proposal.architecture
        constrained = self.searcher.constrained
        network_cost = cost(architecture, constrained.batch_size)
        check_inside_budget(constrained, architecture, "the searcher of this run")
        fault("before_insert")
        trial = self.store.propose(
            self.run_id,
            architecture=architecture.to_json(),
            fingerprint=architecture.fingerprint,
            cost={**network_cost.to_json(), **constrained.device_metrics(architecture)},
            layers=[row.to_json() for row in layer_costs(architecture)],
            choices=proposal.choices,
            recipe=proposal.recipe.to_json(),
            seed=seed,
            source=source,
        )
        fault("after_insert")
        return trial

    def started(self, key: str) -> None:
        """Record that a worker has started the trial."""
        self._started_at[key] = time.monotonic()
        if not self.control.database_lost:
            self.store.start(self.running[key].trial)
        self._changed()

    def reported(self, key: str, report: TrialReport) -> None:
        """Record an epoch or a failure of the trial. After a resume, repeated epochs replace the stored ones."""
        self.tick()  # raises if this process was suspended and another one drives the run now
        fault("before_report")
        self._write_or_spool("record", self.running[key], report)
        fault("after_report")
        self._changed()

    def completed(self, key: str, report: TrialReport) -> None:
        """Record that the trial has ended by itself, or that a scheduler has stopped it."""
        self.tick()
        if self.limit.take_paused(key):
            trial = self.running.pop(key)
            self.store.interrupt(trial.trial, TIME_LIMIT, reason="the time limit of the search was reached")
            self._changed()
            return
        fault("before_complete")
        self._write_or_spool("end", self.running.pop(key), report)
        fault("after_complete")
        self._changed()

    def lost(self, key: str, failure: Failure, alone: bool = True) -> None:
        """Record that the worker died, ``alone`` or with its node, or that Tune could not run the trial.

        The trial is proposed again, until it has lost ``MAX_ATTEMPTS`` workers or ``MAX_NODE_LOSSES`` nodes. After the
        loss of the database nothing is recorded: a resume of the run trains the trial again.
        """
        trial = self.running.pop(key, None)
        if trial is None or self.control.database_lost:
            return
        if key not in self._started_at:  # the worker died before it started the trial; this counts as an attempt, too
            self.store.start(trial.trial)
        elapsed_s = time.monotonic() - self._started_at.get(key, math.inf)
        if failure.kind is FailKind.WORKER_LOST and self.timeout_s is not None and elapsed_s >= self.timeout_s:
            reason = f"the trial took longer than search.trial_timeout_s = {self.timeout_s:g} s"
            failure = Failure(FailKind.TIMEOUT, reason, failure.traceback)
        if failure.kind is not FailKind.WORKER_LOST or not self._retry(trial, failure.reason, alone):
            self._failed(trial, failure)
        self._changed()

    def _write_or_spool(self, verb: str, trial: Trial, report: TrialReport) -> None:
        """Call ``record`` or ``end``, as ``verb`` names. If the database fails, spool the report and stop the run."""
        after = self._epochs.get(trial.trial, trial.epochs_done)
        self._epochs[trial.trial] = report.epoch if report.epochs else after
        entry = Spooled(verb, trial.trial, report, identity_of_trial(trial), after)
        # After the first failure everything goes to the spool, so that a resume writes the reports in their order.
        if self.spool.file is not None or self.control.database_lost:
            self.spool.add(entry)
            return
        try:
            getattr(self, verb)(trial, report)
        except (StoreError, UnknownTrialError) as error:
            file = self.spool.add(entry)
            if isinstance(error, DiskFullError):
                error = DiskFullError(f"{error}; {disk_space(self.spool.folder)}")
            cause = set_back(first_clause(error)) if isinstance(error, UnknownTrialError) else error
            message = f"{cause}; later reports are saved in {file}, and a resume of the run writes them to the database"
            self.control.lose_database(type(cause)(message))

    def replay(self) -> None:
        """Write the reports that an earlier driver spooled. Writing a report twice changes nothing."""
        replay(self.spool, self.store, self.run_name, lambda verb, trial, report: getattr(self, verb)(trial, report))

    @cached_property
    def run_name(self) -> str:
        """The name of the run."""
        return self.store.run_settings(self.run_id).name

    def record(self, trial: Trial, report: TrialReport) -> None:
        """Write the start of a worker and its metrics. Also called for a failure, which may be the first report."""
        if report.start is not None:
            self._resumed(trial, report.start)
        for problem in report.problems:
            self._event("checkpoint", problem, trial)
        write_metrics(self.store, self.run_id, trial, report, self.searcher.constrained)
        if report.latency_error is not None:
            self._event("latency_failed", report.latency_error, trial)

    def end(self, trial: Trial, report: TrialReport) -> None:
        """Write how a trial ended."""
        if report.diagnosis_error is not None:
            self._event("diagnosis_failed", report.diagnosis_error, trial)
        for problem in report.final_metrics.problems:
            self._event("test_metric_failed", problem, trial)
        if report.failure is not None:
            self._failed(trial, report.failure, report.diagnosis)
            return
        # A scheduler stops a trial without a failure, before its last report. Closed forms are done after one epoch.
        stopped = not report.done and report.epoch < trial.recipe["epochs"]
        state = TrialState.STOPPED_EARLY if stopped else TrialState.COMPLETED
        curve, final = self.store.curve(trial.trial), report.final_metrics
        self._record_findings(trial, curve, report.diagnosis, predicted=final.predicted)
        ended = summary(curve, final.test_accuracy, self.selection, trial.recipe)
        write_final_metrics(self.store, trial, ended.get("best_epoch", 0), final)
        self.store.finish(trial.trial, state, summary=ended, predictions=report.predictions)
        self._failures.reset()
        # Only after the store has the end: a driver that dies here leaves files that sweep() removes, not an unfinished
        # trial without its checkpoint.
        self.checkpoints.of_trial(trial.trial).clear(identity_of_trial(trial))

    def stop(self, stop: Stop) -> None:
        """Stop the run before its last trial. The first reason is kept; later ones are ignored."""
        self.control.stop(stop)

    def _resumed(self, trial: Trial, start: TrialStart) -> None:
        """Write where the worker runs, and remove the epochs after the one that it resumed from."""
        self.store.locate(trial.trial, device=start.device, node=start.host, pid=start.pid)
        if removed := self.store.rewind(trial.trial, start.epoch):
            reason = f"no checkpoint of the last {removed} epochs could be used; resuming after epoch {start.epoch}"
            self._event("rewound", reason, trial)

    def _retry(self, trial: Trial, reason: str, alone: bool) -> bool:
        """Queue a trial whose worker died for another attempt; return False if it has lost too many workers."""
        outcome, limit = ("worker_lost", MAX_ATTEMPTS) if alone else ("node_lost", MAX_NODE_LOSSES)
        lost = self.store.interrupt(trial.trial, outcome, fail_kind=FailKind.WORKER_LOST, reason=reason)
        self._event(outcome, f"attempt {lost} of {limit}: {reason}", trial)
        if lost < limit:
            self._retries.append(trial)
        return lost < limit

    def _failed(self, trial: Trial, failure: Failure, diagnosis: Diagnosis | None = None) -> None:
        kind, reason = failure.kind, failure.reason
        if kind in PAUSES:
            self._pause(trial, kind, reason)  # not a failure of the trial: it continues when the cause is gone
            return
        curve = self.store.curve(trial.trial)
        if kind is FailKind.DIVERGED:
            self._record_findings(trial, curve, diagnosis, diverged=True)
        self.store.finish(
            trial.trial,
            TrialState.FAILED,
            fail_kind=kind,
            reason=reason,
            summary=summary(curve, selection=self.selection, recipe=trial.recipe),
        )
        self._event(kind.value, reason, trial, **({"traceback": failure.traceback} if failure.traceback else {}))
        if stop := self._failures.add(failure):
            self.stop(stop)
        self.checkpoints.of_trial(trial.trial).clear(identity_of_trial(trial))

    def _pause(self, trial: Trial, kind: FailKind, reason: str) -> None:
        """Interrupt the trial at its checkpoint and stop the run, because no trial can go on now."""
        self.store.interrupt(trial.trial, kind.value, fail_kind=kind, reason=reason)
        self._event(kind.value, reason, trial)
        where = f"the disk of {self.checkpoints.url} is full: " if kind is FailKind.DISK_FULL else ""
        self.stop(Stop(PAUSES[kind], f"{where}{reason}"))

    def _record_findings(self, trial: Trial, curve: Curve, diagnosis: Diagnosis | None, **facts: Any) -> None:
        """Write the health findings of the trial.

        Called before the trial is marked as ended, so that a driver that dies here repeats it after a resume.
        """
        examined = None if diagnosis is None else asdict(diagnosis)
        found = findings(curve, self.searcher.constrained.space.classes, examined=examined, **facts)
        for detail in event_details(found):
            self.store.add_event(self.run_id, "info", FINDING, detail, trial.trial)

    def _event(self, kind: str, reason: str, trial: Trial, **more: Any) -> None:
        self.store.add_event(self.run_id, "warning", kind, {"reason": reason, **more}, trial.trial)

    def tick(self) -> None:
        """Send a heartbeat if one is due."""
        self.control.tick()

    def show_activity(self, activity: str) -> None:
        """Show in the progress display what the run does after all trials have ended."""
        self.activity = activity
        self._changed()

    def sweep(self) -> None:
        """Remove the checkpoints of ended trials. A driver that is killed between two writes leaves them."""
        ended = {trial.trial: trial for trial in self.history if trial.state.final}
        for trial in set(self.checkpoints.trials()) & set(ended):
            self.checkpoints.of_trial(trial).clear(identity_of_trial(ended[trial]))

    def _changed(self) -> None:
        self.tick()
        self.on_change(self)
