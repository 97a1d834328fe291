"""Figures: what a worker reports of a trial, written to the store."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...results.database.latency_records import record_trial
from ...results.database.proxy_records import record_scores
from ...results.database.records import Trial
from ...results.database.store import Store
from ...results.database.training_records import AUGMENTATION, LR_FOUND
from ...results.database.zero_shot_records import OF_ZERO_SHOT
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace

FIGURES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")

METRICS = (
    *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_accuracy_std", "lr", "seconds"),
    *OF_ZERO_SHOT,
)


def write_figures(store: Store, run_id: int, trial: Trial, result: Mapping[str, Any], sieve: ConstrainedSpace) -> None:
    """Write down the epochs of a report, the learning rates found, augmentation's cost, proxies' scores and latency.

    Beside a latency stands what ``sieve`` had predicted, where it has a clock.
    """
    for epoch in result.get("epochs", [result] if "epoch" in result else []):
        metrics = {name: epoch[name] for name in METRICS if name in epoch}
        store.record_epoch(trial.trial, epoch["epoch"], metrics)
    for found in result.get("lrs_found", ()):
        store.add_event(run_id, "info", LR_FOUND, found, trial.trial)
    if "augmentation_cost" in result:
        store.add_event(run_id, "info", AUGMENTATION, result["augmentation_cost"], trial.trial)
    if "proxies" in result:
        record_scores(store, run_id, trial.fingerprint, result["proxies"])
    if "measured" in result:
        predicted = sieve.latency_ns(Architecture.from_json(trial.architecture)) / 1e6 if sieve.latency_model else None
        record_trial(store, trial.trial, result["measured"], predicted_ms=predicted)


def summary(
    curve: Mapping[str, Sequence[tuple[int, float]]], result: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The figures of the best epoch of ``curve``, with the test accuracy that the last ``result`` tells.

    Of equal accuracies the lower loss counts, then the earlier epoch. The test accuracy chooses nothing.
    """
    told = {name: dict(points) for name, points in curve.items()}
    accuracies = {epoch: value for epoch, value in told.get("val_accuracy", {}).items() if math.isfinite(value)}
    if not accuracies:
        return {"epochs_done": 0}
    losses = told["val_loss"]
    best = max(accuracies, key=lambda epoch: (accuracies[epoch], -losses[epoch], -epoch))
    figures = {name: told[name][best] for name in FIGURES}
    tested = (result or {}).get("test_accuracy")
    tests = {} if tested is None else {"test_accuracy": tested}
    return {**figures, **tests, "epochs_done": max(accuracies), "best_epoch": best}
