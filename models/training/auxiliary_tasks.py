"""Auxiliary tasks: what a network learns beside its classes, from the same features, without labels.

A task takes a forward pass of its own, through the same network and its batch norm.

Shapes: B normalised images (B, C, H, W), their features (B, F): what goes into the network's last linear layer.

A head is there in training alone: neither the stored network nor the closed-form cost has it, for a budget limits the
network that is used. It has 4 F + 4 parameters for ``rotation``, F C H W + C H W for ``reconstruction``.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.recipe import Recipe

TURNS = 4  # by 0, 90, 180 and 270 degrees


class Auxiliary(nn.Module):
    """A linear head on the features of ``network``, and the loss of its task.

    The task with weight 0 is not there at all: the run is that of the single task, bit for bit.
    """

    def __init__(self, network: nn.Module, image: Tensor, task: str, seed: int) -> None:
        super().__init__()
        self.task = task
        self._watched = [last_linear(network)]  # in a list: the head does not own the network
        outputs = {"rotation": TURNS, "reconstruction": image.numel()}[task]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(self._watched[0].in_features, outputs)

    def forward(self, predict: Callable[[Tensor], Tensor], images: Tensor, generator: Generator) -> Tensor:
        """The loss of the task on ``images``; ``predict`` runs the network on them."""
        return look_up(TASKS, self.task, "auxiliary task")(self, predict, images, generator)

    def features(self, predict: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """What goes into the network's last linear layer (B, F)."""
        seen: list[Tensor] = []
        hook = self._watched[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
        try:
            predict(images)
        finally:
            hook.remove()
        return seen[0].float()


def auxiliary(network: nn.Module, image: Tensor, recipe: Recipe, seed: int) -> Auxiliary | None:
    """The task that the recipe asks for, for images like ``image`` (C, H, W); None where it weighs nothing."""
    if recipe.auxiliary == "none" or not recipe.auxiliary_weight:
        return None
    if recipe.auxiliary == "rotation" and image.shape[1] != image.shape[2]:
        raise ValueError(
            f"recipe.auxiliary = 'rotation' turns images by 90 degrees and needs square ones, but they are "
            f"{image.shape[1]}x{image.shape[2]}; take 'reconstruction'"
        )
    return Auxiliary(network, image, recipe.auxiliary, seed).to(image.device)


def last_linear(network: nn.Module) -> nn.Linear:
    """The layer that gives the scores."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError("an auxiliary task shares the input of the last linear layer, but the network has none")
    return layers[-1]


def rotation_loss(task: Auxiliary, predict: Callable[[Tensor], Tensor], images: Tensor, generator: Generator) -> Tensor:
    """Which of four turns was an image given (Gidaris et al. 2018)? One turn for each image; nats."""
    turns = torch.randint(TURNS, (len(images),), generator=generator, device=generator.device).to(images.device)
    every = torch.stack([images.rot90(turn, (2, 3)) for turn in range(TURNS)])
    turned = every[turns, torch.arange(len(images), device=images.device)]
    scores: Tensor = task.head(task.features(predict, turned))
    return F.cross_entropy(scores, turns)


def reconstruction_loss(
    task: Auxiliary, predict: Callable[[Tensor], Tensor], images: Tensor, generator: Generator
) -> Tensor:
    """The mean squared error of the image drawn from its features; 1 is that of the mean image."""
    drawn: Tensor = task.head(task.features(predict, images))
    return F.mse_loss(drawn, images.flatten(1))


TASKS: dict[str, Callable[[Auxiliary, Callable[[Tensor], Tensor], Tensor, Generator], Tensor]] = {
    "rotation": rotation_loss,
    "reconstruction": reconstruction_loss,
}
