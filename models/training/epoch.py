"""The result of one epoch and of its validation, or the divergence that ended it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(frozen=True)
class Validation:
    """Loss and accuracy on the validation images after an epoch; fields are named as in :class:`EpochResult`."""

    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class EpochResult:
    """What one epoch did; equal where all but ``seconds`` is equal.

    ``epoch`` counts from 1. ``train_loss`` (with label smoothing) and ``train_accuracy`` are running means over the
    augmented images while the weights move; ``lr`` is that of the last step. ``seconds`` include the validation.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float = field(compare=False)


R = TypeVar("R", bound=EpochResult)


def best_of(history: Sequence[R]) -> R | None:
    """The epoch of highest validation accuracy; of equals that of lowest validation loss, then the first."""
    return max(history, key=lambda result: (result.val_accuracy, -result.val_loss), default=None)


class Diverged(RuntimeError):  # noqa: N818 - a trial has diverged: the word the store and the reports use
    """A loss is no longer finite. ``step`` counts from 1 in its epoch; ``what`` is the loss and its value."""

    def __init__(self, epoch: int, step: int, lr: float, what: str) -> None:
        super().__init__(epoch, step, lr, what)
        self.epoch, self.step, self.lr, self.what = epoch, step, lr, what

    def __str__(self) -> str:
        return (
            f"losses must stay finite, but the {self.what} at epoch {self.epoch}, step {self.step}, lr {self.lr:g}; "
            "lower recipe.lr or warm up"
        )
