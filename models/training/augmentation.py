"""Augmentation: random changes of training images that keep their labels valid, and the time that they take.

Every image has its own random change. Shapes: images (B, C, H, W), float32 in [0, 1]; a factor or choice per image is
(B, 1, 1, 1); a displacement field (B, 2, H, W) has, for each pixel, the distance in pixels to the right and down from
which its value is taken.

All draws come from an explicit generator and are then moved to the device of the images, so that a CPU generator gives
the same sequence on every device. The moves do not block: the CPU does not wait for a GPU.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.recipe import CROP_FLIP, Recipe
from ..data.dataset import Device, ImageData, Split, in_unit_range
from ..data.zero_shot import ZeroShotData
from ..networks.compute import synchronize
from ..storage.cropped import CroppedImages
from ..storage.images import Images
from ..storage.tensor_crops import cropped
from .batch_transforms import randaugment, random_erasing

TRUNCATE = 3  # the Gaussian that smooths a field is cut off at so many standard deviations

TIMED_BATCHES = 5  # after one warm-up batch

MAX_SHIFT = 1 / 8  # of the image side
MAX_ROTATION = math.radians(15)
MAX_JITTER = 0.2  # relative change of brightness, contrast and saturation


def augment(images: Tensor, kind: str, generator: Generator) -> Tensor:
    """Change a batch of training images by the augmentation ``kind``; shape, dtype and range stay the same.

    ``kind`` is a value of ``Recipe.augmentation``. Raises ``ValueError`` for an unknown kind.
    """
    for change in look_up(AUGMENTATIONS, kind, "augmentation"):
        images = change(images, generator)
    return images


def shift(images: Tensor, generator: Generator) -> Tensor:
    """Move each image by up to an eighth of its sides, in whole pixels; border pixels are repeated."""
    batch, channels, height, width = images.shape
    rows = _shifted_index(batch, height, generator).to(images.device, non_blocking=True)
    columns = _shifted_index(batch, width, generator).to(images.device, non_blocking=True)
    image = torch.arange(batch, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return images[image, channel, rows.view(batch, 1, height, 1), columns.view(batch, 1, 1, width)]


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability one half."""
    return torch.where(_uniform(0, 1, images, generator) < 0.5, images.flip(3), images)


def rotate(images: Tensor, generator: Generator, max_angle: float = MAX_ROTATION) -> Tensor:
    """Rotate each image about its centre by up to ``max_angle`` radians; bilinear, border pixels are repeated."""
    angle = _uniform(-max_angle, max_angle, images, generator).view(-1)
    height, width = images.shape[2:]
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Grid coordinates are in half sides, so the sine is scaled by the side ratio; otherwise oblong images are sheared.
    rows = torch.stack([cos, -sin * height / width, zero], 1), torch.stack([sin * width / height, cos, zero], 1)
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False).clamp(0, 1)


