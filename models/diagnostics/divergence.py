"""Diagnosis of a diverged training run: are the gradients correct, and which learning rate works (lecture)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData
from ..networks.compute import CPU, Compute
from ..training.lr_finder import START_LR, NoLearningRate, find_lr
from .context import DiagnosticContext
from .gradients import gradients

# Central differences run in float64 on the CPU, which takes too long for larger networks.
MAX_CHECKED_MACS = 100_000_000


@dataclass(frozen=True)
class DivergenceReport:
    """The cause of a divergence, as far as it can be measured.

    ``gradients``: the metrics of the gradient check, None for a network above ``MAX_CHECKED_MACS``. ``lr``: the first
    learning rate, halving from below the recipe's, at which the loss on a subset falls; None if there is none or if
    the backward pass is wrong.
    """

    gradients: dict[str, Any] | None
    lr: float | None


def diagnose_divergence(
    make: Callable[[int], nn.Module],
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    macs: int,
    compute: Compute = CPU,
) -> DivergenceReport:
    """Check the gradients of the network that ``make(seed)`` builds, and search for a learning rate that works.

    ``macs`` are the network's multiply-accumulates; ``compute`` is the device and precision of the search.
    """
    metrics = None
    if macs <= MAX_CHECKED_MACS:
        metrics = gradients(DiagnosticContext(make, data.to("cpu"), recipe, seed)).metrics
        if metrics["wrong"]:  # no learning rate repairs a wrong gradient
            return DivergenceReport(metrics, None)
    try:
        # the recipe's own rate is known to diverge, so start below it
        search = find_lr(make(seed), data, recipe, start_lr=min(recipe.lr / 2, START_LR), seed=seed, compute=compute)
    except NoLearningRate:
        return DivergenceReport(metrics, None)
    return DivergenceReport(metrics, search.lr)
