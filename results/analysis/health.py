"""Health of a trial: problems that its learning curve shows, each with its facts and a way to fix it.

A curve maps a metric to ``[(epoch, value), ...]``, with epochs from 1. Accuracies are fractions in [0, 1].
``train_accuracy`` is a running mean over augmented images under dropout, so it is lower than the accuracy of the final
network on plain images. ``underfit`` is therefore reported only if the validation accuracy is low too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from ...spaces.recipes.fidelity import whole_part
from ..database import schema
from ..database.reader import StoreReader
from ..database.rows import run_id_of

FINDING = "finding"  # the kind of the events that store findings

RISE_RATIO = 1.1  # last training loss / first one: above it, the loss has risen
FALL_RATIO = 0.7  # last training loss / first one: below it, the loss has clearly fallen
LOW_ACCURACY = 0.8  # training and validation accuracy below it: underfit
ACCURACY_GAP = 0.1  # training accuracy - validation accuracy above it: overfit
VAL_LOSS_RATIO = 1.25  # last validation loss / smallest one above it, while the training loss falls: overfit
COLLAPSE_SHARE = 0.99  # share of all predictions that are one class: from it on, the network has collapsed
CHANCE_FACTOR = 1.5  # accuracy up to this multiple of 1 / classes counts as guessing
_ROWS_AT_ONCE = 2000
N_CONSTANT_EPOCHS = 3  # this many last epochs with one and the same accuracy of guessing: collapse

Curve = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True)
class Finding:
    """A problem of a trial: its kind, and a sentence with the metrics that show it and what to do."""

    kind: str
    message: str


def findings(
    curve: Curve,
    n_classes: int,
    *,
    diverged: bool = False,
    predicted: Mapping[str, Any] | None = None,
    examined: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Return the problems that ``curve`` shows; none for a healthy trial.

    ``diverged`` is true if the trial ended because a loss was not finite.

    ``predicted`` describes the final network's predictions of the validation images: the number of ``classes`` that are
    predicted at all, and ``top_share``, the share of the most frequent one in [0, 1]. With ``multi_label`` these are
    sets of labels, and a low accuracy is no problem: it counts the images of which every label is right.

    ``examined`` is the diagnosis of a trial that diverged or whose loss rose: ``gradients`` with the ``worst`` relative
    error and the names of the ``wrong`` gradients, None if they were not checked; and ``lr``, the first learning rate
    below the recipe's that trains, None if no tried rate does.
    """
    values = _values(curve)
    is_finite = all(math.isfinite(v) for name in ("train_loss", "val_loss") for v in values.get(name, ()))
    if diverged or not is_finite:
        return [Finding("diverged", f"a loss is no longer finite; {_cure(examined)}")]
    values = _values(whole_part(curve))  # losses and accuracies at different fidelities are not comparable
    if not values.get("train_loss") or not values.get("val_accuracy"):
        return []
    # A problem of the optimization explains a low accuracy as well. Underfit and overfit are therefore reported only if
    # there is no other finding.
    severe = [*_rising(values["train_loss"], examined), *_collapsed(values, n_classes, predicted)]
    if predicted is not None and predicted.get("multi_label"):
        return severe or [*_overfit(values)]
    return severe or [*_chance(values, n_classes)] or [*_underfit(values), *_overfit(values)]


def _values(curve: Curve) -> dict[str, list[float]]:
    return {name: [value for _, value in sorted(points)] for name, points in curve.items()}


def has_risen(losses: Sequence[float]) -> bool:
    """Return whether the last of the training losses, one per epoch, is clearly above the first."""
    return losses[-1] > RISE_RATIO * losses[0]


def _rising(losses: Sequence[float], examined: Mapping[str, Any] | None) -> Iterator[Finding]:
    if has_risen(losses):
        yield Finding("rising", f"the training loss rose from {losses[0]:.3g} to {losses[-1]:.3g}; {_cure(examined)}")


def _cure(examined: Mapping[str, Any] | None) -> str:
    """Return what to do about a loss that rises or is not finite: fix the backward pass, or lower the learning rate."""
    general = 'lower recipe.lr, use a warm-up, or set recipe.lr = "auto"'
    if examined is None:
        return general
    gradients, lr = examined["gradients"], examined["lr"]
    # With wrong gradients, no learning rate is a cure.
    if gradients is not None and gradients["wrong"]:
        # Three names keep the message short: a deep network can have hundreds of gradients.
        names, worst = ", ".join(gradients["wrong"][:3]), gradients["worst"]
        return f"fix the backward pass first: gradients of {names} are wrong, with a relative error of {worst:.1e}"
    checked = "" if gradients is None else f"; gradients are correct, with a relative error of {gradients['worst']:.1e}"
    return (
        f"set recipe.lr = {lr:.3g}, which trains on a subset"
        if lr is not None
        else f"no tried learning rate trains; {general}"
    ) + checked


