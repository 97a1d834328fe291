"""Retraining: one network trained from scratch by its recipe, with the weights of its best validation epoch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...spaces.architectures.architecture import Architecture
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData
from ..export.classifier import ImageModel
from ..networks.build import build_for
from .epoch import EpochResult
from .evaluate import evaluate
from .trainer import Fit


@dataclass(frozen=True)
class Retrained:
    """A network as its best validation epoch left it; ``test_accuracy`` is measured once, and nothing selects by it."""

    model: ImageModel
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
    compute = {"precision": precision, "channels_last": torch.device(device).type == "cuda"}
    network = build_for(architecture, recipe, seed=seed)
    fit = Fit(network, data, recipe, seed=seed, device=device, keep_best=True, **compute)  # type: ignore[arg-type]
    while not fit.done:
        on_epoch(fit.step())
    assert fit.best is not None
    assert fit.best_weights is not None
    tested = None
    if data.test is not None:
        ((module, _),) = fit.best_networks()
        tested = evaluate(module, data.test, data, device, 2 * recipe.batch_size, **compute)[1]  # type: ignore[arg-type]
    about = {"seed": seed, "recipe": recipe.to_json(), "val_accuracy": fit.best.val_accuracy, "epoch": fit.best.epoch}
    return Retrained(ImageModel.of(architecture, fit.best_weights, data, about), fit.best, tested)