def jitter(images: Tensor, generator: Generator, max_change: float = MAX_JITTER) -> Tensor:
    """Change brightness, contrast and (in colour) saturation of each image by random factors of 1 +- ``max_change``."""
    for change in (brightness, contrast, saturation):
        images = change(images, _uniform(1 - max_change, 1 + max_change, images, generator))
    return images


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image by its ``factor``: blend with black."""
    return (images * factor).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its mean grey; ``factor`` 1 changes nothing, 0 gives the grey."""
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, factor).clamp(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its grey version; grey images do not change."""
    return torch.lerp(_grey(images), images, factor).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of colour images (ITU-R BT.601), or the channel mean of other images."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    grey: Tensor = 0.2989 * red + 0.587 * green + 0.114 * blue
    return grey


def _shifted_index(batch: int, side: int, generator: Generator) -> Tensor:
    """Return the index (B, side) that shifts the rows or columns of each image, clamped at the border."""
    max_offset = int(side * MAX_SHIFT)
    offset = torch.randint(-max_offset, max_offset + 1, (batch, 1), generator=generator, device=generator.device)
    return (torch.arange(side, device=generator.device) + offset).clamp(0, side - 1)


def _uniform(low: float, high: float, images: Tensor, generator: Generator) -> Tensor:
    draw = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device)
    return (low + (high - low) * draw).to(images.device, non_blocking=True)


AUGMENTATIONS: dict[str, tuple[Callable[[Tensor, Generator], Tensor], ...]] = {
    "none": (),
    "shift": (shift,),
    "shift-flip": (shift, flip),
    "standard": (shift, flip, rotate, jitter),
    CROP_FLIP: (flip,),  # the crop is made where the images are read: see epoch_images
}


def epoch_images(split: Split, recipe: Recipe, generator: Generator) -> Split:
    """Return the training images of one epoch: random-resized crops if the recipe has them, else ``split`` itself.

    The crops of all images are drawn at once, so that a storage can decode the next ones ahead.
    """
    if recipe.augmentation != CROP_FLIP:
        return split
    draws = torch.rand(len(split), 4, generator=generator, device=generator.device)
    return replace(split, images=CroppedImages(split.images, draws))


def training_images(images: Tensor, data: ImageData | ZeroShotData, recipe: Recipe, generator: Generator) -> Tensor:
    """Change images of a split (uint8 or float32) by the recipe and normalise them, as the input of a network."""
    return erase(data.normalise(distort(in_unit_range(images), recipe, generator)), recipe, generator)


def erase(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """Erase a rectangle of normalised images with the probability of the recipe."""
    return random_erasing(images, recipe.random_erasing, generator) if recipe.random_erasing else images


def distort(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """Change the batch by RandAugment, augmentation, rotation, jitter, elastic distortion and noise, in this order.

    A change that is off draws no random numbers.
    """
    if recipe.randaugment_ops:
        images = randaugment(images, recipe.randaugment_ops, recipe.randaugment_magnitude, generator)
    images = augment(images, recipe.augmentation, generator)
    if recipe.rotation_degrees:
        images = rotate(images, generator, math.radians(recipe.rotation_degrees))
    if recipe.jitter:
        images = jitter(images, generator, recipe.jitter)
    if recipe.elastic_alpha_px:
        images = elastic(images, recipe.elastic_alpha_px, recipe.elastic_sigma_px, generator)
    return noise(images, recipe.noise_std, generator) if recipe.noise_std else images


def noise(images: Tensor, std: float, generator: Generator) -> Tensor:
    """Add Gaussian noise with deviation ``std``, as a fraction of the full range, and clamp the result to [0, 1]."""
    draws = torch.randn(images.shape, generator=generator, device=generator.device)
    return (images + std * draws.to(images.device, non_blocking=True)).clamp(0, 1)


def elastic(images: Tensor, alpha_px: float, sigma_px: float, generator: Generator) -> Tensor:
    """Distort each image elastically (Simard et al. 2003), by one field for all its channels.

    The interpolation is bilinear and border pixels are repeated. ``alpha_px`` is that of Simard et al.: 34 with
    ``sigma_px`` 4 on 29x29 digits. torchvision's ``ElasticTransform`` moves pixels half as far for the same alpha (its
    68 is this 34), and uses one field for a whole batch.
    """
    batch, _, height, width = images.shape
    field = elastic_field(batch, height, width, alpha_px, sigma_px, generator)
    return warp(images, field.to(images.device, non_blocking=True))


def elastic_field(
    batch: int, height: int, width: int, alpha_px: float, sigma_px: float, generator: Generator
) -> Tensor:
    """Return uniform noise in [-1, 1], smoothed by a Gaussian and scaled by ``alpha_px``, as a field (B, 2, H, W).

    Its root mean square is alpha / (sqrt(3) 2 sigma sqrt(pi)) pixels.
    """
    # Noise is drawn beyond the borders up to the reach of the Gaussian: padding by zeros would weaken the field there.
    reach = math.ceil(TRUNCATE * sigma_px)
    shape = (2 * batch, 1, height + 2 * reach, width + 2 * reach)
    uniform = 2 * torch.rand(shape, generator=generator, device=generator.device) - 1
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=uniform.device) / sigma_px) ** 2)
    taps = taps / taps.sum()
    smooth = F.conv2d(F.conv2d(uniform, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
    return alpha_px * smooth.view(batch, 2, height, width)


def warp(images: Tensor, field: Tensor) -> Tensor:
    """Return images whose pixel values are taken ``field`` pixels to the right and down; bilinear."""
    height, width = images.shape[2:]
    down, right = torch.meshgrid(*(torch.arange(n, device=images.device) for n in (height, width)), indexing="ij")
    # grid_sample with align_corners=False: -1 and 1 are the outer edges of the border pixels, not their centres.
    x = (2 * (right + field[:, 0]) + 1) / width - 1
    y = (2 * (down + field[:, 1]) + 1) / height - 1
    warped = F.grid_sample(images, torch.stack([x, y], 3), padding_mode="border", align_corners=False)
    return warped.clamp(0, 1)


@dataclass(frozen=True)
class AugmentationCost:
    """Milliseconds that a recipe needs to change ``batch_size`` images: the median of ``n`` runs on ``device``."""

    batch_ms: float
    batch_size: int
    n: int
    device: str


def augmentation_cost(images: Images, recipe: Recipe, device: Device) -> AugmentationCost | None:
    """Measure how long ``recipe`` takes to change a batch of ``images`` on ``device``; None if it changes nothing.

    ``images`` are (N, C, H, W), uint8 or float32 in [0, 1]. The measurement draws from its own generator, so that it
    does not change a fit.
    """
    images = in_unit_range(images[: recipe.batch_size].to(device))
    generator = Generator().manual_seed(0)
    if _changed(images, recipe, generator) is images:  # every change returns a new tensor
        return None
    seconds = []
    for _ in range(TIMED_BATCHES + 1):
        synchronize(images.device)
        started = time.perf_counter()
        _changed(images, recipe, generator)
        synchronize(images.device)
        seconds.append(time.perf_counter() - started)
    # The first run is left out, because it pays for set-up such as memory allocation.
    return AugmentationCost(1000 * median(seconds[1:]), len(images), TIMED_BATCHES, images.device.type)


def _changed(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """Return a batch in memory after all changes of the recipe, crops included."""
    if recipe.augmentation == CROP_FLIP:
        images = cropped(images, torch.rand(len(images), 4, generator=generator))
    return erase(distort(images, recipe, generator), recipe, generator)
