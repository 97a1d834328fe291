"""The summary of a trial: the figures of its best validation epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

FIGURES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


def summary(
    curve: Mapping[str, Sequence[tuple[int, float]]], result: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The figures of the best epoch of ``curve``, with the test accuracy that the last ``result`` tells.

    Of equal accuracies the lower loss counts, then the earlier epoch. The test accuracy chooses nothing.
    """
    told = {name: dict(points) for name, points in curve.items()}
    accuracies = {epoch: value for epoch, value in told.get("val_accuracy", {}).items() if math.isfinite(value)}
    if not accuracies:
        return {"epochs_done": 0}
    losses = told["val_loss"]
    best = max(accuracies, key=lambda epoch: (accuracies[epoch], -losses[epoch], -epoch))
    figures = {name: told[name][best] for name in FIGURES}
    tested = (result or {}).get("test_accuracy")
    tests = {} if tested is None else {"test_accuracy": tested}
    return {**figures, **tests, "epochs_done": max(accuracies), "best_epoch": best}
