"""The recorder: what Tune asks for and what it reports, through the store; only the driver writes."""

import math
import random
import time
from collections.abc import Callable as Function
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..results.records import FailKind, History, Trial, TrialState
from ..results.store import Store
from ..spaces.cost import cost, layer_costs
from .checkpoint_files import checkpoint_path, drop
from .searchers import Proposal, Searcher

HEARTBEAT_S = 20
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds")


@dataclass
class Recorder:
    """One run being driven: proposals and results pass through here on their way to the store and to Tune.

    ``folder`` is the run's own, where the checkpoints lie. ``on_change`` is called whenever a trial starts, reports or
    ends. ``exhausted`` says that the searcher had nothing new to propose.
    """

    store: Store
    run_id: int
    searcher: Searcher
    seed: int
    trials: int
    folder: Path
    on_change: Function[["Recorder"], None] = lambda recorder: None
    exhausted: bool = False
    running: dict[str, Trial] = field(default_factory=dict)
    _handed: set[int] = field(default_factory=set)
    _beat: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        """Trials still to be run: those to propose, and those proposed and not ended."""
        return self.trials - sum(trial.state.final for trial in self.store.history(self.run_id))

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: every trial has ended, and no new one will come."""
        history = self.store.history(self.run_id)
        return not history.unfinished and (self.exhausted or len(history) >= self.trials)

    def propose(self, key: str) -> Trial | None:
        """The next trial, written down before it is handed out; None where there is none.

        What an earlier driver left unfinished comes first. Chance comes from the run's seed and the trial's number
        alone, so a resumed run goes on as an unbroken one.
        """
        history = self.store.history(self.run_id)
        left = next((trial for trial in history.unfinished if trial.trial not in self._handed), None)
        trial = left or self._new(history)
        if trial is not None:
            self._handed.add(trial.trial)
            self.running[key] = trial
        return trial

    def _new(self, history: History) -> Trial | None:
        number = len(history)
        if number >= self.trials:
            return None
        proposal = self.searcher.ask(history, random.Random(f"{self.seed}/{number}"))
        if proposal is None:
            self.exhausted = True
            return None
        return self._write(proposal, trial_seed(self.seed, number))

    def _write(self, proposal: Proposal, seed: int) -> Trial:
        architecture = proposal.architecture
        price = cost(architecture, self.searcher.sieve.batch_size)
        if not self.searcher.sieve.budget.allows(price):
            raise AssertionError(f"the searcher proposed {architecture}, which breaks {self.searcher.sieve.budget}")
        return self.store.propose(
            self.run_id,
            architecture=architecture.to_json(),
            fingerprint=architecture.fingerprint,
            cost=price.to_json(),
            layers=[row.to_json() for row in layer_costs(architecture)],
            choices=proposal.choices,
            recipe=proposal.recipe.to_json(),
            seed=seed,
        )

    def started(self, key: str) -> None:
        """A worker begins with the trial."""
        self.store.start(self.running[key].trial)
        self._changed()

    def reported(self, key: str, result: dict[str, Any]) -> None:
        """An epoch is done, or the trial has failed; after a resume its epochs come again and replace themselves."""
        if "fail_kind" not in result:
            for epoch in result.get("epochs", [result] if "epoch" in result else []):
                metrics = {name: epoch[name] for name in METRICS if name in epoch}
                self.store.record_epoch(self.running[key].trial, epoch["epoch"], metrics)
        self._changed()

    def completed(self, key: str, result: dict[str, Any]) -> None:
        """The trial ended by itself, or a scheduler stopped it."""
        trial = self.running.pop(key)
        if "fail_kind" in result:
            self._failed(trial, FailKind(result["fail_kind"]), result["reason"])
            return
        stopped = result.get("epoch", 0) < trial.recipe["epochs"]
        state = TrialState.STOPPED_EARLY if stopped else TrialState.COMPLETED
        self.store.finish(trial.trial, state, summary=self._summary(trial, result))
        drop(checkpoint_path(self.folder, trial.trial))
        self._changed()

    def lost(self, key: str, reason: str) -> None:
        """The worker died, or Tune could not run the trial."""
        if key in self.running:
            self._failed(self.running.pop(key), FailKind.WORKER_LOST, reason)

    def _failed(self, trial: Trial, kind: FailKind, reason: str) -> None:
        summary = self._summary(trial, {})
        self.store.finish(trial.trial, TrialState.FAILED, fail_kind=kind, reason=reason, summary=summary)
        self.store.add_event(self.run_id, "warning", kind.value, {"reason": reason}, trial.trial)
        drop(checkpoint_path(self.folder, trial.trial))
        self._changed()

    def _summary(self, trial: Trial, result: dict[str, Any]) -> dict[str, Any]:
        """The figures of the best validation epoch, read back from the store."""
        curve = {name: dict(points) for name, points in self.store.curve(trial.trial).items()}
        accuracies = {epoch: value for epoch, value in curve.get("val_accuracy", {}).items() if math.isfinite(value)}
        if not accuracies:
            return {"epochs_done": 0}
        losses = curve["val_loss"]
        best = max(accuracies, key=lambda epoch: (accuracies[epoch], -losses[epoch], -epoch))
        names = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
        summary = {name: curve[name][best] for name in names}
        if result.get("test_accuracy") is not None:
            summary["test_accuracy"] = result["test_accuracy"]
        return {**summary, "epochs_done": max(accuracies), "best_epoch": best}

    def _changed(self) -> None:
        if time.monotonic() - self._beat > HEARTBEAT_S:
            self.store.heartbeat(self.run_id)
            self._beat = time.monotonic()
        self.on_change(self)


def trial_seed(seed: int, number: int) -> int:
    """The seed of trial ``number``'s weights and batches: below 2**31, the same on every machine."""
    return random.Random(f"trial {seed}/{number}").getrandbits(31)
