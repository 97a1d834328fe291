"""Image folders as tensors: every file decoded to RGB, resized and centre-cropped to one square."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .dataset import Request, Source, Split
from .errors import DataError
from .folder_layout import list_splits
from .shapes import required_for_folder
from .split_overlap import check_apart
from .splits import stratified_sample


def load_image_folder(request: Request) -> Source:
    """The images of ``path/CLASS/*`` or ``path/{train,val,test}/CLASS/*``, uint8 (N, 3, S, S), S = ``image_size``.

    Raises :class:`DataError` that names the folder or file.
    """
    size, root = required_for_folder(request.path, request.image_size)
    classes, files = list_splits(root)
    check_apart(files)
    return Source(classes, **{part: _read(listed, size, request) for part, listed in files.items()})


def _read(files: Sequence[tuple[Path, int]], size: int, request: Request) -> Split:
    labels = torch.tensor([label for _, label in files])
    kept = stratified_sample(labels, request.limit, seed=request.seed)
    return Split(read_files([files[k][0] for k in kept.tolist()], size), labels[kept])


def read_files(files: Sequence[Path], size: int) -> Tensor:
    """The images in ``files``, uint8 (N, 3, size, size), decoded side by side."""
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
        raise DataError(f"image files are read as square images of 1 or 3 channels, but the network takes {shape}")
    for file in files:
        if not file.is_file():
            raise DataError(f"there is no image file {file}")
    images = read_files(files, height)
    if channels == 3:
        return images
    from torchvision.transforms.v2.functional import rgb_to_grayscale

    return rgb_to_grayscale(images)


def _n_threads() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def decode(file: Path, size: int) -> Tensor:
    """The image in ``file`` as uint8 (3, size, size): the shorter side resized to ``size``, the middle kept."""
    try:
        if file.stat().st_size == 0:
            raise DataError(f"every file in a class folder must be an image, but {file} is empty; remove it")
        with Image.open(file) as image:
            square = ImageOps.fit(_as_rgb(ImageOps.exif_transpose(image)), (size, size), Image.Resampling.BILINEAR)
    except UnidentifiedImageError:
        raise DataError(f"every file in a class folder must be an image, but {file} is none; remove it") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"images must decode, but {file} does not: {error}; replace or remove it") from None
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip at 255 instead of scaling
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if "transparency" in image.info:  # a palette's transparent entries: Pillow warns unless asked for alpha first
        image = image.convert("RGBA")
    return image.convert("RGB")
