"""The Tune adapter: what Tune asks for and reports, passed on to the recorder. Imports Ray, so it is imported late."""

import json
import pickle
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ray.exceptions import OutOfMemoryError, RayTaskError
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.search import Searcher as TuneSearcher

from ...results.database.records import FailKind
from ..cluster.capacity import ClusterCapacity
from ..trials.failure_policy import Stop, StopKind
from ..trials.report import Failure, TrialReport
from .recorder import Recorder

T = TypeVar("T")


class _Unpickled:
    """Tune pickles what it is given, for a restore of its own that is never used: there is nothing to keep."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


def guarded(recorder: Recorder, call: Callable[..., T], *arguments: Any) -> T | None:
    """Call the recorder; what it raises ends the run. Raised here, Tune would bury it, or blame the trial for it."""
    try:
        return call(*arguments)
    except Exception as error:
        recorder.stop(Stop(StopKind.ERROR, str(error), error=error))
        return None


class StoreSearch(_Unpickled, TuneSearcher):
    """Tune's searcher: it asks the recorder, when there is room for one more trial and no sooner.

    A trial that only waits was chosen without the results that come meanwhile. ``one_waits`` lets one wait all the
    same: a cluster that grows by demand sees it.
    """

    def __init__(self, recorder: Recorder, capacity: ClusterCapacity, *, one_waits: bool = False) -> None:
        super().__init__(metric="val_accuracy", mode="max")
        self.recorder, self.capacity, self.one_waits = recorder, capacity, one_waits

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        if not self._room():
            return None
        trial = guarded(self.recorder, self.recorder.propose, trial_id)
        if trial is None:
            return None if self.recorder.more_may_come else str(TuneSearcher.FINISHED)
        # one string: Tune flattens, copies and prints whatever structure it finds in a configuration
        told = {name: getattr(trial, name) for name in ("trial", "number", "architecture", "recipe", "seed")}
        return {"trial": json.dumps(told)}

    def _room(self) -> bool:
        running = self.recorder.running.values()
        if not running or (self.one_waits and not self.recorder.waiting):
            return True
        return not self.capacity.is_full(running)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to keep: the recorder hears of it through the callback."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class StoreCallback(_Unpickled, Callback):
    """Tune's callback: it tells the recorder."""

    def __init__(self, recorder: Recorder, capacity: ClusterCapacity) -> None:
        self.recorder, self.capacity = recorder, capacity
        self._on_usr1 = signal.getsignal(signal.SIGUSR1)

    def setup(self, *args: Any, **info: Any) -> None:
        """Take SIGUSR1 back: Tune has just put a handler over ours that ends the run without a reason."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._on_usr1)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        guarded(self.recorder, self.recorder.started, trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        guarded(self.recorder, self.recorder.tick)
        busy = any(trial.status == Trial.RUNNING for trial in trials)
        if reason := self.capacity.why_unavailable(busy=busy):
            self.recorder.stop(Stop(StopKind.NO_NODES, reason))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        guarded(self.recorder, self._report, trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        guarded(self.recorder, self._complete, trial.trial_id, trial.last_result or {})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        guarded(self.recorder, self.recorder.lost, trial.trial_id, _failure_of(_error(trial)))

    def _report(self, key: str, result: dict[str, Any]) -> None:
        self.recorder.reported(key, TrialReport.from_tune(result))

    def _complete(self, key: str, result: dict[str, Any]) -> None:
        self.recorder.completed(key, TrialReport.from_tune(result))


class StoreStopper(_Unpickled, Stopper):
    """Tune's stopper: it ends the run when the recorder says so."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.recorder.stopping is not None


def _error(trial: Any) -> Exception | None:
    """What ended the trial's worker, from the file that Tune has just written for a restore of its own."""
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return None
    error: Exception = pickle.loads(Path(path).read_bytes())
    return error


def _failure_of(error: Exception | None) -> Failure:
    """Why the worker that ``error`` ended was lost."""
    if isinstance(error, RayTaskError):
        from ..trials.trainable import failure_of

        return replace(failure_of(error.cause), traceback=str(error))
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    kind = FailKind.OOM if isinstance(error, OutOfMemoryError) else FailKind.WORKER_LOST
    return Failure(kind, lines[-1].partition(" Some common causes")[0] if lines else "the worker was lost")
