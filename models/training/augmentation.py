"""Augmentation: random changes to a batch of training images that leave its labels true, and what they cost.

Every image draws its own change. Shapes: images (B, C, H, W), float32 in [0, 1]; a factor or choice per image is
(B, 1, 1, 1); a field (B, 2, H, W) says, in pixels right and down, how far from each
pixel its value is taken. All draws come from an explicit generator and are moved to the images' device, so a CPU
generator gives one sequence on every device. The move is not waited for: a GPU is never asked whether it is done.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import Device, ImageData, in_unit_range
from ..data.zero_shot import ZeroShotData
from ..networks.compute import synchronize

REACH = 3  # standard deviations of the Gaussian that smooths a field

TIMED_BATCHES = 5  # after one that is not timed

MAX_SHIFT = 1 / 8  # of the side
MAX_TURN = math.radians(15)
MAX_JITTER = 0.2


def augment(images: Tensor, kind: str, generator: Generator) -> Tensor:
    """The batch changed as ``Recipe.augmentation`` says: shape, type and range stay. For training images only."""
    for change in look_up(AUGMENTATIONS, kind, "augmentation"):
        images = change(images, generator)
    return images


def shift(images: Tensor, generator: Generator) -> Tensor:
    """Move each image by up to an eighth of its sides, in whole pixels; the border pixel is repeated."""
    batch, channels, height, width = images.shape
    rows = _moved(batch, height, generator).to(images.device, non_blocking=True)
    columns = _moved(batch, width, generator).to(images.device, non_blocking=True)
    which = torch.arange(batch, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return images[which, channel, rows.view(batch, 1, height, 1), columns.view(batch, 1, 1, width)]


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability one half."""
    return torch.where(_uniform(0, 1, images, generator) < 0.5, images.flip(3), images)


def rotate(images: Tensor, generator: Generator, most: float = MAX_TURN) -> Tensor:
    """Turn each image about its centre by up to ``most`` radians, 15 degrees; bilinear, the border repeated."""
    angle = _uniform(-most, most, images, generator).view(-1)
    height, width = images.shape[2:]
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = torch.stack([cos, -sin * height / width, none], 1), torch.stack([sin * width / height, cos, none], 1)
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False).clamp(0, 1)


def jitter(images: Tensor, generator: Generator, most: float = MAX_JITTER) -> Tensor:
    """Change brightness, contrast and, of colour images, saturation of each image by up to ``most``, a fifth."""
    for change in (brightness, contrast, saturation):
        images = change(images, _uniform(1 - most, 1 + most, images, generator))
    return images


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black."""
    return (images * factor).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey of each image."""
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, factor).clamp(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with each image's own grey; grey images stay as they are."""
    return torch.lerp(_grey(images), images, factor).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of colour images (ITU-R BT.601); the channel mean of others."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    grey: Tensor = 0.2989 * red + 0.587 * green + 0.114 * blue
    return grey


def _moved(batch: int, side: int, generator: Generator) -> Tensor:
    """The index (B, side) that moves each image's rows or columns, clamped at the border."""
    most = int(side * MAX_SHIFT)
    offset = torch.randint(-most, most + 1, (batch, 1), generator=generator, device=generator.device)
    return (torch.arange(side, device=generator.device) + offset).clamp(0, side - 1)


def _uniform(low: float, high: float, images: Tensor, generator: Generator) -> Tensor:
    draw = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device)
    return (low + (high - low) * draw).to(images.device, non_blocking=True)


AUGMENTATIONS: dict[str, tuple[Callable[[Tensor, Generator], Tensor], ...]] = {
    "none": (),
    "shift": (shift,),
    "shift-flip": (shift, flip),
    "standard": (shift, flip, rotate, jitter),
}


def training_images(images: Tensor, data: ImageData | ZeroShotData, recipe: Recipe, generator: Generator) -> Tensor:
    """A batch of images, as they are in a split, as a network is trained on them: changed, then normalised."""
    return data.normalise(distort(in_unit_range(images), recipe, generator))


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


@dataclass(frozen=True)
class AugmentationCost:
    """Milliseconds that a recipe's changes to a batch of ``batch_size`` take: the median of ``n`` on ``device``."""

    batch_ms: float
    batch_size: int
    n: int
    device: str


def augmentation_cost(images: Tensor, recipe: Recipe, device: Device) -> AugmentationCost | None:
    """How long ``recipe`` takes to change a batch of ``images`` on ``device``; None where it changes nothing.

    ``images`` are (N, C, H, W), uint8 or in [0, 1]. No generator of a fit is drawn from.
    """
    images = in_unit_range(images[: recipe.batch_size].to(device))
    generator = Generator().manual_seed(0)
    if distort(images, recipe, generator) is images:
        return None
    seconds = []
    for _ in range(TIMED_BATCHES + 1):
        synchronize(images.device)
        started = time.perf_counter()
        distort(images, recipe, generator)
        synchronize(images.device)
        seconds.append(time.perf_counter() - started)
    return AugmentationCost(1000 * median(seconds[1:]), len(images), TIMED_BATCHES, images.device.type)
