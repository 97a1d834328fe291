"""The report of one epoch by a training function of the user, checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...spaces.metrics.registry import ACCURACY, is_metric, is_share
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.lookup import unknown
from .epoch import Diverged
from .evaluate import Evaluation

TOLERANCE = 1e-4  # absolute and relative: a metric that differs less is that of the predictions
LOSSES = ("val_loss", "train_loss")
FRACTIONS = ("val_accuracy", "train_accuracy")
OPTIONAL = ("loss", "train_loss", "train_accuracy", "lr")


class ReportedDivergence(Diverged):
    """A training function has reported a loss that is not finite."""

    def __init__(self, epoch: int, name: str, value: float) -> None:
        super().__init__(epoch, 0, math.nan, f"{name} is {value}")
        self.args = (epoch, name, value)  # the arguments of this class, so that the error can be pickled

    def __str__(self) -> str:
        return f"losses must stay finite, but the reported {self.problem} at epoch {self.epoch}; lower recipe.lr"


@dataclass(frozen=True)
class ReportedEpoch:
    """The metrics of one epoch as a training function reported them, named as in :class:`~.epoch.EpochResult`.

    A value that was not reported is None. ``seconds`` is the time since the report before.
    """

    epoch: int
    val_accuracy: float
    seconds: float
    val_loss: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    lr: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)

    def rank(self, selection: Selection) -> tuple[float, float]:
        """Return what the best epoch has the most of: the score, then the negative loss."""
        score = selection.of_epochs.score({"val_accuracy": self.val_accuracy, **self.metrics})
        return (-math.inf if score is None else score), (-math.inf if self.val_loss is None else -self.val_loss)


def read_report(epoch: int, reported: Mapping[str, Any], selection: Selection, seconds: float) -> ReportedEpoch:
    """Return the checked report of ``epoch``.

    Raises ``ValueError`` for a metric that is missing, unknown or no finite number, and :class:`ReportedDivergence` for
    a loss that is not finite.
    """
    required = (ACCURACY, *selection.recorded)
    named = {_short_name(name, required): value for name, value in reported.items()}
    if missing := [name for name in required if name not in named]:
        got = ", ".join(reported) or "nothing"
        raise ValueError(
            f"report() needs {', '.join(required)}, but got {got[:200]}; add {missing[0]}=..."
            f"{_other_cure(missing, selection)}"
        )
    values = {_field(name): _number(epoch, name, value) for name, value in named.items()}
    fields = {name: values.pop(name) for name in (*LOSSES, *FRACTIONS, "lr") if name in values}
    return ReportedEpoch(epoch, seconds=seconds, metrics=values, **fields)


def _other_cure(missing: list[str], selection: Selection) -> str:
    if set(missing) & set(selection.reported):
        return ""
    return ", or use **job.validate(), which measures all of them"


def values_of(evaluation: Evaluation) -> dict[str, float]:
    """Return loss, accuracy and metrics of an evaluation by the names that a report has."""
    return {"loss": evaluation.loss, ACCURACY: evaluation.accuracy, **evaluation.metrics}


def read_predictions(epoch: int, predictions: Any, labels: Tensor, n_classes: int) -> Tensor:
    """Return the reported logits (N, K) of the validation images, float32 on the device of ``labels``.

    Raises ``ValueError`` if they are no tensor or array of this shape, and :class:`ReportedDivergence` for logits that
    are not finite.
    """
    expected = f"the logits ({len(labels)}, {n_classes}) of the validation images"
    if not isinstance(predictions, Tensor | np.ndarray):
        raise ValueError(f"predictions of report() must be {expected}, but got {type(predictions).__name__}")
    logits = torch.as_tensor(predictions).detach().to(labels.device)
    if logits.shape != (len(labels), n_classes) or logits.is_complex() or logits.dtype is torch.bool:
        raise ValueError(
            f"predictions of report() must be {expected}, but got {tuple(logits.shape)} of {logits.dtype}; pass the "
            "scores of each class for each image of job.dataset('val'), in its order"
        )
    if not logits.isfinite().all():
        raise ReportedDivergence(epoch, "value of the predictions", float(logits[~logits.isfinite()][0]))
    return logits.float()


def completed(reported: Mapping[str, Any], computed: Mapping[str, float], selection: Selection) -> dict[str, Any]:
    """Return ``reported``, completed by metrics that it does not have from ``computed``, those of its predictions.

    Raises ``ValueError`` if its accuracy or another metric is not that of its predictions. Its loss may be another one.
    """
    given = {_short_name(name, (ACCURACY, *selection.recorded)): value for name, value in reported.items()}
    for name in (ACCURACY, *selection.computed):
        if name not in given or name not in computed:
            continue
        value, expected = given[name], computed[name]
        is_number = isinstance(value, Real) or getattr(value, "ndim", 1) == 0
        if is_number and not is_same(float(value), expected):
            raise ValueError(
                f"{name} of report() must be that of its predictions, {expected:.4f}, but got {value}; leave it out"
            )
    return {**computed, **given}


def is_same(value: float, expected: float) -> bool:
    """Return whether two values of a metric count as equal."""
    return math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _short_name(name: str, required: tuple[str, ...]) -> str:
    """Return the name of a metric without "val_"; raise ``ValueError`` if the search does not record it."""
    if name.startswith("test_"):
        raise ValueError(f"report() takes metrics of validation images, but got {name}; test images select nothing")
    short = name.removeprefix("val_")
    if short in required or short in OPTIONAL:
        return short
    if is_metric(short):
        raise ValueError(
            f"report() takes the metrics that the search records, {', '.join(required)}, but got {name}; add it to "
            "search.record_metrics"
        )
    raise ValueError(f"report(): {unknown('metric', name, (*required, *OPTIONAL))}")


def _field(name: str) -> str:
    return {"loss": "val_loss", ACCURACY: "val_accuracy"}.get(name, name)


def _number(epoch: int, name: str, value: Any) -> float:
    number = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if type(number) is bool or not isinstance(number, Real):
        raise ValueError(
            f"{name} of report() must be a number, but got {type(value).__name__} {str(value)[:60]}; pass a float"
        )
    if not math.isfinite(number):
        if _field(name) in LOSSES:
            raise ReportedDivergence(epoch, name, float(number))
        raise ValueError(
            f"{name} of report() must be finite, but got {number} at epoch {epoch}; report the worst value instead"
        )
    if (_field(name) in FRACTIONS or is_share(name)) and not 0 <= float(number) <= 1:
        raise ValueError(f"{name} of report() must be a fraction from 0 to 1, but got {number}; divide percent by 100")
    return float(number)
