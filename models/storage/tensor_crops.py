"""Crops of images in memory.

Shapes: images (B, C, H, W); draws (B, 4) in [0, 1), see :func:`~archsieve.models.image_files.crops.crop_boxes`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image_files.crops import crop_boxes


def cropped(images: Tensor, draws: Tensor) -> Tensor:
    """Return the crops of images in memory, of the same shape and type; bilinear."""
    height, width = images.shape[2:]
    boxes = torch.from_numpy(crop_boxes(draws.cpu().numpy(), width, height)).float().to(images.device)
    left, top, right, bottom = (boxes / boxes.new_tensor([width, height, width, height])).T
    zero = torch.zeros_like(left)
    # the grid has coordinates from -1 to 1 between the outer edges of the image
    rows = (
        torch.stack([right - left, zero, left + right - 1], 1),
        torch.stack([zero, bottom - top, top + bottom - 1], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    crops = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return crops.clamp(0, 1) if images.is_floating_point() else crops.round().clamp(0, 255).to(images.dtype)
