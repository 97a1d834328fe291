"""Retraining: one network trained from scratch by its recipe, with the weights of its best validation epoch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...spaces.architectures.architecture import Architecture
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData
from ..networks.build import build_for
from .epoch import EpochResult
from .evaluate import evaluate
from .trainer import Fit


@dataclass(frozen=True)
class Retrained:
    """The ``weights`` of a network in its best validation epoch, and what that epoch did.

    ``test_accuracy`` is measured once, and nothing selects by it; None without test images.
    """

    weights: dict[str, Tensor]
    best: EpochResult
    test_accuracy: float | None


def retrain(
    architecture: Architecture,
    recipe: Recipe,
    data: ImageData,
    *,
    seed: int,
    device: str = "cpu",
    precision: str = "fp32",
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> Retrained:
    """Train the network that ``architecture`` describes; the same seed on the same kind of machine gives the same."""
    network, channels_last = build_for(architecture, recipe, seed=seed), torch.device(device).type == "cuda"
    fit = Fit(
        network,
        data,
        recipe,
        seed=seed,
        device=device,
        precision=precision,
        channels_last=channels_last,
        keep_best=True,
    )
    while not fit.done:
        on_epoch(fit.step())
    assert fit.best is not None
    assert fit.best_weights is not None
    tested = None
    if data.test is not None:
        ((module, _),) = fit.best_networks()
        tested = evaluate(module, data.test, data, fit.compute, 2 * recipe.batch_size).accuracy
    return Retrained(fit.best_weights, fit.best, tested)
