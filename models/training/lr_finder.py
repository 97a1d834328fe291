"""Learning rate search by halving: start with a large rate and halve it until the loss on a subset falls.

This is the rule of the lecture that ``docs/recipe.md`` refers to.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.recipes.recipe import NONE, Recipe
from ..data.dataset import Batch, ImageData, in_unit_range
from ..metrics.label_losses import LabelLoss
from ..networks.compute import CPU, Compute
from ..optimization.custom_parts import BUILT_IN, CustomParts
from ..optimization.fine_tuning import evaluate_frozen
from ..optimization.optimizers import make_optimizer
from ..optimization.steps import train_steps
from .epoch import Diverged
from .label_weights import training_loss
from .random_state import Streams

START_LR = 1.0
MAX_HALVINGS = 30  # of the first rate; then the search fails
FINAL_FRACTION = 0.2  # of the steps, at the end: their mean loss is compared with the first loss


@dataclass(frozen=True)
class LrAttempt:
    """One rate that was tried: loss before the first step, mean loss of the last fifth of the steps, outcome."""

    lr: float
    first_loss: float
    last_loss: float
    diverged: bool


@dataclass(frozen=True)
class LrFound:
    """The first rate that did not diverge, and all rates that were tried; the last one is ``lr``."""

    lr: float
    tries: tuple[LrAttempt, ...]


def lr_found_from(data: Mapping[str, Any]) -> LrFound:
    """Restore the result from the dictionary of ``dataclasses.asdict``."""
    return LrFound(data["lr"], tuple(LrAttempt(**attempt) for attempt in data["tries"]))


class NoLearningRate(Diverged):
    """The loss on the subset does not fall at any rate that was tried."""

    def __init__(self, tries: Sequence[LrAttempt]) -> None:
        super().__init__(0, 0, tries[-1].lr, f"loss on a subset is {tries[-1].last_loss:.3g}")
        self.args = (tuple(tries),)  # the arguments of this class, so that the error can be pickled
        self.tries = tuple(tries)

    def __str__(self) -> str:
        first, last = self.tries[0], self.tries[-1]
        return (
            "a learning rate must reduce the loss on a subset, but none of the "
            f"{len(self.tries)} rates from {first.lr:g} to {last.lr:g} does (the last: from {last.first_loss:.3g} to "
            f"{last.last_loss:.3g}); check the labels, the loss and the network"
        )


def find_lr(
    module: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    start_lr: float = START_LR,
    n_images: int = 256,
    steps: int = 50,
    seed: int,
    compute: Compute = CPU,
    custom: CustomParts = BUILT_IN,
) -> LrFound:
    """Return the first of ``start_lr``, ``start_lr / 2``, ... at which training does not diverge.

    Each rate trains a copy of ``module`` for ``steps`` batches, at a constant rate, on the same ``n_images`` training
    images without augmentation. Optimizer, batch size, label smoothing and class weights are the recipe's; its lr and
    schedule are ignored. ``module`` and torch's global generators do not change. Raises :class:`NoLearningRate` if no
    rate works.
    """
    index = torch.randperm(len(data.train), generator=Streams(seed, compute.device).shuffle)[:n_images]
    subset = data.train.take(index.to(data.train.labels.device)).to(compute.device)
    data = data.to(compute.device)
    subset, loss = replace(subset, images=data.normalise(in_unit_range(subset.images))), training_loss(data, recipe)

    def losses_at(lr: float) -> list[float]:
        return _losses(module, subset, loss, replace(recipe, lr=lr), steps, seed, compute, custom)

    return halve_until_loss_falls(losses_at, start_lr)


def halve_until_loss_falls(losses_at: Callable[[float], Sequence[float]], start_lr: float) -> LrFound:
    """Halve ``start_lr`` until ``losses_at`` returns finite losses whose final mean is below the first loss.

    Raises :class:`NoLearningRate` after ``MAX_HALVINGS`` halvings.
    """
    tries: list[LrAttempt] = []
    for halvings in range(MAX_HALVINGS + 1):
        tries.append(_attempt(start_lr / 2**halvings, losses_at(start_lr / 2**halvings)))
        if not tries[-1].diverged:
            return LrFound(tries[-1].lr, tuple(tries))
    raise NoLearningRate(tries)


def _attempt(lr: float, losses: Sequence[float]) -> LrAttempt:
    first, last = losses[0], fmean(losses[-max(1, round(FINAL_FRACTION * len(losses))) :])
    return LrAttempt(lr, first, last, diverged=not (all(map(math.isfinite, losses)) and last < first))


def _losses(
    module: nn.Module,
    subset: Batch,
    loss: LabelLoss,
    recipe: Recipe,
    steps: int,
    seed: int,
    compute: Compute,
    custom: CustomParts,
) -> list[float]:
    """Train a copy of ``module`` and return the loss of each step, up to the first that is not finite."""
    trained = compute.place(deepcopy(module)).train()  # a copy: every rate starts from the same weights
    if recipe.frozen_stages or recipe.adapter != NONE:
        evaluate_frozen(trained)  # as the training does
    optimizer, streams = make_optimizer(trained, recipe, custom=custom), Streams(seed, compute.device)
    # Every step draws a new sample, so that the number of steps does not depend on the size of the subset.
    batches = (
        torch.randperm(len(subset), generator=streams.shuffle)[: recipe.batch_size].to(compute.device)
        for _ in range(steps)
    )

    def loss_of(index: Tensor) -> Tensor:
        batch = subset.take(index)
        logits = compute.logits(trained, batch.images)
        return custom.batch_loss(logits, batch.labels, batch.weights, loss)

    losses: list[float] = []
    with streams.layers():
        # set at each step, because parts of the network may have a factor on the learning rate
        steps_done = train_steps(
            batches, loss_of, optimizer, lr_at=lambda step: recipe.lr, max_grad_norm=recipe.clip_grad_norm
        )
        for value in steps_done:
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                break
    return losses
