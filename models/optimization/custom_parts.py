"""Custom parts of training: a loss, an optimizer, or a whole training function, instead of the built-in ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from ...spaces.recipes.recipe import Recipe
from ..metrics.label_losses import LabelLoss

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits (B, K), labels (B,)) -> scalar
MakeOptimizer = Callable[[list[dict[str, Any]], Recipe], Optimizer]  # (parameter groups, recipe) -> optimizer
TrainingFunction = Callable[[Any], None]  # takes a TrainingJob


@dataclass(frozen=True)
class CustomParts:
    """Functions of the user that replace parts of the training; None keeps the built-in part.

    * ``function`` trains the whole network and reports each epoch; see :class:`~..training.training_job.TrainingJob`.
    * ``loss`` is minimised: it takes logits (B, K) and labels (B,), and returns a scalar. The recorded validation loss
      stays the cross-entropy, so that trials with different losses can be compared.
    * ``optimizer`` takes the groups of trainable parameters, each with its ``weight_decay``, and the recipe.
    """

    function: TrainingFunction | None = None
    loss: Loss | None = None
    optimizer: MakeOptimizer | None = None

    @property
    def is_custom(self) -> bool:
        """Whether any part is not the built-in one."""
        return self != BUILT_IN

    def batch_loss(self, logits: Tensor, labels: Tensor, weights: Tensor | None, built_in: LabelLoss) -> Tensor:
        """Return the loss that is minimised for logits (B, K), labels, and weights (B,) of images.

        It is ``built_in`` without a custom loss, which gets no weights. After mixing images, and where they have
        several labels, ``labels`` are (B, K). Raises ``ValueError`` if a custom loss does not return a scalar.
        """
        if self.loss is None:
            return built_in(logits, labels, weights)
        loss = self.loss(logits, labels)
        if not isinstance(loss, Tensor) or loss.dim() != 0 or not loss.is_floating_point():
            raise ValueError(
                "train.loss must return the loss of a batch as a scalar tensor, but "
                f"{function_name(self.loss)} returned {_described(loss)}; return its mean"
            )
        return loss

    def make_optimizer(self, groups: list[dict[str, Any]], recipe: Recipe) -> Optimizer | None:
        """Return the custom optimizer of the parameter ``groups``; None without one.

        Raises ``ValueError`` if it is not an optimizer of torch.
        """
        if self.optimizer is None:
            return None
        made = self.optimizer(groups, recipe)
        if not isinstance(made, Optimizer):
            raise ValueError(
                f"train.optimizer must return a torch.optim.Optimizer, but {function_name(self.optimizer)} returned "
                f"{_described(made)}; return one such as torch.optim.RMSprop(groups, lr=recipe.lr)"
            )
        return made


BUILT_IN = CustomParts()


def function_name(function: Any) -> str:
    """Return the name of a function for messages."""
    return str(getattr(function, "__qualname__", function))


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return f"{type(value).__name__} {str(value)[:60]}"
