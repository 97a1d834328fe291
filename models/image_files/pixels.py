"""From an opened image to the pixels of a square, by the current rules.

Shapes: H x W is the image as it is decoded, h x w the part of the square that it covers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .crops import crop_boxes
from .decoding_rules import Decoding
from .deep_values import DeepImage
from .orientation import turn_of

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Box = tuple[float, float, float, float]
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Placement:
    """Where an image goes: its part ``box`` is resized to ``size`` (width, height), then turned by ``turn``.

    ``interpolation`` is that of the resizing.
    """

    box: Box
    size: tuple[int, int]
    turn: Image.Transpose | None
    interpolation: str

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the resized and turned part of ``image``."""
        # reducing_gap averages whole blocks down to twice the size first, which is fast, as draft is for JPEG
        small = image.resize(self.size, _RESAMPLING[self.interpolation], self.box, reducing_gap=2.0)
        return small if self.turn is None else small.transpose(self.turn)


def place(image: Image.Image, decoding: Decoding, crop: NDArray[Any] | None = None) -> Placement:
    """Return where ``image`` goes. A JPEG is set to be decoded at a fraction of its size, at least twice the result.

    ``crop`` (4,) are the numbers of a random-resized crop, which replaces ``decoding.resize``; None without one.
    """
    turn = turn_of(image)  # before draft, which needs no pixels either
    if crop is not None:
        return _place_crop(image, decoding, turn, crop)
    left, top, right, bottom = _draft(image, _least_size(image, decoding))
    width, height, side = right - left, bottom - top, decoding.image_size
    if decoding.crop_pct < 1:
        box = _middle((width, height), (left, top), decoding)
        return Placement(box, (side, side), turn, decoding.interpolation)
    if decoding.resize == "crop":
        left, top, edge = (width - min(width, height)) / 2, (height - min(width, height)) / 2, min(width, height)
        return Placement((left, top, left + edge, top + edge), (side, side), turn, decoding.interpolation)
    size = (side, side)
    if decoding.resize == "pad":
        longer = max(width, height)
        size = max(1, round(side * width / longer)), max(1, round(side * height / longer))
    return Placement((left, top, right, bottom), size, turn, decoding.interpolation)


def _middle(size: tuple[float, float], start: tuple[float, float], decoding: Decoding) -> Box:
    """Return the part of an image that timm keeps after resizing its shorter side to ``decoding.resized_side``.

    The longer side of the resized image, and the start of the part in it, are rounded as torchvision does. The part has
    a whole number of pixels of the resized image, so that its pixels are those of the resized image.
    """
    shorter, begins, ends = min(size), [], []
    for length, first in zip(size, start, strict=True):
        pixels = int(decoding.resized_side * length / shorter)
        offset = round((pixels - decoding.image_size) / 2)
        begins.append(first + offset * length / pixels)
        # min, because a rounding error would make the part exceed the image
        ends.append(first + min(length, (offset + decoding.image_size) * length / pixels))
    return begins[0], begins[1], ends[0], ends[1]


def _place_crop(image: Image.Image, decoding: Decoding, turn: Image.Transpose | None, crop: NDArray[Any]) -> Placement:
    """Return where a crop goes. It is drawn before the image is turned: the draws are alike in both directions."""
    (width, height), side = image.size, decoding.image_size
    left, top, right, bottom = crop_boxes(crop[None], width, height)[0].tolist()
    least = int(2 * side * width / (right - left)), int(2 * side * height / (bottom - top))
    _, _, drafted_width, drafted_height = _draft(image, least)
    across, down = drafted_width / width, drafted_height / height
    box = (left * across, top * down, right * across, bottom * down)
    return Placement(box, (side, side), turn, decoding.interpolation)


def _least_size(image: Image.Image, decoding: Decoding) -> tuple[int, int]:
    """Return the least width and height to which the decoder may reduce an image."""
    wanted = 2 * decoding.resized_side
    if decoding.resize != "pad":
        return wanted, wanted
    longer = max(image.size)
    return max(1, wanted * image.size[0] // longer), max(1, wanted * image.size[1] // longer)


def _draft(image: Image.Image, size: tuple[int, int]) -> Box:
    """Let the decoder of JPEG reduce an image to at least ``size``; return the box of the whole image in its pixels."""
    full = (0.0, 0.0, float(image.size[0]), float(image.size[1]))
    if image.format not in ("JPEG", "MPO"):
        return full
    drafted = image.draft("RGB", size)
    return drafted[1] if drafted else full


def square(image: Image.Image, deep: DeepImage | None, placement: Placement, decoding: Decoding) -> Pixels:
    """Return the pixels of ``image``, uint8 (S, S, 3). ``deep`` are its values if they have more than 8 bits."""
    if deep is not None:
        inner = _flatten_deep(deep, placement, decoding.background)
    elif image.has_transparency_data:
        inner = _flatten(placement.apply(_convert(_convert(image, "RGBA"), "RGBa")), decoding.background)
    else:
        inner = np.asarray(placement.apply(_convert(image, "RGB")))
    return _pad(inner, decoding)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Return ``image`` in ``mode``, without the copy that Pillow makes of one that has it already."""
    return image if image.mode in (mode, "RGBa") else image.convert(mode)


def _flatten(image: Image.Image, background: Sequence[int]) -> Pixels:
    """Composite an image with premultiplied alpha, mode RGBa, on ``background``: uint8 (h, w, 3).

    Resizing in this mode weights each pixel by its alpha, so that compositing after it is the same as before it.
    """
    pixels = np.asarray(image).astype(np.int32)
    below = (255 - pixels[..., 3:]) * np.array(background, np.int32)
    flat: Pixels = (pixels[..., :3] + (below + 127) // 255).clip(0, 255).astype(np.uint8)
    return flat


def _flatten_deep(deep: DeepImage, placement: Placement, background: Sequence[int]) -> Pixels:
    """Resize each band as float and round at the end: uint8 (h, w, 3)."""
    bands = [_resize(band, placement) for band in _premultiplied(deep)]
    values = np.stack(bands if len(bands) == 3 else bands * 3, axis=-1)
    if deep.alpha is not None:
        values += (1 - _resize(deep.alpha, placement)[..., None]) * np.array(background, np.float32)
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _premultiplied(deep: DeepImage) -> Iterator[Floats]:
    for band in deep.bands:
        yield band if deep.alpha is None else band * deep.alpha


def _resize(band: Floats, placement: Placement) -> Floats:
    return np.asarray(placement.apply(Image.fromarray(band)), np.float32)


def _pad(inner: Pixels, decoding: Decoding) -> Pixels:
    side, (height, width) = decoding.image_size, inner.shape[:2]
    if (height, width) == (side, side):
        return inner
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = decoding.background
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = inner
    return canvas
