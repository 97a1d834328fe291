"""The result of one epoch and of its validation, and the error of a diverged epoch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.recipes.fidelity import is_whole


@dataclass(frozen=True)
class Validation:
    """Loss, accuracy and other metrics on the validation images after an epoch, named as in :class:`EpochResult`."""

    val_loss: float
    val_accuracy: float
    metrics: Mapping[str, float] = field(default_factory=dict, kw_only=True, hash=False)


@dataclass(frozen=True)
class EpochResult:
    """The metrics of one epoch; results compare by all fields except ``seconds``.

    ``epoch`` counts from 1. ``train_loss`` (with label smoothing) and ``train_accuracy`` are running means over the
    augmented images, measured while the weights change. ``lr`` is the learning rate of the last step. ``seconds``
    includes the validation. ``metrics`` are the other metrics on the validation images, by name.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float = field(compare=False)
    metrics: Mapping[str, float] = field(default_factory=dict, kw_only=True, hash=False)

    def score(self, selection: Selection) -> float:
        """Return the value to maximise; minus infinity without one, and for an epoch at a lower fidelity."""
        if not is_whole(self.metrics):
            return -math.inf
        score = selection.of_epochs.score({"val_accuracy": self.val_accuracy, **self.metrics})
        return -math.inf if score is None else score


R = TypeVar("R", bound=EpochResult)


def best_of(history: Sequence[R], selection: Selection = BY_ACCURACY, after: int = 0) -> R | None:
    """Return the epoch with the best selecting metric, then the lowest loss, then the first; None if empty.

    If there are epochs above ``after``, it is one of them.
    """
    history = [result for result in history if result.epoch > after] or history
    return max(history, key=lambda result: (result.score(selection), -result.val_loss), default=None)


class Diverged(RuntimeError):  # noqa: N818 - "diverged" is the word of the database and the reports
    """A loss is not finite. ``step`` counts from 1 within its epoch; ``problem`` names the loss and its value."""

    def __init__(self, epoch: int, step: int, lr: float, problem: str) -> None:
        super().__init__(epoch, step, lr, problem)  # all arguments, so that the error can be pickled
        self.epoch, self.step, self.lr, self.problem = epoch, step, lr, problem

    def __str__(self) -> str:
        return (
            f"losses must stay finite, but the {self.problem} at epoch {self.epoch}, step {self.step}, lr {self.lr:g}; "
            "lower recipe.lr or set recipe.warmup_epochs"
        )
