"""Augmentation: random changes to a batch of training images that leave its labels true.

Every image draws its own change. Shapes: images (B, C, H, W), float32 in [0, 1]; a factor or choice per image is
(B, 1, 1, 1). All draws come from an explicit generator and are moved to the images' device, so a CPU generator gives
one sequence on every device. The move is not waited for: a GPU is never asked whether it is done.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...spaces.parameters.lookup import look_up

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
