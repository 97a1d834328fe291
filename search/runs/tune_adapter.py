"""The Tune adapter: connects Tune's searcher, callback and stopper to the recorder.

Imports Ray, so the driver imports it only when Ray is running.
"""

import json
import pickle
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayTaskError
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.search import Searcher as TuneSearcher

from ...results.database.records import FailKind
from ..cluster.capacity import ClusterCapacity
from ..cluster.ray_watch import ray_death
from ..schedulers.settings import SCORE
from ..trials.failure_policy import Stop, StopKind
from ..trials.report import Failure, TrialReport
from ..trials.trainable import COUNTS
from .recorder import Recorder

T = TypeVar("T")


class _Unpickled:
    """Pickles as an empty object. Tune pickles its components for a restore, which archsieve never uses."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


def guarded(recorder: Recorder, call: Callable[..., T], *arguments: Any) -> T | None:
    """Call the recorder; if it raises, stop the run with this error and return None.

    If the error reached Tune, Tune would hide it or count it as a failure of the trial.
    """
    try:
        return call(*arguments)
    except Exception as error:
        recorder.control.fail(error)
        return None


class StoreSearch(_Unpickled, TuneSearcher):
    """Tune's searcher: asks the recorder for a trial when the cluster has room for one.

    A trial that waits in a queue was chosen without the results that arrive in the meantime. With ``keep_one_pending``
    one trial waits all the same, because an autoscaling cluster grows only when it sees unmet demand.
    """

    def __init__(self, recorder: Recorder, capacity: ClusterCapacity, *, keep_one_pending: bool = False) -> None:
        super().__init__(metric=SCORE, mode="max")
        self.recorder, self.capacity, self.keep_one_pending = recorder, capacity, keep_one_pending

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        if not self._has_room():
            return None
        trial = guarded(self.recorder, self.recorder.propose, trial_id)
        if trial is None:
            return None if self.recorder.may_propose_more else str(TuneSearcher.FINISHED)
        # One string, because Tune flattens, copies and prints every structure in a configuration.
        keys = ("trial", "number", "architecture", "recipe", "seed", *COUNTS)
        config = {name: getattr(trial, name) for name in keys}
        return {"trial": json.dumps(config)}

    def _has_room(self) -> bool:
        running = self.recorder.running.values()
        if not running or (self.keep_one_pending and not self.recorder.has_pending):
            return True
        return not self.capacity.is_full(running)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: the callback informs the recorder."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store holds the state of the search."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a resume reads the store."""


class StoreCallback(_Unpickled, Callback):
    """Tune's callback: passes the events of trials to the recorder."""

    def __init__(self, recorder: Recorder, capacity: ClusterCapacity) -> None:
        self.recorder, self.capacity = recorder, capacity
        self._ended: list[Any] = []  # trials that Tune has not finished with yet
        # Read the handler here: Tune replaces it when the run starts, just before it calls setup().
        self._on_usr1 = signal.getsignal(signal.SIGUSR1)

    def setup(self, *args: Any, **info: Any) -> None:
        """Restore our SIGUSR1 handler: Tune has just replaced it by one that ends the run without a reason."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._on_usr1)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        guarded(self.recorder, self.recorder.started, trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        guarded(self.recorder, self.recorder.tick)
        self._ended = [trial for trial in self._ended if not released(trial)]
        busy = any(trial.status == Trial.RUNNING for trial in trials)
        if reason := self.capacity.why_unavailable(busy=busy):
            self.recorder.stop(Stop(StopKind.NO_NODES, reason))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        guarded(self.recorder, self._report, trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        guarded(self.recorder, self._complete, trial.trial_id, trial.last_result or {})
        self._ended.append(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if death := ray_death(self.recorder.run_name):  # then every worker is lost; the trials are resumed
            self.recorder.stop(Stop(StopKind.ERROR, str(death), error=death))
            return
        error = _error(trial)
        guarded(self.recorder, self.recorder.lost, trial.trial_id, _failure_of(error), _died_alone(error))
        self._ended.append(trial)

    def _report(self, key: str, result: dict[str, Any]) -> None:
        self.recorder.reported(key, TrialReport.from_tune(result))

    def _complete(self, key: str, result: dict[str, Any]) -> None:
        self.recorder.completed(key, TrialReport.from_tune(result))


def released(trial: Any) -> bool:
    """Free what Tune holds of a trial that has ended; return False while Tune still needs it.

    Tune keeps all trials, with 50 kB for each: configuration, last result, statistics of each metric, and all of it
    again as JSON for a restore, which archsieve never uses.
    """
    if not trial.is_finished():
        return False
    for name in ("config", "evaluated_params", "_Trial__unresolved_config"):
        setattr(trial, name, {})
    for name in ("last_result", "metric_analysis", "metric_n_steps"):
        setattr(trial.run_metadata, name, {})
    trial.invalidate_json_state()
    return True


class StoreStopper(_Unpickled, Stopper):
    """Tune's stopper: ends the run when the recorder is stopping, and pauses trials after the time limit."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        # schedulers stop the other single trials
        return bool(guarded(self.recorder, self.recorder.pauses, trial_id, TrialReport.from_tune(result)))

    def stop_all(self) -> bool:
        return self.recorder.stopping is not None


def _error(trial: Any) -> Exception | None:
    """Return the error that ended the trial's worker, from the file that Tune has just written; None without one."""
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return None
    error: Exception = pickle.loads(Path(path).read_bytes())
    return error


def _died_alone(error: Exception | None) -> bool:
    """Return whether a worker died, and not its node or the connection to it."""
    return not isinstance(error, ActorUnavailableError) and "node has died" not in str(error)


def _failure_of(error: Exception | None) -> Failure:
    """Return the failure of a trial whose worker ended with ``error``."""
    if isinstance(error, RayTaskError):
        from ..trials.trainable import failure_of

        return replace(failure_of(error.cause), traceback=str(error))
    # The last line of Ray's message has the cause; general advice follows it on the same line.
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    kind = FailKind.OOM if isinstance(error, OutOfMemoryError) else FailKind.WORKER_LOST
    return Failure(kind, lines[-1].partition(" Some common causes")[0] if lines else "the worker was lost")
