"""The seconds of a trial, predicted from the ended trials of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..database.records import Trial

Floats = NDArray[np.float64]

MIN_FITTED = 3  # ended trials from which the cost of multiply-accumulates is learned; fewer give one mean


@dataclass(frozen=True)
class TimeModel:
    """The seconds of an epoch, a line in the multiply-accumulates of the network, and how many epochs are trained.

    Where a scheduler stops trials early, ``share`` of the epochs of a recipe is expected, as before.
    """

    base: float
    slope: float
    share: float

    @classmethod
    def of(cls, ended: Sequence[Trial]) -> "TimeModel | None":
        """Return the model, fitted by least squares with no coefficient below 0; None before one has ended."""
        timed = [trial for trial in ended if trial.source is None and trial.duration_s and trial.epochs_done]
        if not timed:
            return None
        x = [float(trial.macs) for trial in timed]
        y = [(trial.duration_s or 0.0) / trial.epochs_done for trial in timed]
        share = sum(trial.epochs_done / int(trial.recipe["epochs"]) for trial in timed) / len(timed)
        return cls(*(_line(x, y) if len(timed) >= MIN_FITTED else (sum(y) / len(y), 0.0)), share)

    def seconds(self, macs: Floats | float, epochs: Floats | float) -> Floats:
        """Return the predicted seconds of trials with these multiply-accumulates and epochs."""
        return np.asarray((self.base + self.slope * macs) * np.maximum(1.0, self.share * epochs))


def predicted_seconds(macs: int, epochs: int, ended: Sequence[Trial]) -> float | None:
    """Return the predicted seconds of a trial of ``epochs`` epochs; None before a trial has ended."""
    model = TimeModel.of(ended)
    return None if model is None else float(model.seconds(macs, epochs))


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return the intercept and the slope, each at least 0, of the line with the least squared error."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    variance = sum((one - mean_x) ** 2 for one in x)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope = covariance / variance if variance else 0.0
    if slope <= 0:
        return mean_y, 0.0
    if mean_y < slope * mean_x:
        return 0.0, sum(a * b for a, b in zip(x, y, strict=True)) / sum(a * a for a in x)
    return mean_y - slope * mean_x, slope
