"""The patient: a network with its recipe, loss and data, as the doctor's checks see it.

Shapes: B images of a batch, N of a subset, K classes.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData, Split, in_unit_range
from ..networks.modules import DropConnectLinear
from ..training.augmentation import training_images
from ..training.evaluate import accuracy, predict
from ..training.optimizers import lr_at, make_optimizer
from ..training.random_state import Streams
from ..training.steps import train_steps

HOLD_BACK = (
    *("dropout", "dropconnect", "weight_decay", "label_smoothing"),
    *("rotation_degrees", "jitter", "noise_std", "elastic_alpha_px"),
)

Loss = Callable[[Tensor, Tensor], Tensor]
Verdict = Literal["good", "watch", "bad"]


@dataclass(frozen=True)
class Finding:
    """What a check found: a verdict, the evidence in words, what to do where it is not good, and the figures."""

    check: str
    verdict: Verdict
    evidence: str
    advice: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """A short training: the module, the loss of each step, accuracies at its end, and whether it came to an end."""

    module: nn.Module
    losses: tuple[float, ...]
    train_accuracy: float
    val_accuracy: float

    @property
    def diverged(self) -> bool:
        """Whether the loss left the numbers."""
        return not all(map(math.isfinite, self.losses))


@dataclass(frozen=True, eq=False)
class Patient:
    """``make`` builds the network anew, its weights drawn by a seed; ``loss`` is of (scores (B, K), labels (B,)).

    ``trained`` are the weights of a finished network, where there are any: else a short training stands for it.
    """

    make: Callable[[int], nn.Module]
    data: ImageData
    recipe: Recipe
    seed: int = 0
    loss: Loss = F.cross_entropy
    trained: nn.Module | None = None
    short_images: int = 1024
    short_epochs: int = 10

    @property
    def chance(self) -> float:
        """The accuracy of saying the most frequent class of the training images."""
        counts = torch.bincount(self.data.train.labels, minlength=self.data.n_classes)
        return float(counts.max()) / len(self.data.train)

    def subset(self, n: int) -> Split:
        """Up to ``n`` training images, drawn by the seed."""
        order = torch.randperm(len(self.data.train), generator=torch.Generator().manual_seed(self.seed))
        return self.data.train.take(order[:n])

    def inputs(self, images: Tensor) -> Tensor:
        """Images as the network takes them."""
        return self.data.normalise(in_unit_range(images))

    @property
    def bare(self) -> Recipe:
        """The recipe without anything that holds a network back."""
        nothing = dict.fromkeys(HOLD_BACK, 0.0)
        return replace(self.recipe, **nothing, augmentation="none")  # type: ignore[arg-type]

    def bare_network(self) -> nn.Module:
        """A new network that loses no inputs and no weights while it trains."""
        module = self.make(self.seed)
        for layer in module.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
            elif isinstance(layer, DropConnectLinear):
                layer.drop = 0.0
        return module

    @cached_property
    def short(self) -> Training:
        """A short training by the recipe on some of the training images, less penalties, averages and other tasks."""
        split, batch = self.subset(self.short_images), self.recipe.batch_size
        steps = self.short_epochs * math.ceil(len(split) / batch)
        return self.train(self.make(self.seed), split, self.recipe, steps)

    @property
    def grown(self) -> nn.Module:
        """The finished network, or the one of the short training."""
        return self.short.module if self.trained is None else self.trained

    def train(
        self,
        module: nn.Module,
        split: Split,
        recipe: Recipe,
        steps: int,
        until: Callable[[nn.Module], bool] = lambda module: False,
    ) -> Training:
        """Train ``module`` for ``steps`` batches of ``split``, or until ``until`` holds after a pass over it."""
        streams, losses = Streams(self.seed, torch.device("cpu")), list[float]()
        optimizer, batch = make_optimizer(module.train(), recipe), min(recipe.batch_size, len(split))

        def batches() -> Iterator[Tensor]:
            while True:
                for index in torch.split(torch.randperm(len(split), generator=streams.shuffle), batch):
                    if len(index) >= min(batch, 2):
                        yield index
                if until(module):
                    return

        def loss_of(index: Tensor) -> Tensor:
            images = training_images(split.images[index], self.data, recipe, streams.augmentation)
            return self.loss(module(images), split.labels[index])

        trained = train_steps(
            islice(batches(), steps), loss_of, optimizer, lr_at=lambda step: lr_at(recipe, step, steps)
        )
        with streams.layers():
            for loss in trained:
                losses.append(loss.item())
                if not math.isfinite(losses[-1]):
                    return Training(module, tuple(losses), 0.0, 0.0)
        return Training(module, tuple(losses), self.accuracy(module, split), self.accuracy(module, self.data.val))

    def accuracy(self, module: nn.Module, split: Split) -> float:
        """The share of images that ``module`` is right about."""
        return accuracy(predict(module, split.images, self.data), split.labels)
