"""The bridge: what Tune asks for and reports, passed on to the recorder. Imports Ray, so it is imported late."""

import json
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher as TuneSearcher

from .recorder import Recorder


class _Unpickled:
    """Tune pickles what it is given, for a restore of its own that is never used: there is nothing to keep."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class StoreSearch(_Unpickled, TuneSearcher):
    """Tune's searcher: it asks the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(metric="val_accuracy", mode="max")
        self.recorder = recorder

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]
        trial = self.recorder.propose(trial_id)
        if trial is None:
            return str(TuneSearcher.FINISHED)
        # one string: Tune flattens, copies and prints whatever structure it finds in a configuration
        told = {name: getattr(trial, name) for name in ("trial", "number", "architecture", "recipe", "seed")}
        return {"trial": json.dumps(told)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to keep: the recorder hears of it through the callback."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class StoreCallback(_Unpickled, Callback):
    """Tune's callback: it tells the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.recorder.started(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.recorder.reported(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.recorder.completed(trial.trial_id, trial.last_result or {})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.recorder.lost(trial.trial_id, _last_line(trial.get_pickled_error() or trial.get_error() or "worker lost"))


def _last_line(error: Any) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "the worker was lost"
