"""What a zero-shot search ended in, as the store has it: the table of its test, and what explains its model."""

from collections.abc import Mapping
from typing import Any

from .reader import Reading
from .records import Trial

TESTED = "zero_shot_tested"  # the event that keeps the table
NOT_TESTED = "zero_shot_not_tested"  # the event that tells why there is no table
EXPLAINED = "zero_shot_explained"  # the event that keeps words and pictures
MODEL = "zero-shot-model"  # the kind of artifact

OF_ZERO_SHOT = ("val_roc_auc", "val_h", "gamma")  # further figures of a zero-shot trial's epochs
CALIBRATED_H = "calibrated H on validation classes"
SELECTED_BY = (
    "val_accuracy of a zero-shot trial is H = 2us/(u+s) at the best calibration on the validation classes, which are "
    "not trained on: u and s are per-class top-1 accuracies on pictures of validation and of training classes, among "
    "all of both. val_h is H without calibration; val_roc_auc is the validation classes' mean, the negatives being "
    "pictures of the other validation classes."
)
MEASURES = (
    "Negatives of roc_unseen and pr_unseen are test pictures of the other unseen classes, of roc_seen those of the "
    "other seen ones; the means weigh the two by their numbers of classes. The labels of top1_unseen are the unseen "
    "classes, those of u, s and all H every class, seen and unseen. Accuracies are means over classes. h_calibrated "
    "subtracts from the scores of seen classes what was best on validation classes; ausuc is the exact area under "
    "the curve of s over u."
)
SHOWN = (
    *("roc_unseen", "roc_seen", "roc_mean", "pr_unseen", "pr_seen", "pr_mean"),
    *("top1_unseen", "u", "s", "h", "h_calibrated", "ausuc"),
)


def table_of(store: Reading, run: str | int) -> Mapping[str, Any] | None:
    """The newest table of the run: which trial was tested, and a row for it and for each baseline; None without one."""
    return _newest(store, run, TESTED)


def why_not_tested(store: Reading, run: str | int) -> str | None:
    """Why the newest attempt to test the chosen design came to nothing; None where none has."""
    found = _newest(store, run, NOT_TESTED)
    return None if found is None else f"trial {found['trial']} could not be tested: {found['reason']}"


def settled(store: Reading, run: str | int, trial: Trial) -> bool:
    """Whether the newest table of the run, or the newest word on why there is none, is of ``trial``."""
    told = (_newest(store, run, kind) for kind in (TESTED, NOT_TESTED))
    return any(found is not None and found["trial"] == trial.trial for found in told)


def explanation_of(store: Reading, run: str | int) -> Mapping[str, Any] | None:
    """The newest explanation of the run's chosen model; None without one."""
    return _newest(store, run, EXPLAINED)


def is_zero_shot(trial: Trial) -> bool:
    """Whether the figures of ``trial`` are those of a zero-shot model."""
    return "form" in trial.recipe


def selected_by(trial: Trial) -> str:
    """What ``val_accuracy`` is in a trial, and so what the best of its run is chosen by."""
    return CALIBRATED_H if is_zero_shot(trial) else "validation accuracy"


def _newest(store: Reading, run: str | int, kind: str) -> Mapping[str, Any] | None:
    found = store.events(run, kind)
    return found[-1]["detail"] if found else None
