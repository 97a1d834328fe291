"""The result of one epoch and of its validation, and the error of a diverged epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(frozen=True)
class Validation:
    """Loss and accuracy on the validation images after an epoch; the fields have the names of :class:`EpochResult`."""

    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class EpochResult:
    """The metrics of one epoch; results compare by all fields except ``seconds``.

    ``epoch`` counts from 1. ``train_loss`` (with label smoothing) and ``train_accuracy`` are running means over the
    augmented images, measured while the weights change. ``lr`` is the learning rate of the last step. ``seconds``
    includes the validation.
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
    """Return the epoch with the highest validation accuracy, then the lowest loss, then the first; None if empty."""
    return max(history, key=lambda result: (result.val_accuracy, -result.val_loss), default=None)


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
