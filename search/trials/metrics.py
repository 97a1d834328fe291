"""Metrics: write the reports of a trial to the store, and summarise its best epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...results.database.latency_records import record_trial
from ...results.database.proxy_records import record_scores
from ...results.database.records import Trial
from ...results.database.store import Store
from ...results.database.training_records import AUGMENTATION, LR_FOUND, WEIGHTS_LOADED
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.recipes.fidelity import FIDELITY, is_whole
from ...spaces.recipes.recipe import float_epochs
from ..tasks.base import FinalMetrics
from .report import TrialReport

SUMMARY_METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


def write_metrics(store: Store, run_id: int, trial: Trial, report: TrialReport, constrained: ConstrainedSpace) -> None:
    """Write the metrics of a report to the store.

    These are the epochs, the learning rates that the finder chose, the cost of augmentation, the loaded weights, the
    proxy scores and the latency in ms. A latency is stored with the prediction of ``constrained`` if that has a latency
    model.
    """
    for epoch in report.epochs:
        store.record_epoch(trial.trial, epoch.epoch, epoch.values)
    for search in report.start_metrics.lrs_found:
        store.add_event(run_id, "info", LR_FOUND, search, trial.trial)
    if report.start_metrics.augmentation_cost is not None:
        store.add_event(run_id, "info", AUGMENTATION, report.start_metrics.augmentation_cost, trial.trial)
    if report.start_metrics.weights is not None:
        store.add_event(run_id, "info", WEIGHTS_LOADED, report.start_metrics.weights, trial.trial)
    if report.proxies is not None:
        record_scores(store, run_id, trial.fingerprint, report.proxies)
    if report.latency is not None:
        predicted = (
            constrained.latency_ns(Architecture.from_json(trial.architecture)) / 1e6
            if constrained.latency_model
            else None
        )
        record_trial(store, trial.trial, report.latency, predicted_ms=predicted)


def write_final_metrics(store: Store, trial: Trial, best_epoch: int, final: FinalMetrics) -> None:
    """Write the metrics of the test, and those in int8, both measured with the weights of ``best_epoch``."""
    store.record_test(trial.trial, best_epoch, final.test_metrics)
    if final.int8:
        store.record_int8(trial.trial, best_epoch, final.int8)


def summary(
    curve: Mapping[str, Sequence[tuple[int, float]]],
    test_accuracy: float | None = None,
    selection: Selection = BY_ACCURACY,
    recipe: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the metrics of the best epoch, with the trial's ``test_accuracy`` if it has one.

    Args:
        curve: (epoch, value) pairs by metric name.
        test_accuracy: accuracy on the test images, or None.
        selection: the metric that selects; one in int8 selects the epoch by its value in float32.
        recipe: that of the trial as JSON; the best epoch is one of its quantisation-aware training, if there are any.

    The best epoch has the best selecting metric, then the lowest loss, then the lowest number. The test accuracy does
    not influence the choice, because that would bias the test estimate. Epochs at a lower fidelity are no results: a
    trial that was stopped before the whole fidelity has no best epoch and no metrics.
    """
    values = {name: dict(points) for name, points in curve.items()}
    measured = _scores(values, selection)
    if not measured:
        return {"epochs_done": 0}  # no epoch was finished, or each one diverged
    fidelities = values.get(FIDELITY, {})
    scores = {epoch: score for epoch, score in measured.items() if is_whole({FIDELITY: fidelities.get(epoch)})}
    if not scores:
        return {"epochs_done": max(measured)}
    losses = values.get("val_loss", {})  # a custom training function may report none
    after = 0 if recipe is None else float_epochs(recipe)
    aware = [epoch for epoch in scores if epoch > after]
    best = max(aware or scores, key=lambda epoch: (scores[epoch], -losses.get(epoch, math.inf), -epoch))
    tests = {} if test_accuracy is None else {"test_accuracy": test_accuracy}
    metrics = {name: values[name][best] for name in SUMMARY_METRICS if best in values.get(name, {})}
    return {**metrics, **tests, "epochs_done": max(measured), "best_epoch": best}


def _scores(values: Mapping[str, Mapping[int, float]], selection: Selection) -> dict[int, float]:
    """Return the score of each epoch with a finite accuracy and a finite value of the selecting metric."""
    accuracies = values.get("val_accuracy", {})
    finite = (epoch for epoch, value in accuracies.items() if math.isfinite(value))
    of_epoch = {epoch: {name: points.get(epoch) for name, points in values.items()} for epoch in finite}
    scores = {epoch: selection.of_epochs.score(metrics) for epoch, metrics in of_epoch.items()}
    return {epoch: score for epoch, score in scores.items() if score is not None}
