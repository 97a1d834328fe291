"""Averaging: the weights that are validated and kept are an average over those of the last steps or epochs."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...spaces.recipes.recipe import Recipe


class Averaging:
    """The running average that ``recipe.averaging`` asks for; it trains nothing, and the training does not see it.

    ``ema``: exponential, over steps, with ``ema_decay``. ``swa``: the plain mean over the ends of the epochs from
    ``swa_start`` of all on (Izmailov et al. 2018). Running statistics of batch norm are averaged with the weights;
    the paper measures them again on the training images, which would cost an epoch.
    """

    def __init__(self, module: nn.Module, recipe: Recipe) -> None:
        self.recipe = recipe
        ema = get_ema_multi_avg_fn(recipe.ema_decay) if recipe.averaging == "ema" else None  # type: ignore[no-untyped-call]
        self.model = AveragedModel(module, multi_avg_fn=ema, use_buffers=True)

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights."""
        averaged: nn.Module = self.model.module
        return averaged

    @property
    def begun(self) -> bool:
        """Whether there is something to average."""
        return int(self.model.n_averaged) > 0

    def after_step(self, module: nn.Module) -> None:
        """A step is done."""
        if self.recipe.averaging == "ema":
            self.model.update_parameters(module)

    def after_epoch(self, module: nn.Module, epoch: int) -> None:
        """The epoch, counted from 1, is done; the last one always counts."""
        if self.recipe.averaging == "swa" and epoch > min(
            self.recipe.swa_start * self.recipe.epochs, self.recipe.epochs - 1
        ):
            self.model.update_parameters(module)


def averaging(module: nn.Module, recipe: Recipe) -> Averaging | None:
    """The average that the recipe asks for, if any."""
    return None if recipe.averaging == "none" else Averaging(module, recipe)
