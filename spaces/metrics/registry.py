"""The names of metrics, their direction, and the registration of custom metrics.

All metrics are measured on validation images while a search runs. The accuracy is always recorded, as ``val_accuracy``.
Every other metric is recorded under its own name, and its value on test images under ``test_NAME``.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..parameters.lookup import check_unregistered, got_instead, unknown

Function = Callable[[Any, Any], float]  # (labels (N,) or (N, K), scores (N, K)) -> value
F = TypeVar("F", bound=Function)

ACCURACY = "accuracy"
VAL_ACCURACY = "val_accuracy"  # its name in the database
INT8_PREFIX = "int8_"  # of the stored names of metrics of the network after quantisation to int8
MULTI_LABEL_METRIC = "average_precision"  # selects where images have several labels and no metric is named
TOP_K = "top_k_accuracy"
TOP_5 = "top_5_accuracy"
MIN_CLASSES_FOR_TOP_5 = 10  # with fewer classes the top-5 error is near 0
DEFAULT_K = 5  # of top_k_accuracy, as in the tables of ImageNet


@dataclass(frozen=True)
class Metric:
    """A metric: its name, whether a higher value is better, and how a text calls it.

    ``binary`` metrics need exactly two classes.
    ``every_class`` metrics need validation images of each class. ``single_label`` and ``multi_label``: whether it is
    defined for images with one label, and with any number of labels. ``function`` is that of a custom metric.
    """

    name: str
    label: str
    higher_is_better: bool = True
    binary: bool = False
    every_class: bool = False
    single_label: bool = True
    multi_label: bool = False
    function: Function | None = field(default=None, compare=False, repr=False)

    @property
    def stored_name(self) -> str:
        """The name of the validation metric in the database and in queries."""
        return stored_name(self.name)


BUILT_IN = {
    metric.name: metric
    for metric in (
        Metric(ACCURACY, "accuracy", multi_label=True),
        Metric(TOP_K, f"top-{DEFAULT_K} accuracy"),
        Metric("balanced_accuracy", "balanced accuracy"),
        Metric("f1_macro", "macro F1", multi_label=True),
        Metric("f1_weighted", "weighted F1", multi_label=True),
        Metric("f1_micro", "micro F1", single_label=False, multi_label=True),
        Metric("f1_samples", "F1 of the images", single_label=False, multi_label=True),
        Metric("f1", "F1 of the second class", binary=True),
        Metric("roc_auc", "ROC-AUC", every_class=True, multi_label=True),
        Metric("average_precision", "average precision", every_class=True, multi_label=True),
        Metric("log_loss", "log loss", higher_is_better=False, multi_label=True),
        Metric("brier", "Brier score", higher_is_better=False, multi_label=True),
        Metric("expected_calibration_error", "expected calibration error", higher_is_better=False),
        Metric("cohen_kappa", "quadratic Cohen's kappa"),
    )
}
_CUSTOM: dict[str, Metric] = {}
_TOP = re.compile(r"top_([1-9][0-9]{0,3})_accuracy")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_DIRECTIONS = ("max", "min", "maximize", "minimize", "maximise", "minimise", "higher", "lower", "up", "down")
# what scikit-learn, torchmetrics and papers call the same metric
_CALLED_ELSEWHERE = {
    **dict.fromkeys(("acc", "top_1", "top1", "top1_accuracy", "error", "val_error"), ACCURACY),
    **dict.fromkeys(("top5", "top_5", "top5_accuracy", "top_5_error", "top5_error"), "top_5_accuracy"),
    **dict.fromkeys(("auc", "auroc", "rocauc", "roc_auc_ovr", "roc_auc_score"), "roc_auc"),
    **dict.fromkeys(("ap", "map", "pr_auc", "auprc", "average_precision_score"), "average_precision"),
    **dict.fromkeys(("loss", "cross_entropy", "neg_log_loss", "nll", "-log_loss"), "log_loss"),
    **dict.fromkeys(("brier_score", "neg_brier_score", "brier_score_loss", "-brier"), "brier"),
    **dict.fromkeys(("ece", "calibration_error"), "expected_calibration_error"),
    **dict.fromkeys(("kappa", "quadratic_kappa", "qwk", "cohen_kappa_score"), "cohen_kappa"),
    **dict.fromkeys(("macro_f1", "f1_score", "f1macro"), "f1_macro"),
    **dict.fromkeys(("subset_accuracy", "exact_match"), ACCURACY),
    "weighted_f1": "f1_weighted",
    "micro_f1": "f1_micro",
    "samples_f1": "f1_samples",
    "balanced_accuracy_score": "balanced_accuracy",
    "accuracy_score": ACCURACY,
}
# Names of columns and of other recorded values: a custom metric of the same name could not be queried.
RESERVED = frozenset(
    (
        *("trial", "run", "number", "state", "fingerprint", "architecture", "choices", "recipe", "seed", "source"),
        *("params", "macs", "flops", "activations", "memory_bytes", "ram_bytes", "flash_bytes", "depth", "device"),
        *("latency_ms", "duration_s"),
        *("fidelity", "data_share", "image_size", "weights_carried"),
        *("epoch", "epochs_done", "best_epoch", "step", "lr", "seconds", "gamma", "loss", "metric", "metrics"),
        *("score", "fail_kind", "reason", "created_at", "started_at", "ended_at", "searcher", "dataset"),
        *("minimized", "database", "and", "or", "not", "is", "null", "in", "like", "between", "true", "false"),
    )
)


def register_metric(name: str, *, higher_is_better: bool = True) -> Callable[[F], F]:
    """Register a custom metric under ``name``, as a decorator of a function of ``(labels, scores)``.

    ``labels`` is an int64 array (N,), ``scores`` are class probabilities, a float64 array (N, K). Where images have
    several labels, ``labels`` is (N, K) with 0 and 1. The function returns one finite number.

    Raises ``ValueError`` for a name that is taken or not possible, ``TypeError`` for a function that cannot be called
    with two arguments.
    """
    if type(higher_is_better) is not bool:
        raise TypeError(f"higher_is_better of metric {name!r} must be True or False, but got {higher_is_better!r}")
    check_own_name(name)

    def register(function: F) -> F:
        _check_signature(name, function)
        known = _CUSTOM.get(name)
        check_unregistered(known.function if known else None, function, "name of a metric", name)
        _CUSTOM[name] = Metric(name, name, higher_is_better, multi_label=True, function=function)
        return function

    return register


def check_own_name(name: str) -> None:
    """Raise ``ValueError`` for a name that a metric of the user cannot have."""
    if is_built_in(str(name)):
        raise ValueError(f"the name of a metric must be unique, but {name!r} is a built-in metric; choose another name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            "the name of a metric must be at most 50 lowercase letters, digits and underscores, but got "
            f"{got_instead(name, 'register_metric', 'cost_of_errors')}"
        )
    if name in RESERVED or name in _DIRECTIONS or name.startswith(("test_", "val_", "train_", INT8_PREFIX)):
        raise ValueError(
            f"the name of a metric must not be that of another value in the database, but got {name!r}; "
            "use a name such as 'cost_of_errors'"
        )


def _check_signature(name: str, function: Any) -> None:
    if not callable(function) or not hasattr(function, "__qualname__"):
        raise TypeError(
            f"metric {name!r} must be a function of (labels, scores), but got {function!r}; write it with def"
        )
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions in C have none
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(
            f"metric {name!r} must be a function of (labels, scores), but "
            f"{getattr(function, '__qualname__', function)} has {signature}; correct its parameters"
        ) from None


def custom_metrics() -> dict[str, Metric]:
    """Return the registered custom metrics by name."""
    return dict(_CUSTOM)


def custom_function(name: str) -> Function | None:
    """Return the function of the custom metric ``name``; None for another metric, or if it is not registered here."""
    metric = _CUSTOM.get(name)
    return None if metric is None else metric.function


def find_metric(name: str) -> Metric:
    """Return the metric ``name``; ``val_NAME`` is the same.

    Raises ``ValueError`` for a test metric, for a direction, and for an unknown name, with the nearest one.
    """
    if not isinstance(name, str):
        raise ValueError(f"a metric must be a name such as 'f1_macro', but got {name!r}; choose from {_choices()}")
    if name.startswith("test_"):
        raise ValueError(
            f"{name} cannot select trials, because that would bias the test estimate; use {name.removeprefix('test_')}"
        )
    short = name.removeprefix("val_")
    if short in BUILT_IN:
        return BUILT_IN[short]
    if short in _CUSTOM:
        return _CUSTOM[short]
    if match := _TOP.fullmatch(short):
        return Metric(short, f"top-{match[1]} accuracy")
    if short.lower() in _DIRECTIONS:
        raise ValueError(f"a metric must be a name, but got the direction {name!r}; use a name such as 'log_loss'")
    if other := _CALLED_ELSEWHERE.get(short.lower()):
        raise ValueError(f"unknown metric {name!r}; did you mean {other!r}? choose from {_choices()}")
    raise ValueError(unknown("metric", name, (*BUILT_IN, *_CUSTOM)))


def is_metric(name: str) -> bool:
    """Return whether :func:`find_metric` finds ``name``."""
    try:
        find_metric(name)
    except ValueError:
        return False
    return True


def metric_names() -> list[str]:
    """Return the names of the built-in metrics and of the custom metrics that are registered here."""
    return sorted((*BUILT_IN, *_CUSTOM))


def _choices() -> str:
    return ", ".join(metric_names())


def is_built_in(name: str) -> bool:
    """Return whether the metric ``name`` belongs to this package."""
    return name in BUILT_IN or top_k(name) is not None


def is_share(name: str) -> bool:
    """Return whether the values of the metric ``name`` are shares of images, each of which is right or wrong."""
    return name == ACCURACY or top_k(name) is not None


def top_k(name: str) -> int | None:
    """Return k of a top-k accuracy; None for another metric."""
    if name == TOP_K:
        return DEFAULT_K
    match = _TOP.fullmatch(name)
    return int(match[1]) if match else None


def stored_name(name: str) -> str:
    """Return the name under which the validation metric ``name`` is in the database."""
    return VAL_ACCURACY if name == ACCURACY else name


def int8_name(name: str) -> str:
    """Return the name in the database of the validation metric ``name`` after quantisation to int8."""
    return INT8_PREFIX + stored_name(name)


def before_int8(name: str) -> str | None:
    """Return the metric whose value after quantisation is stored as ``name``; None if ``name`` is another metric."""
    return name.removeprefix(INT8_PREFIX).removeprefix("val_") if name.startswith(INT8_PREFIX) else None


def metric_label(name: str) -> str:
    """Return how a text calls the metric ``name``, which may be a custom metric that is not registered here."""
    if (float_name := before_int8(name)) is not None:
        return f"{metric_label(float_name)} in int8"
    try:
        return find_metric(name).label
    except ValueError:
        return name