def _collapsed(
    values: Mapping[str, list[float]], n_classes: int, predicted: Mapping[str, Any] | None
) -> Iterator[Finding]:
    """Yield a finding if the network predicts a single class for nearly all images."""
    cure = "lower recipe.lr, and check the loss and the last layers"
    last = values["val_accuracy"][-N_CONSTANT_EPOCHS:]
    if predicted is not None:
        if predicted["top_share"] >= COLLAPSE_SHARE:
            share, classes = predicted["top_share"], predicted["classes"]
            several = f"the same set of labels, and {classes} sets are predicted at all"
            one = f"a single class, and {classes} of {n_classes} classes are predicted at all"
            same = several if predicted.get("multi_label") else one
            yield Finding("collapse", f"{share:.1%} of the validation predictions are {same}; {cure}")
    # Without predictions, a constant accuracy of guessing shows the same problem.
    elif len(last) == N_CONSTANT_EPOCHS and len(set(last)) == 1 and last[0] <= CHANCE_FACTOR / n_classes:
        yield Finding(
            "collapse",
            f"the validation accuracy is {last[0]:.3g} in each of the last {N_CONSTANT_EPOCHS} epochs, at most "
            f"{CHANCE_FACTOR:g} times that of guessing one of {n_classes} classes; {cure}",
        )


def _chance(values: Mapping[str, list[float]], n_classes: int) -> Iterator[Finding]:
    """Yield a finding if the training loss falls but the accuracy stays that of guessing."""
    losses, best = values["train_loss"], max(values["val_accuracy"])
    # With two classes, CHANCE_FACTOR / n_classes is 0.75: a network with a real result would be reported too.
    if n_classes > 2 and losses[-1] < FALL_RATIO * losses[0] and best <= CHANCE_FACTOR / n_classes:
        yield Finding(
            "loss-without-accuracy",
            f"the training loss fell from {losses[0]:.3g} to {losses[-1]:.3g}, but the best accuracy is {best:.3g}, "
            f"at most {CHANCE_FACTOR:g} times that of guessing one of {n_classes} classes; check that the loss and the "
            "labels match the task",
        )


def _underfit(values: Mapping[str, list[float]]) -> Iterator[Finding]:
    train, val = values["train_accuracy"][-1], values["val_accuracy"][-1]
    if train < LOW_ACCURACY and val < LOW_ACCURACY:
        yield Finding(
            "underfit",
            f"accuracy is {train:.3g} in training and {val:.3g} in validation; train for longer, with another learning "
            "rate or less regularization, or use a larger network",
        )


def _overfit(values: Mapping[str, list[float]]) -> Iterator[Finding]:
    train, val = values["train_accuracy"][-1], values["val_accuracy"][-1]
    losses, smallest = values["val_loss"], min(values["val_loss"])
    falls = values["train_loss"][-1] < values["train_loss"][0]
    # The loss can reveal an overfit while the accuracies are still close. A ratio needs a smallest loss above 0.
    if train - val > ACCURACY_GAP or (falls and smallest > 0 and losses[-1] > VAL_LOSS_RATIO * smallest):
        yield Finding(
            "overfit",
            f"accuracy is {train:.3g} in training and {val:.3g} in validation, and the validation loss went from "
            f"{smallest:.3g} to {losses[-1]:.3g}; use augmentation, weight decay or dropout, or a smaller network",
        )


def findings_of(store: StoreReader, run: str | int, *, trial_id: int | None = None) -> dict[int, list[Finding]]:
    """Return the stored findings of all trials of a run, or of one trial, by trial id.

    Equal findings of a trial are returned once: a driver that was killed and resumed can store a finding twice.
    """
    by_trial: dict[int, list[Finding]] = {}
    for trial, finding in stored_findings(store, run, trial_id=trial_id):
        by_trial.setdefault(trial, []).append(finding)
    return by_trial


def stored_findings(
    store: StoreReader, run: str | int, *, trial_id: int | None = None
) -> Iterator[tuple[int, Finding]]:
    """Yield the stored findings of a run with the ids of their trials, trial by trial, each finding of a trial once.

    Few of them are in memory at a time.
    """
    e = schema.event.c
    last, distinct = None, set[Finding]()
    with store.read_transaction() as connection:
        query = select(e.trial_id, e.detail).where(e.run_id == run_id_of(connection, run), e.kind == FINDING)
        query = query.where(e.trial_id.is_not(None) if trial_id is None else e.trial_id == trial_id)
        query = query.order_by(e.trial_id, e.event_id).execution_options(yield_per=_ROWS_AT_ONCE)
        for trial, detail in connection.execute(query):
            if trial != last:
                last, distinct = trial, set()
            # A database from elsewhere may have a finding in another form.
            if isinstance(detail, dict) and {FINDING, "reason"} <= set(detail):
                finding = Finding(str(detail[FINDING]), str(detail["reason"]))
                if finding not in distinct:
                    distinct.add(finding)
                    yield trial, finding


def event_details(problems: Iterable[Finding]) -> Iterator[dict[str, str]]:
    """Return an iterator over the details of the events that store ``problems``."""
    return ({FINDING: finding.kind, "reason": finding.message} for finding in problems)
