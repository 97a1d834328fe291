"""Zero-shot records: test results and the explanation of a zero-shot search's final model, stored as events."""

from collections.abc import Mapping
from typing import Any

from ...spaces.metrics.registry import metric_label
from .reader import StoreReader
from .records import Trial

TESTED = "zero_shot_tested"  # kind of the event that holds the table of test results
NOT_TESTED = "zero_shot_not_tested"  # kind of the event that holds the reason why there is no table
MODEL_TESTED = "zero_shot_model_tested"  # kind of the event that holds the model's own test, before the baselines
EXPLAINED = "zero_shot_explained"  # kind of the event that holds the words and images that explain the model
MODEL = "zero-shot-model"  # kind of the artifact that holds the final model
COMBINATION = "zero-shot-combination"  # kind of the artifact that holds the combination of the best trials

CALIBRATED_H = "calibrated H on validation classes"
SELECTION_NOTE = (
    "val_accuracy of a zero-shot trial is H = 2us/(u+s) at the best calibration on the validation classes, which are "
    "not used in training. u and s are per-class top-1 accuracies on images of validation classes and of training "
    "classes; a prediction may be any of these classes. val_h is H without calibration. val_roc_auc is the mean "
    "ROC-AUC of the validation classes; its negatives are images of the other validation classes."
)
METRIC_NOTES = (
    "roc is the area under the ROC curve, and pr is the area under the precision-recall curve. Negatives of roc_unseen "
    "and pr_unseen are test images of the other unseen classes; negatives of roc_seen and pr_seen are test images of "
    "the other seen classes. roc_mean and pr_mean are means weighted by the numbers of classes. u and s are the "
    "accuracies on images of unseen and of seen classes, and h is 2us/(u+s). A prediction may be any unseen class for "
    "top1_unseen, and any class for u, s, h and h_calibrated. Accuracies are means over classes. h_calibrated "
    "subtracts from the scores of seen classes the value that was best on the validation classes. ausuc is the exact "
    "area under the curve of s over u."
)
# the image vectors of the baselines, in words
PIXEL_VECTORS = "the principal components of the pixels of the same images"
BACKBONE_VECTORS = "the vectors that the backbone of the chosen design gives for the same images"
FEATURE_VECTORS = "the same image features"
COMPARED = ("roc_unseen", "top1_unseen", "h_calibrated", "ausuc")  # the metrics that the text compares
TABLE_COLUMNS = (
    *("roc_unseen", "roc_seen", "roc_mean", "pr_unseen", "pr_seen", "pr_mean"),
    *("top1_unseen", "u", "s", "h", "h_calibrated", "ausuc"),
)


def latest_test_table(store: StoreReader, run: str | int) -> Mapping[str, Any] | None:
    """Return the latest test table of the run, or None if there is none.

    It names the tested trial and has a row for this trial and for each baseline.
    """
    table = _latest(store, run, TESTED)
    # A database from elsewhere may have a table in another form.
    return table if table is not None and {"trial", "rows"} <= set(table) else None


def model_test(store: StoreReader, run: str | int, trial: int) -> Mapping[str, Any] | None:
    """Return the test of the model of ``trial`` without baselines, if it is the latest of the run; else None."""
    test = _latest(store, run, MODEL_TESTED)
    return test if test is not None and test.get("trial") == trial else None


def failed_baselines(table: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each baseline of a test table that could not be tested."""
    return [f"baseline {row.get('method')} could not be tested: {row.get('failed')}" for row in table.get("failed", ())]


def better_baselines(table: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each main metric of a test table in which a baseline is better than the searched model."""
    own, *baselines = table["rows"]
    sentences = []
    for name in COMPARED:
        values = {row["method"]: row[name] for row in baselines if row.get(name) is not None}
        best = max(values, key=lambda method: values[method], default=None)
        if best is not None and own.get(name) is not None and values[best] > own[name]:
            sentences.append(
                f"{best} has a better {name} than {own['method']}: {values[best]:.3f} against {own[name]:.3f}"
            )
    return sentences


def failed_test_reason(store: StoreReader, run: str | int) -> str | None:
    """Return why the latest test of the chosen trial failed, or None if no test has failed."""
    failure = _latest(store, run, NOT_TESTED)
    return None if failure is None else f"trial {failure.get('trial')} could not be tested: {failure.get('reason')}"


def is_tested(store: StoreReader, run: str | int, trial: Trial) -> bool:
    """Return whether ``trial`` is the subject of the latest test table of the run, or of its latest failed test."""
    tests = (_latest(store, run, kind) for kind in (TESTED, NOT_TESTED))
    return any(test is not None and test.get("trial") == trial.trial for test in tests)


def latest_explanation(store: StoreReader, run: str | int) -> Mapping[str, Any] | None:
    """Return the latest explanation of the run's chosen model, or None if there is none."""
    return _latest(store, run, EXPLAINED)


def is_zero_shot(trial: Trial) -> bool:
    """Return whether ``trial`` trained a zero-shot model."""
    # Only the recipe of a zero-shot model has the key "form".
    return "form" in trial.recipe


def selected_by(trial: Trial) -> str:
    """Return what the selecting metric of ``trial`` measures; the best trial of a run is selected by it."""
    return CALIBRATED_H if is_zero_shot(trial) else f"validation {metric_label(trial.metric)}"


def _latest(store: StoreReader, run: str | int, kind: str) -> Mapping[str, Any] | None:
    events = store.events(run, kind)
    detail = events[-1]["detail"] if events else None
    if not isinstance(detail, dict):  # a database from elsewhere may have another form
        return None
    # an import gives the trial another id, but does not change what the event says
    trial_id = events[-1]["trial_id"]
    return detail if trial_id is None or "trial" not in detail else {**detail, "trial": trial_id}
