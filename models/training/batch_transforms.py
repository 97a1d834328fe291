"""Augmentation by torchvision: RandAugment and random erasing of each image, mixup and CutMix of a batch.

Shapes: images (B, C, H, W), labels (B,), targets (B, K): the probability of each class, or for several labels of an
image whether it has each of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torchvision.transforms import v2

from ...spaces.recipes.recipe import MAX_RANDAUGMENT_MAGNITUDE, Recipe

COLOUR_CHANNELS = (1, 3)  # of the images that torchvision's changes of colour accept


def randaugment(images: Tensor, ops: int, magnitude: int, generator: Generator) -> Tensor:
    """Apply ``ops`` random changes of strength ``magnitude`` in 0..30 to each image (Cubuk et al. 2020).

    Images are float32 in [0, 1]. Raises ``ValueError`` for images that are neither grey nor in colour.
    """
    if images.shape[1] not in COLOUR_CHANNELS:
        raise ValueError(
            f"recipe.randaugment_ops needs images of 1 or 3 channels, because it changes colours, but they have "
            f"{images.shape[1]}; set it to 0"
        )
    transform = v2.RandAugment(ops, magnitude, num_magnitude_bins=MAX_RANDAUGMENT_MAGNITUDE + 1)
    return _each(transform, images, generator)


def random_erasing(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Set a random rectangle of each normalised image to 0, the mean colour, with ``probability`` (Zhong et al. 2020).

    The rectangle has 2 to 33 % of the image.
    """
    return _each(v2.RandomErasing(probability), images, generator)


def targets_of(labels: Tensor, n_classes: int) -> Tensor:
    """Return labels, classes (B,) or several of an image (B, K), as float32 targets (B, K)."""
    return F.one_hot(labels, n_classes).float() if labels.dim() == 1 else labels.float()


def mix(images: Tensor, targets: Tensor, recipe: Recipe, generator: Generator) -> tuple[Tensor, Tensor]:
    """Mix each image, and its target, with another one of the batch; return images and targets (B, K).

    With ``mixup_alpha`` pixels are averaged (Zhang et al. 2018), with ``cutmix_alpha`` a rectangle is replaced (Yun et
    al. 2019), with both one of the two is drawn for each batch. The share of the other image has a beta distribution.
    Targets of several labels are averaged as well, so that a mixed image has each label in part.
    """
    kinds = ((v2.MixUp, recipe.mixup_alpha), (v2.CutMix, recipe.cutmix_alpha))
    active = [(kind, alpha) for kind, alpha in kinds if alpha]
    kind, alpha = active[int(torch.randint(len(active), (), generator=generator))]
    with _drawing_from(generator):
        mixed: tuple[Tensor, Tensor] = kind(alpha=alpha)(images, targets)
    return mixed


def is_mixed(recipe: Recipe) -> bool:
    """Return whether ``recipe`` mixes images."""
    return bool(recipe.mixup_alpha or recipe.cutmix_alpha)


def _each(transform: v2.Transform, images: Tensor, generator: Generator) -> Tensor:
    # torchvision makes the same change to all images of a batch
    with _drawing_from(generator):
        return torch.stack([transform(image) for image in images])


@contextmanager
def _drawing_from(generator: Generator) -> Iterator[None]:
    """Let torchvision draw from ``generator``: its transforms take none and draw from torch's global one."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
