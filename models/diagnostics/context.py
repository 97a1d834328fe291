"""The diagnostic context: the network, recipe, loss and data that every check of ``archsieve doctor`` reads.

Shapes: B images of a batch, N of a subset, K classes.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import Batch, ImageData, Split, in_unit_range
from ..metrics.label_losses import label_loss
from ..networks.compute import CPU
from ..networks.drop_path import switch_off_drop_path
from ..networks.modules import DropConnectLinear
from ..optimization.optimizers import lr_at, make_optimizer
from ..optimization.steps import train_steps
from ..training.augmentation import training_images
from ..training.evaluate import accuracy, scores
from ..training.random_state import Streams

# fields of the recipe that make fitting the training images harder; 0 disables each
REGULARISERS = (
    *("dropout", "dropconnect", "weight_decay", "label_smoothing"),
    *("rotation_degrees", "jitter", "noise_std", "elastic_alpha_px", "randaugment_ops", "random_erasing", "drop_path"),
)

EVALUATED_AT_A_TIME = 256  # images

Loss = Callable[[Tensor, Tensor], Tensor]
Rating = Literal["good", "watch", "bad"]


@dataclass(frozen=True)
class Finding:
    """The result of one check: a rating, the evidence as text, advice unless the rating is good, and the metrics."""

    check: str
    rating: Rating
    evidence: str
    advice: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingRun:
    """The result of a training run: the module, the loss of each step, and the final accuracies (0 if it diverged)."""

    module: nn.Module
    losses: tuple[float, ...]
    train_accuracy: float
    val_accuracy: float

    @property
    def diverged(self) -> bool:
        """Whether a loss is not finite."""
        return not all(map(math.isfinite, self.losses))


@dataclass(frozen=True, eq=False)
class DiagnosticContext:
    """The network to diagnose, with its data, recipe and loss.

    ``make(seed)`` builds a new network with initial weights drawn from the seed. ``loss`` maps scores (B, K) and labels
    (B,), or bool (B, K) with several labels, to a scalar. ``trained`` is the trained network if there is one; otherwise
    the checks train a new network on ``short_images`` images for ``short_epochs`` epochs.
    """

    make: Callable[[int], nn.Module]
    data: ImageData
    recipe: Recipe
    seed: int = 0
    loss: Loss = label_loss
    trained: nn.Module | None = None
    short_images: int = 1024
    short_epochs: int = 10

    @property
    def chance(self) -> float:
        """The accuracy of always predicting the most frequent class, or set of labels, of the training images."""
        counts = torch.unique(self.data.train.labels, dim=0, return_counts=True)[1]
        return float(counts.max()) / len(self.data.train)

    def subset(self, n: int) -> Batch:
        """Return up to ``n`` training images, drawn with the seed."""
        order = torch.randperm(len(self.data.train), generator=torch.Generator().manual_seed(self.seed))
        return self.data.train.take(order[:n])

    def inputs(self, images: Tensor) -> Tensor:
        """Return the images scaled and normalised as the network expects them."""
        return self.data.normalise(in_unit_range(images))

    @property
    def unregularised_recipe(self) -> Recipe:
        """The recipe without regularisation and augmentation: the network can memorise its training images."""
        disabled = dict.fromkeys(REGULARISERS, 0)
        return replace(self.recipe, **disabled, augmentation="none")  # type: ignore[arg-type]

    def unregularised_network(self) -> nn.Module:
        """Return a new network with dropout, drop-connect and drop path switched off."""
        module = self.make(self.seed)
        switch_off_drop_path(module)
        for layer in module.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
            elif isinstance(layer, DropConnectLinear):
                layer.drop = 0.0
        return module

    @cached_property
    def short_training(self) -> TrainingRun:
        """A short training run by the recipe on a subset, without penalties, weight averages and auxiliary tasks."""
        split, batch = self.subset(self.short_images), self.recipe.batch_size
        steps = self.short_epochs * math.ceil(len(split) / batch)
        return self.train(self.make(self.seed), split, self.recipe, steps)

    @property
    def trained_network(self) -> nn.Module:
        """The trained network, or the network of the short training run if there is none."""
        return self.short_training.module if self.trained is None else self.trained

    def train(
        self,
        module: nn.Module,
        split: Split,
        recipe: Recipe,
        steps: int,
        until: Callable[[nn.Module], bool] = lambda module: False,
    ) -> TrainingRun:
        """Train ``module`` for ``steps`` batches of ``split``, or until ``until(module)`` is true after an epoch.

        A loss that is not finite ends the run early.
        """
        streams, losses = Streams(self.seed, torch.device("cpu")), list[float]()
        optimizer, batch = make_optimizer(module.train(), recipe), min(recipe.batch_size, len(split))

        def batches() -> Iterator[Tensor]:
            while True:
                for index in torch.split(torch.randperm(len(split), generator=streams.shuffle), batch):
                    if len(index) >= min(batch, 2):  # batch norm cannot train on a last batch of one image
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
                    return TrainingRun(module, tuple(losses), 0.0, 0.0)
        return TrainingRun(module, tuple(losses), self.accuracy(module, split), self.accuracy(module, self.data.val))

    def accuracy(self, module: nn.Module, split: Split) -> float:
        """Return the share of images that ``module`` classifies correctly."""
        return accuracy(scores(module, split.images, self.data, CPU, EVALUATED_AT_A_TIME), split.labels)
