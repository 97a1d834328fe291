"""The cost of augmentation: how long a recipe's changes to a batch take on the device that trains."""

import time
from statistics import median
from typing import Any

import torch

from ...spaces.recipes.recipe import Recipe
from ..data.dataset import Device, in_unit_range
from .augmentation import distort

N = 5  # timed batches, after one that is not


def augmentation_cost(images: torch.Tensor, recipe: Recipe, device: Device) -> dict[str, Any] | None:
    """Milliseconds in which ``recipe`` changes a batch of ``images`` on ``device``; None where it changes nothing.

    ``images`` are (N, C, H, W), uint8 or in [0, 1]. ``batch_ms`` is the median of ``n`` batches of ``batch_size``, as
    JSON's own types. No generator of a fit is drawn from.
    """
    images = in_unit_range(images[: recipe.batch_size].to(device))
    generator = torch.Generator().manual_seed(0)
    if distort(images, recipe, generator) is images:
        return None
    seconds = []
    for _ in range(N + 1):
        _wait(images)
        started = time.perf_counter()
        distort(images, recipe, generator)
        _wait(images)
        seconds.append(time.perf_counter() - started)
    return {"batch_ms": 1000 * median(seconds[1:]), "batch_size": len(images), "n": N, "device": images.device.type}


def _wait(images: torch.Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
