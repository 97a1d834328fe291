"""Weight averaging: the network that is validated and stored has the average of the weights of many steps or epochs."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...spaces.recipes.recipe import Recipe


class WeightAveraging:
    """The running average of the weights that ``recipe.averaging`` selects. It does not change the training.

    ``ema``: exponential average over steps, with ``ema_decay``. ``swa``: mean over the ends of the epochs after the
    fraction ``swa_start`` of all epochs (Izmailov et al. 2018). Running statistics of batch norm are averaged too; the
    paper measures them again on the training images, which would cost an epoch.
    """

    def __init__(self, module: nn.Module, recipe: Recipe) -> None:
        self.recipe = recipe
        ema = get_ema_multi_avg_fn(recipe.ema_decay) if recipe.averaging == "ema" else None  # type: ignore[no-untyped-call]
        # use_buffers averages the running statistics of batch norm too; by default torch copies the latest ones.
        self.model = AveragedModel(module, multi_avg_fn=ema, use_buffers=True)

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights."""
        averaged: nn.Module = self.model.module
        return averaged

    @property
    def has_average(self) -> bool:
        """Whether at least one set of weights has been averaged."""
        return int(self.model.n_averaged) > 0

    def after_step(self, module: nn.Module) -> None:
        """Update the average after a step, if it is over steps."""
        if self.recipe.averaging == "ema":
            self.model.update_parameters(module)

    def after_epoch(self, module: nn.Module, epoch: int) -> None:
        """Update the average after ``epoch``, counted from 1, if it is over epochs and this one counts."""
        # The last epoch always counts, so that the average is never empty.
        if self.recipe.averaging == "swa" and epoch > min(
            self.recipe.swa_start * self.recipe.epochs, self.recipe.epochs - 1
        ):
            self.model.update_parameters(module)


def make_averaging(module: nn.Module, recipe: Recipe) -> WeightAveraging | None:
    """Return the averaging that ``recipe`` selects, or None."""
    return None if recipe.averaging == "none" else WeightAveraging(module, recipe)
