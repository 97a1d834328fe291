"""The examination of a training that diverged: are the gradients right, and which learning rate trains (lecture)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData
from ..networks.compute import CPU, Compute
from ..training.lr_finder import START_LR, NoLearningRate, find_lr
from .context import Patient
from .gradients import gradients

LARGEST_MACS = 100_000_000  # of a network whose gradients are checked on the spot: differences take float64 on the CPU


@dataclass(frozen=True)
class DivergenceReport:
    """``gradients``: the figures of the gradient check, None for a network above ``LARGEST_MACS``.

    ``lr``: the first rate below the recipe's, half by half, at which the loss on a subset falls; None where there is
    none, or where backward is wrong.
    """

    gradients: dict[str, Any] | None
    lr: float | None


def examine_divergence(
    make: Callable[[int], nn.Module],
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    macs: int,
    compute: Compute = CPU,
) -> DivergenceReport:
    """Check the gradients of the network that ``make`` builds by a seed, and search for a learning rate."""
    figures = None
    if macs <= LARGEST_MACS:
        figures = gradients(Patient(make, data.to("cpu"), recipe, seed)).figures
        if figures["wrong"]:
            return DivergenceReport(figures, None)
    try:
        found = find_lr(make(seed), data, recipe, start_lr=min(recipe.lr / 2, START_LR), seed=seed, compute=compute)
    except NoLearningRate:
        return DivergenceReport(figures, None)
    return DivergenceReport(figures, found.lr)
