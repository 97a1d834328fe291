"""The examination of a training that diverged: are the gradients right, and which learning rate trains (lecture)."""

from collections.abc import Callable
from typing import Any

from torch import nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import Device, ImageData
from ..training.lr_finder import START_LR, NoLearningRate, find_lr
from .context import Patient
from .gradients import gradients

LARGEST_MACS = 100_000_000  # of a network whose gradients are checked on the spot: differences take float64 on the CPU


def examine_divergence(
    make: Callable[[int], nn.Module],
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    macs: int,
    device: Device = "cpu",
    precision: str = "fp32",
    channels_last: bool = False,
) -> dict[str, Any]:
    """``gradients``: the figures of the gradient check, None for a network above ``LARGEST_MACS``. ``lr``: the first
    rate below the recipe's, half by half, at which the loss on a subset falls; None where there is none, or where
    backward is wrong. As JSON's own types.
    """
    figures = None
    if macs <= LARGEST_MACS:
        figures = gradients(Patient(make, data.to("cpu"), recipe, seed)).figures
        if figures["wrong"]:
            return {"gradients": figures, "lr": None}
    settings: dict[str, Any] = {"device": device, "precision": precision, "channels_last": channels_last}
    try:
        found = find_lr(make(seed), data, recipe, start_lr=min(recipe.lr / 2, START_LR), seed=seed, **settings)
    except NoLearningRate:
        return {"gradients": figures, "lr": None}
    return {"gradients": figures, "lr": found.lr}
