"""The health of a trial: what its learning curve shows, each finding with its facts and its cure.

A curve is figure -> [(epoch, value), ...], epochs from 1. Accuracies are fractions. ``train_accuracy`` is a running
mean over augmented images under dropout: it understates, so ``underfit`` is only said where validation is low too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..database.reader import Reading

FINDING = "finding"  # the kind of the event that keeps one

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
    curve: Curve,
    n_classes: int,
    *,
    diverged: bool = False,
    predicted: Mapping[str, Any] | None = None,
    examined: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """All that ``curve`` shows; none for a healthy trial.

    ``diverged`` says that the trial ended on a loss that was not finite. ``predicted`` is how the final network's
    validation predictions fall: ``classes`` predicted at all, and the ``top_share`` of the one predicted most.
    ``examined`` is what was looked at where it diverged or its loss rose: ``gradients``, with the ``worst`` relative
    error and the names of those that are ``wrong``, and the first ``lr`` below the recipe's that trains.
    """
    values = {name: [value for _, value in sorted(points)] for name, points in curve.items()}
    broken = diverged or not all(math.isfinite(v) for name in ("train_loss", "val_loss") for v in values.get(name, ()))
    if broken:
        return [Finding("diverged", f"a loss is no longer finite; {_cure(examined)}")]
    if not values.get("train_loss") or not values.get("val_accuracy"):
        return []
    found = [*_rising(values["train_loss"], examined), *_collapsed(values, n_classes, predicted)]
    return found or [*_chance(values, n_classes)] or [*_underfit(values), *_overfit(values)]


def rose(losses: Sequence[float]) -> bool:
    """Whether training losses, epoch by epoch, ended clearly above the first."""
    return losses[-1] > LOSS_RISES * losses[0]


def _rising(losses: Sequence[float], examined: Mapping[str, Any] | None) -> Iterator[Finding]:
    if rose(losses):
        yield Finding("rising", f"the training loss rose from {losses[0]:.3g} to {losses[-1]:.3g}; {_cure(examined)}")


def _cure(examined: Mapping[str, Any] | None) -> str:
    """What to do about a loss that rises or leaves the numbers: mend backward, or take the rate that trains."""
    usual = 'lower recipe.lr, warm up, or take lr = "auto"'
    if examined is None:
        return usual
    checked, lr = examined["gradients"], examined["lr"]
    if checked is not None and checked["wrong"]:
        wrong, worst = ", ".join(checked["wrong"][:3]), checked["worst"]
        return f"mend backward first: it disagrees with differences at {wrong}, relative error {worst:.1e}"
    right = "" if checked is None else f"; backward is right, to a relative error of {checked['worst']:.1e}"
    return (f"recipe.lr = {lr:.3g} trains on a subset" if lr is not None else f"no rate trains, {usual}") + right


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


def findings_of(store: Reading, run: str | int, *, trial_id: int | None = None) -> dict[int, list[Finding]]:
    """What was found in each trial of a run, or in one, by the trial's id; what was said twice counts once."""
    told: dict[int, dict[Finding, None]] = {}
    for event in store.events(run, FINDING, trial_id=trial_id):
        if event["trial_id"] is not None:
            told.setdefault(event["trial_id"], {})[Finding(event["detail"][FINDING], event["detail"]["reason"])] = None
    return {trial: list(found) for trial, found in told.items()}


def details(found: Iterable[Finding]) -> Iterator[dict[str, str]]:
    """Each finding as an event keeps it."""
    return ({FINDING: finding.kind, "reason": finding.said} for finding in found)
