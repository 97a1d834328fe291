"""Image files as tensors: every file is decoded to RGB, resized and centre-cropped to a square."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .errors import DataError


def read_files(files: Sequence[Path], size: int) -> Tensor:
    """Return the images in ``files``, uint8 (N, 3, size, size), decoded in parallel threads."""
    images = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    with ThreadPoolExecutor(_n_threads()) as pool:
        for i, image in enumerate(pool.map(lambda file: decode(file, size), files)):
            images[i] = image
    return images


def read_images(files: Sequence[Path], shape: tuple[int, int, int]) -> Tensor:
    """Decode ``files`` for a network that takes images of ``shape`` (C, H, W): uint8 (N, C, H, W).

    They are resized and cropped as those of an image folder; for C = 1 they are converted to grey.
    """
    channels, height, width = shape
    if channels not in (1, 3) or height != width:
        raise DataError(
            f"image files are read as square images of 1 or 3 channels, but the network takes {shape}; "
            "pass the images as a tensor of this shape"
        )
    for file in files:
        if not file.is_file():
            raise DataError(f"an image file must exist, but {file} does not; check the path")
    images = read_files(files, height)
    return images if channels == 3 else _as_grey(images)


def _as_grey(images: Tensor) -> Tensor:
    """Convert uint8 (N, 3, H, W) to (N, 1, H, W) by Pillow, which keeps every level of a grey image."""
    grey = images.new_empty(len(images), 1, *images.shape[2:])
    for i, image in enumerate(images):
        grey[i, 0] = torch.from_numpy(np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")))
    return grey


def _n_threads() -> int:
    """Return the number of CPUs that this process may use, at most 8. Not every platform reports the affinity."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def decode(file: Path, size: int) -> Tensor:
    """Return the image in ``file`` as uint8 (3, size, size): shorter side resized to ``size``, centre cropped.

    Raises :class:`DataError` if the file is empty, not an image, broken or too large.
    """
    try:
        if file.stat().st_size == 0:
            raise DataError(f"every file in a class folder must be an image, but {file} is empty; remove it")
        with Image.open(file) as image:
            square = ImageOps.fit(_as_rgb(ImageOps.exif_transpose(image)), (size, size), Image.Resampling.BILINEAR)
    except UnidentifiedImageError:
        raise DataError(f"every file in a class folder must be an image, but {file} is not; remove it") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's SyntaxError: a broken PNG
        raise DataError(f"images must be decodable, but {file} is not: {error}; replace or remove it") from None
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip at 255 instead of scaling
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if "transparency" in image.info:  # transparent palette entries: Pillow warns unless converted to RGBA first
        image = image.convert("RGBA")
    return image.convert("RGB")
