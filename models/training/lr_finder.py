"""The learning rate by the lecture's rule: start large, and halve it until the loss on a subset falls."""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData, in_unit_range
from ..networks.compute import CPU, Compute
from .epoch import Diverged
from .optimizers import make_optimizer
from .random_state import Streams
from .steps import train_steps

START_LR = 1.0
HALVINGS = 30  # of the first rate, before there is none to be found
WINDOW = 0.2  # share of the steps at the end whose mean counts


@dataclass(frozen=True)
class LrTry:
    """One rate tried: the loss before the first step, the mean over the last fifth of the steps, and the verdict."""

    lr: float
    first_loss: float
    last_loss: float
    diverged: bool


@dataclass(frozen=True)
class LrFound:
    """The first rate that did not diverge, and every rate that was tried, that one last."""

    lr: float
    tries: tuple[LrTry, ...]


def lr_found_from(data: Mapping[str, Any]) -> LrFound:
    """The finding that ``dataclasses.asdict`` wrote."""
    return LrFound(data["lr"], tuple(LrTry(**tried) for tried in data["tries"]))


class NoLearningRate(Diverged):
    """The loss on the subset rises at every rate that was tried."""

    def __init__(self, tries: Sequence[LrTry]) -> None:
        super().__init__(0, 0, tries[-1].lr, f"loss on a subset is {tries[-1].last_loss:.3g}")
        self.args = (tuple(tries),)
        self.tries = tuple(tries)

    def __str__(self) -> str:
        first, last = self.tries[0], self.tries[-1]
        return (
            "some learning rate must bring the loss on a subset below where it began, but none of "
            f"{len(self.tries)} from {first.lr:g} to {last.lr:g} does (from {last.first_loss:.3g} to "
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
) -> LrFound:
    """The first of ``start_lr``, ``start_lr / 2``, ... at which training does not diverge.

    Each is held constant for ``steps`` batches of a copy of ``module`` on the same ``n_images`` training images, not
    augmented. The optimizer, batch size and label smoothing are the recipe's; its own lr and schedule do not matter.
    ``module`` and torch's global generators stay as they were. Raises :class:`NoLearningRate`.
    """
    index = torch.randperm(len(data.train), generator=Streams(seed, compute.device).shuffle)[:n_images]
    subset = data.train.take(index.to(data.train.labels.device)).to(compute.device)
    images = data.to(compute.device).normalise(in_unit_range(subset.images))

    def losses_at(lr: float) -> list[float]:
        return _losses(module, images, subset.labels, replace(recipe, lr=lr), steps, seed, compute)

    return first_that_falls(losses_at, start_lr)


def first_that_falls(losses_at: Callable[[float], Sequence[float]], start_lr: float) -> LrFound:
    """Halve ``start_lr`` until the losses that ``losses_at`` gives are finite and end, on average, below the first."""
    tries: list[LrTry] = []
    for halvings in range(HALVINGS + 1):
        tries.append(_judged(start_lr / 2**halvings, losses_at(start_lr / 2**halvings)))
        if not tries[-1].diverged:
            return LrFound(tries[-1].lr, tuple(tries))
    raise NoLearningRate(tries)


def _judged(lr: float, losses: Sequence[float]) -> LrTry:
    first, last = losses[0], fmean(losses[-max(1, round(WINDOW * len(losses))) :])
    return LrTry(lr, first, last, diverged=not (all(map(math.isfinite, losses)) and last < first))


def _losses(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    steps: int,
    seed: int,
    compute: Compute,
) -> list[float]:
    """The loss of each step, up to the first that is not finite."""
    trained = compute.place(deepcopy(module)).train()
    optimizer, streams = make_optimizer(trained, recipe), Streams(seed, compute.device)
    batches = (
        torch.randperm(len(labels), generator=streams.shuffle)[: recipe.batch_size].to(compute.device)
        for _ in range(steps)
    )

    def loss_of(index: Tensor) -> Tensor:
        logits = compute.logits(trained, images[index])
        return F.cross_entropy(logits, labels[index], label_smoothing=recipe.label_smoothing)

    losses: list[float] = []
    with streams.layers():
        for loss in train_steps(batches, loss_of, optimizer):
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
    return losses
