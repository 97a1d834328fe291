"""Distortion: the random changes to training images that a recipe asks for by number.

Shapes: images (B, C, H, W), float32 in [0, 1]; a field (B, 2, H, W) says, in pixels right and down, how far from each
pixel its value is taken. Every image draws its own change from an explicit generator, and labels stay true.
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...spaces.recipes.recipe import Recipe
from .augmentation import augment, jitter, rotate

REACH = 3  # standard deviations of the Gaussian that smooths a field


def distort(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """The batch changed as the recipe says: the named augmentation, then turn, jitter, elastic distortion and noise.

    A change that is off draws nothing.
    """
    images = augment(images, recipe.augmentation, generator)
    if recipe.rotation_degrees:
        images = rotate(images, generator, math.radians(recipe.rotation_degrees))
    if recipe.jitter:
        images = jitter(images, generator, recipe.jitter)
    if recipe.elastic_alpha_px:
        images = elastic(images, recipe.elastic_alpha_px, recipe.elastic_sigma_px, generator)
    return noise(images, recipe.noise_std, generator) if recipe.noise_std else images


def noise(images: Tensor, std: float, generator: Generator) -> Tensor:
    """Add Gaussian noise of deviation ``std``, in parts of the full range; what leaves [0, 1] is clamped."""
    drawn = torch.randn(images.shape, generator=generator, device=generator.device)
    return (images + std * drawn.to(images.device, non_blocking=True)).clamp(0, 1)


def elastic(images: Tensor, alpha_px: float, sigma_px: float, generator: Generator) -> Tensor:
    """Elastic distortion (Simard et al. 2003), the same field for all channels of an image; bilinear, border repeated.

    ``alpha_px`` is Simard's: 34 with ``sigma_px`` 4 on 29x29 digits. torchvision's ``ElasticTransform`` moves half as
    far for the same alpha, so that its 68 is this 34, and its field is one for a whole batch.
    """
    batch, _, height, width = images.shape
    field = elastic_field(batch, height, width, alpha_px, sigma_px, generator)
    return moved_by(images, field.to(images.device, non_blocking=True))


def elastic_field(
    batch: int, height: int, width: int, alpha_px: float, sigma_px: float, generator: Generator
) -> Tensor:
    """Uniform noise in [-1, 1], smoothed by a Gaussian and scaled: rms alpha / (sqrt(3) 2 sigma sqrt(pi)) pixels.

    The noise is drawn beyond the borders as far as the Gaussian reaches: a field is as strong there as in the middle.
    """
    reach = math.ceil(REACH * sigma_px)
    shape = (2 * batch, 1, height + 2 * reach, width + 2 * reach)
    drawn = 2 * torch.rand(shape, generator=generator, device=generator.device) - 1
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=drawn.device) / sigma_px) ** 2)
    taps = taps / taps.sum()
    smooth = F.conv2d(F.conv2d(drawn, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
    return alpha_px * smooth.view(batch, 2, height, width)


def moved_by(images: Tensor, field: Tensor) -> Tensor:
    """Each pixel's value is taken ``field`` pixels away from it."""
    height, width = images.shape[2:]
    down, right = torch.meshgrid(*(torch.arange(n, device=images.device) for n in (height, width)), indexing="ij")
    x = (2 * (right + field[:, 0]) + 1) / width - 1
    y = (2 * (down + field[:, 1]) + 1) / height - 1
    moved = F.grid_sample(images, torch.stack([x, y], 3), padding_mode="border", align_corners=False)
    return moved.clamp(0, 1)
