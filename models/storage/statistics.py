"""Mean and deviation of images."""

import torch
from torch import Tensor

from .images import Images, StoredImages, batches_of


def channel_statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C,) of images as numbers in [0, 1]."""
    # Sums of uint8 values are exact in float64, so the result does not depend on the number of threads.
    total = torch.zeros(2, images.shape[1], dtype=torch.float64)
    known = images.channel_sums() if isinstance(images, StoredImages) else None
    # In chunks, because a float64 copy of uint8 images takes 8 times the memory.
    for chunk in () if known is not None else batches_of(images, 1024):
        values = chunk.double()
        total += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))]).cpu()
    mean, mean_square = (total if known is None else known) / (images.shape.numel() / images.shape[1])
    # Rounding can make the variance of a constant float32 channel slightly negative. Such a channel gets deviation 1,
    # so that normalisation does not divide by zero.
    std = (mean_square - mean.square()).clamp(min=0).sqrt()
    unit = 255.0 if images.dtype == torch.uint8 else 1.0
    return (mean / unit).float(), torch.where(std > 0, std / unit, 1.0).float()
