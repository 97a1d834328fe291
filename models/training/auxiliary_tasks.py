"""Auxiliary tasks: a network learns a second task without labels from the same features.

A task needs an additional forward pass through the same network, including its batch norm.

Shapes: B normalised images (B, C, H, W) and their features (B, F), the input of the network's last linear layer.

The head of a task exists during training only. Neither the stored network nor the closed-form cost includes it, because
a budget limits the network that is used afterwards. It has 4 F + 4 parameters for ``rotation`` and F C H W + C H W for
``reconstruction``.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.recipe import Recipe
from ..networks.depth import inputs_of
from ..process.random_state import seeded

N_ROTATIONS = 4  # by 0, 90, 180 and 270 degrees


class AuxiliaryTask(nn.Module):
    """A linear head on the features of ``network``, and the loss of its task.

    A task with weight 0 is not created, so that the run is bit-identical to one without the task.
    """

    def __init__(self, network: nn.Module, image: Tensor, task: str, seed: int) -> None:
        super().__init__()
        self.task = task
        # In a list, so that torch does not register the layer as a part of this module.
        self._last_linear = [last_linear(network)]
        outputs = {"rotation": N_ROTATIONS, "reconstruction": image.numel()}[task]
        with seeded(seed):  # the draws of the head must not change those of the network
            self.head = nn.Linear(self._last_linear[0].in_features, outputs)

    def forward(self, predict: Callable[[Tensor], Tensor], images: Tensor, generator: Generator) -> Tensor:
        """Return the loss of the task on ``images`` (B, C, H, W); ``predict`` runs the network."""
        return look_up(TASKS, self.task, "auxiliary task")(self, predict, images, generator)

    def features(self, predict: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Run the network and return the input (B, F) of its last linear layer."""
        with inputs_of(self._last_linear[0]) as captured:
            predict(images)
        return captured[0].float()


def make_auxiliary_task(network: nn.Module, image: Tensor, recipe: Recipe, seed: int) -> AuxiliaryTask | None:
    """Return the auxiliary task of ``recipe`` for images like ``image`` (C, H, W); None without one or with weight 0.

    Raises ``ValueError`` if images or network do not suit the task.
    """
    if recipe.auxiliary == "none" or not recipe.auxiliary_weight:
        return None
    if recipe.auxiliary == "rotation" and image.shape[1] != image.shape[2]:
        raise ValueError(
            f"recipe.auxiliary = 'rotation' needs square images, because it turns them by 90 degrees, but they are "
            f"{image.shape[1]}x{image.shape[2]}; use 'reconstruction'"
        )
    return AuxiliaryTask(network, image, recipe.auxiliary, seed).to(image.device)


def last_linear(network: nn.Module) -> nn.Linear:
    """Return the last linear layer of ``network``, which computes the scores."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError(
            "an auxiliary task reads the input of the last linear layer, but the network has no linear layer; "
            "set recipe.auxiliary to 'none'"
        )
    return layers[-1]


def rotation_loss(
    task: AuxiliaryTask, predict: Callable[[Tensor], Tensor], images: Tensor, generator: Generator
) -> Tensor:
    """Return the cross-entropy in nats of predicting the rotation of each image (Gidaris et al. 2018).

    Each image is rotated once, by a random one of four angles.
    """
    turns = torch.randint(N_ROTATIONS, (len(images),), generator=generator, device=generator.device).to(images.device)
    rotations = torch.stack([images.rot90(turn, (2, 3)) for turn in range(N_ROTATIONS)])
    rotated = rotations[turns, torch.arange(len(images), device=images.device)]
    scores: Tensor = task.head(task.features(predict, rotated))
    return F.cross_entropy(scores, turns)


def reconstruction_loss(
    task: AuxiliaryTask, predict: Callable[[Tensor], Tensor], images: Tensor, generator: Generator
) -> Tensor:
    """Return the mean squared error of images reconstructed from their features.

    Images are normalised, so that the mean image as a reconstruction has an error of 1.
    """
    reconstructed: Tensor = task.head(task.features(predict, images))
    return F.mse_loss(reconstructed, images.flatten(1))


TASKS: dict[str, Callable[[AuxiliaryTask, Callable[[Tensor], Tensor], Tensor, Generator], Tensor]] = {
    "rotation": rotation_loss,
    "reconstruction": reconstruction_loss,
}
