"""The health of a trial: what its learning curve shows, each finding with its facts and its cure.

A curve is figure -> [(epoch, value), ...], epochs from 1. Accuracies are fractions. ``train_accuracy`` is a running
mean over augmented images under dropout: it understates, so ``underfit`` is only said where validation is low too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .reading import Reading

FINDING = "finding"  # the kind of the event that keeps one
LR_FOUND = "lr_found"  # the kind of the event that keeps the learning rate of lr = "auto", with every try

LOSS_RISES = 1.1  # last training loss, in parts of the first
LOSS_FALLS = 0.7  # the same, where the loss has clearly fallen
LOW = 0.8  # accuracies in training and validation below it are an underfit
GAP = 0.1  # of training over validation accuracy: an overfit
VAL_LOSS_RISES = 1.25  # last validation loss, in parts of the least: an overfit, while the training loss falls
CONSTANT = 0.99  # share of all predictions that one class gets where a network has collapsed
CHANCE = 1.5  # times the accuracy of guessing: still at chance
STILL = 3  # epochs of one and the same accuracy at chance: a collapse

Curve = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True)
class Finding:
    """What is wrong, in a word, and in a sentence with the figures and what to do."""

    kind: str
    said: str


def findings(
    curve: Curve, n_classes: int, *, diverged: bool = False, predicted: Mapping[str, Any] | None = None
) -> list[Finding]:
    """All that ``curve`` shows; none for a healthy trial.

    ``diverged`` says that the trial ended on a loss that was not finite. ``predicted`` is how the final network's
    validation predictions fall: ``classes`` predicted at all, and the ``top_share`` of the one predicted most.
    """
    values = {name: [value for _, value in sorted(points)] for name, points in curve.items()}
    broken = diverged or not all(math.isfinite(v) for name in ("train_loss", "val_loss") for v in values.get(name, ()))
    if broken:
        return [Finding("diverged", 'a loss is no longer finite; lower recipe.lr, warm up, or take lr = "auto"')]
    if not values.get("train_loss") or not values.get("val_accuracy"):
        return []
    found = [*_rising(values["train_loss"]), *_collapsed(values, n_classes, predicted)]
    return found or [*_chance(values, n_classes)] or [*_underfit(values), *_overfit(values)]


def _rising(losses: Sequence[float]) -> Iterator[Finding]:
    first, last = losses[0], losses[-1]
    if last > LOSS_RISES * first:
        yield Finding("rising", f"the training loss rose from {first:.3g} to {last:.3g}; lower recipe.lr")


def _collapsed(
    values: Mapping[str, list[float]], n_classes: int, predicted: Mapping[str, Any] | None
) -> Iterator[Finding]:
    cure = "lower recipe.lr, and look at the loss and the last layers"
    last = values["val_accuracy"][-STILL:]
    if predicted is not None:
        if predicted["top_share"] >= CONSTANT:
            share, classes = predicted["top_share"], predicted["classes"]
            yield Finding("collapse", f"{share:.1%} of predictions are one class, {classes} of {n_classes}; {cure}")
    elif len(last) == STILL and len(set(last)) == 1 and last[0] <= CHANCE / n_classes:
        yield Finding("collapse", f"validation accuracy stood at {last[0]:.3g} for {STILL} epochs, chance; {cure}")


def _chance(values: Mapping[str, list[float]], n_classes: int) -> Iterator[Finding]:
    losses, best = values["train_loss"], max(values["val_accuracy"])
    if n_classes > 2 and losses[-1] < LOSS_FALLS * losses[0] and best <= CHANCE / n_classes:
        yield Finding(
            "loss-without-accuracy",
            f"the training loss fell from {losses[0]:.3g} to {losses[-1]:.3g}, but the best accuracy is {best:.3g}, "
            "chance; check that the loss and the labels say what is asked",
        )


def _underfit(values: Mapping[str, list[float]]) -> Iterator[Finding]:
    train, val = values["train_accuracy"][-1], values["val_accuracy"][-1]
    if train < LOW and val < LOW:
        yield Finding(
            "underfit",
            f"accuracy is {train:.3g} in training and {val:.3g} in validation; train for longer, with another lr, "
            "with less regularisation, or a larger network",
        )


def _overfit(values: Mapping[str, list[float]]) -> Iterator[Finding]:
    train, val = values["train_accuracy"][-1], values["val_accuracy"][-1]
    losses, least = values["val_loss"], min(values["val_loss"])
    falls = values["train_loss"][-1] < values["train_loss"][0]
    if train - val > GAP or (falls and least > 0 and losses[-1] > VAL_LOSS_RISES * least):
        yield Finding(
            "overfit",
            f"accuracy is {train:.3g} in training and {val:.3g} in validation, and the validation loss went from "
            f"{least:.3g} to {losses[-1]:.3g}; augment, decay, drop out, or take a smaller network",
        )


def findings_of(store: Reading, run: str | int) -> dict[int, list[Finding]]:
    """What was found in each trial of a run, by the trial's id; what was said twice counts once."""
    told: dict[int, dict[Finding, None]] = {}
    for event in store.events(run):
        if event["kind"] == FINDING and event["trial_id"] is not None:
            told.setdefault(event["trial_id"], {})[Finding(event["detail"][FINDING], event["detail"]["reason"])] = None
    return {trial: list(found) for trial, found in told.items()}


def lrs_found(store: Reading, run: str | int, trial_id: int) -> list[dict[str, Any]]:
    """What ``lr = "auto"`` came to in a trial, one for each fold: ``lr`` and every one of the ``tries``."""
    return [e["detail"] for e in store.events(run) if e["kind"] == LR_FOUND and e["trial_id"] == trial_id]


def details(found: Iterable[Finding]) -> Iterator[dict[str, str]]:
    """Each finding as an event keeps it."""
    return ({FINDING: finding.kind, "reason": finding.said} for finding in found)
