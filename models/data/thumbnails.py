"""Thumbnails: images small enough to stand in a page and in a database."""

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE = 64  # pixels, at most


def data_uri(image: Tensor) -> str:
    """An image (C, H, W) of 1 or 3 channels, uint8 or float32 in [0, 1], as a PNG of at most 64 pixels in a text."""
    pixels = image if image.dtype == torch.uint8 else (255 * image).round().clamp(0, 255).to(torch.uint8)
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
