"""Metrics of one evaluation, from labels (N,) and logits (N, K); the values are those of scikit-learn.

Images with any number of labels have labels bool (N, K).

Metrics of the confusion matrix are counted on the device of the logits. The others are computed by scikit-learn on the
CPU, and custom metrics by their function.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...spaces.metrics.registry import custom_function, find_metric, top_k
from ...spaces.parameters.user_code import ERRORS, PluginError, at_definition, at_line, described, prints_to_stderr
from . import several_labels
from .label_losses import logits_of, probabilities

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CALIBRATION_BINS = 15


def compute_metrics(names: Sequence[str], labels: Tensor, logits: Tensor) -> dict[str, float]:
    """Return the value of each metric of ``names`` for labels (N,), or bool (N, K), and logits (N, K).

    Raises ``ValueError`` if a custom metric does not return a finite number.
    """
    if not names:
        return {}
    multi_label, values = labels.dim() == 2, dict[str, float]()
    on_device = several_labels.OF_PREDICTIONS if multi_label else OF_CONFUSION
    if counted := [name for name in names if name in on_device]:
        values |= _counted(counted, labels.to(logits.device), logits)
    if scored := [name for name in names if name not in on_device]:
        truth = labels.cpu().numpy().astype(np.int64)
        # float64, because the rows of float32 probabilities do not add up to 1 within scikit-learn's tolerance
        scores = probabilities(logits.double(), multi_label=multi_label).cpu().numpy()
        values |= {name: of_scores(name, truth, scores) for name in scored}
    return {name: values[name] for name in names}


def _counted(names: Sequence[str], labels: Tensor, logits: Tensor) -> dict[str, float]:
    """Return the metrics that are counted on the device."""
    if labels.dim() == 2:
        return several_labels.of_predictions(names, labels, logits)
    matrix = confusion(labels, logits.argmax(1), logits.shape[1])
    return {name: OF_CONFUSION[name](matrix) for name in names}


def compute_on_test(names: Sequence[str], labels: Tensor, logits: Tensor) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the values of :func:`compute_metrics`, and a sentence for each custom metric that has none.

    A metric that fails on the test images must not discard a finished training.
    """
    values = compute_metrics([name for name in names if not is_custom(name)], labels, logits)
    problems = []
    for name in filter(is_custom, names):
        try:
            values |= compute_metrics([name], labels, logits)
        except Exception as error:
            problems.append(f"{name} has no value on the test images: {type(error).__name__}: {error}")
    return {name: values[name] for name in names if name in values}, tuple(problems)


def check_custom_metrics(names: Sequence[str], labels: Tensor, n_classes: int, where: str) -> None:
    """Call each custom metric once, with equal scores for all classes; raise ``PluginError`` if it has no finite value.

    ``where`` names the images: "validation" or "test".
    """
    for name in filter(is_custom, names):
        function = find_metric(name).function
        try:
            compute_metrics([name], labels, torch.zeros(len(labels), n_classes))
        except PluginError as error:
            raise PluginError(
                f"{error}{at_definition(function)}; its scores were equal for all classes, on the {where} images"
            ) from None
        except ERRORS as error:
            raise PluginError(
                f"metric {name!r} must have a value for every prediction, but with equal scores for all classes on the "
                f"{where} images it raised {described(error)}{at_line(error, function)}; return the worst value in "
                "such a case"
            ) from error


def is_custom(name: str) -> bool:
    """Return whether the metric ``name`` is a registered function."""
    return custom_function(name) is not None


def compute_of_probabilities(names: Sequence[str], labels: Tensor, probabilities: Tensor) -> dict[str, float]:
    """Return the same as :func:`compute_metrics` from probabilities (N, K)."""
    return compute_metrics(names, labels, logits_of(probabilities, multi_label=labels.dim() == 2))


def of_scores(name: str, labels: Ints, scores: Floats) -> float:
    """Return the metric ``name`` of labels (N,), or (N, K) with 0 and 1, and class probabilities (N, K)."""
    metric = find_metric(name)
    if metric.function is not None:
        # copies, so that a function that changes them changes no other metric
        with prints_to_stderr():
            value = metric.function(labels.copy(), scores.copy())
        return _checked(name, value)
    if labels.ndim == 2:
        return several_labels.of_probabilities(name, labels, scores)
    k = top_k(name)
    with warnings.catch_warnings():
        # scikit-learn warns where a class is absent; its value is used all the same
        warnings.simplefilter("ignore")
        return top_k_accuracy(labels, scores, k) if k is not None else float(OF_SCORES[name](labels, scores))


def _checked(name: str, value: Any) -> float:
    """Return the value of a custom metric as a float; raise ``PluginError`` if it is not one finite number."""
    number = value.item() if isinstance(value, np.ndarray | np.generic | Tensor) and value.ndim == 0 else value
    if type(number) is bool or not isinstance(number, Real):
        raise PluginError(
            f"metric {name!r} must return one number, but returned {type(value).__name__} {str(value)[:60]}; "
            "return a float"
        )
    try:
        result = float(number)
    except OverflowError:  # a whole number above 1.8e308
        result = math.inf
    if not math.isfinite(result):
        raise PluginError(
            f"metric {name!r} must return a finite number, but returned {result}; return the worst value instead"
        )
    return result


def confusion(labels: Tensor, predicted: Tensor, n_classes: int) -> Floats:
    """Return the confusion matrix (K, K): row = label, column = prediction. It is counted on the device."""
    counts = torch.bincount(labels * n_classes + predicted, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).cpu().numpy().astype(np.float64)


def balanced_accuracy(matrix: Floats) -> float:
    """Return the mean recall of the classes that have images."""
    images = matrix.sum(1)
    recall = np.diag(matrix)[images > 0] / images[images > 0]
    return float(recall.mean())


def _f1(matrix: Floats) -> tuple[Floats, Floats]:
    """Return F1 and number of images of each class that is a label or a prediction."""
    images, predictions = matrix.sum(1), matrix.sum(0)
    used = images + predictions > 0
    return 2 * np.diag(matrix)[used] / (images + predictions)[used], images[used]


def f1_macro(matrix: Floats) -> float:
    """Return the mean F1 of the classes that are a label or a prediction."""
    return float(_f1(matrix)[0].mean())


def f1_weighted(matrix: Floats) -> float:
    """Return the mean F1 of the classes, weighted by their images."""
    scores, images = _f1(matrix)
    return float(scores @ images / images.sum())


def f1_binary(matrix: Floats) -> float:
    """Return F1 of class 1; 0 if class 1 is neither a label nor a prediction."""
    total = float(matrix[1].sum() + matrix[:, 1].sum())
    return float(2 * matrix[1, 1] / total) if total else 0.0


def cohen_kappa(matrix: Floats) -> float:
    """Return Cohen's kappa with quadratic weights over the classes that are a label or a prediction.

    NaN if there is only one such class.
    """
    used = matrix.sum(0) + matrix.sum(1) > 0
    matrix = matrix[used][:, used]
    expected = np.outer(matrix.sum(1), matrix.sum(0)) / matrix.sum()
    index = np.arange(len(matrix))
    weights = (index[:, None] - index[None, :]) ** 2.0
    disagreement = (weights * expected).sum()
    return float(1 - (weights * matrix).sum() / disagreement) if disagreement else math.nan


def top_k_accuracy(labels: Ints, scores: Floats, k: int) -> float:
    """Return the share of images whose label is among the ``k`` highest scores."""
    from sklearn.metrics import top_k_accuracy_score

    if k == 1 or scores.shape[1] == 2:  # scikit-learn takes one column for two classes
        ranked = np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, :k]
        return float((ranked == labels[:, None]).any(1).mean())
    return float(top_k_accuracy_score(labels, scores, k=k, labels=np.arange(scores.shape[1])))


def roc_auc(labels: Ints, scores: Floats) -> float:
    """Return the area under the ROC curve, one class against the rest, as the mean over the classes."""
    from sklearn.metrics import roc_auc_score

    if scores.shape[1] == 2:
        return float(roc_auc_score(labels, scores[:, 1]))
    return float(roc_auc_score(labels, scores, multi_class="ovr", average="macro", labels=np.arange(scores.shape[1])))


def average_precision(labels: Ints, scores: Floats) -> float:
    """Return the average precision, one class against the rest, as the mean over the classes."""
    from sklearn.metrics import average_precision_score

    if scores.shape[1] == 2:
        return float(average_precision_score(labels, scores[:, 1]))
    return float(average_precision_score(np.eye(scores.shape[1], dtype=np.int64)[labels], scores, average="macro"))


def log_loss(labels: Ints, scores: Floats) -> float:
    """Return the mean cross-entropy in nats; a probability below 2.2e-16 counts as 2.2e-16, as in scikit-learn."""
    from sklearn.metrics import log_loss as sklearn_log_loss

    return float(sklearn_log_loss(labels, scores, labels=np.arange(scores.shape[1])))


def brier(labels: Ints, scores: Floats) -> float:
    """Return the Brier score: with two classes in [0, 1], with more in [0, 2], as in scikit-learn."""
    from sklearn.metrics import brier_score_loss

    if scores.shape[1] == 2:
        return float(brier_score_loss(labels, scores[:, 1], pos_label=1))
    return float(brier_score_loss(labels, scores, labels=np.arange(scores.shape[1])))


def expected_calibration_error(labels: Ints, scores: Floats) -> float:
    """Return the mean gap between confidence and accuracy in 15 bins of equal width (Guo et al. 2017, 1706.04599)."""
    confidence, hit = scores.max(1), scores.argmax(1) == labels
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(np.int64)
    gaps = np.bincount(bins, weights=hit - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


OF_CONFUSION: dict[str, Callable[[Floats], float]] = {
    "balanced_accuracy": balanced_accuracy,
    "f1_macro": f1_macro,
    "f1_weighted": f1_weighted,
    "f1": f1_binary,
    "cohen_kappa": cohen_kappa,
}
OF_SCORES: dict[str, Callable[[Ints, Floats], float]] = {
    "accuracy": lambda labels, scores: float((scores.argmax(1) == labels).mean()),
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
    "expected_calibration_error": expected_calibration_error,
}
