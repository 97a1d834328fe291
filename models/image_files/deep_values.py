"""Images whose values have more than 8 bits or are float, scaled to 0..255 by a stated rule."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from .errors import DataError
from .formats import open_image

Floats = NDArray[np.float32]
Range = tuple[float, float]

# The raw modes in which Pillow reads only the higher byte of each value, and the raw mode that reads the other byte.
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


@dataclass(frozen=True, eq=False)
class DeepImage:
    """An image of float or of integers of more than 8 bits.

    ``bands`` gives one or three arrays (H, W) of values from 0 to 255; ``alpha`` (H, W) is in [0, 1]. ``used_range``:
    the largest value as a fraction of the range of its integer type; None where the range was given.
    """

    bands: Iterator[Floats]
    alpha: Floats | None = None
    used_range: float | None = None


def read_deep(image: ImageFile.ImageFile, stream: IO[bytes], value_range: Range | None, name: str) -> DeepImage | None:
    """Return the values of ``image``, which was opened from ``stream``; None if they have 8 bits or fewer.

    Raises :class:`DataError` if no rule gives their range.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return _read_grey(image, value_range, name)
    if value_range is not None and image.mode in ("RGB", "RGBA") and is_deep_color(image):
        return _read_color(image, stream, value_range)
    return None


def is_deep_color(image: ImageFile.ImageFile) -> bool:
    """Return whether ``image`` has colours of 16 bits, of which Pillow keeps the higher 8. Call it before loading."""
    return image.mode in ("RGB", "RGBA") and any(_raw_mode(tile.args)[-3:] in _OTHER_BYTE for tile in image.tile)


def _read_grey(image: Image.Image, value_range: Range | None, name: str) -> DeepImage:
    key, whole = image.info.get("transparency"), _range_of_type(image)
    values = np.array(image, dtype=np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"values of images must be finite, but {name} has NaN or infinity; replace them by numbers")
    alpha = (values != key).astype(np.float32) if isinstance(key, int) else None
    if value_range is not None:
        return DeepImage(iter([_scale(values, value_range)]), alpha)
    low, high = float(values.min()), float(values.max())
    if whole is None or low < whole[0] or high > whole[1]:
        kind = "float images must be in [0, 1]" if image.mode == "F" else "32-bit and signed images need a range"
        raise DataError(
            f"{kind}, but {name} has values from {low:g} to {high:g}; set the range of all images, as in value_range = "
            f"[{min(low, 0):g}, {max(high, 1):g}]"
        )
    used = None if image.mode == "F" else high / whole[1]
    return DeepImage(iter([_scale(values, whole)]), alpha, used)


def _range_of_type(image: Image.Image) -> Range | None:
    """Return the range of float and of unsigned integers; None for signed and 32-bit integers, which never fill it."""
    if image.mode == "F":
        return 0, 1
    if image.mode.startswith("I;16"):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) if hasattr(image, "tag_v2") else None
        return 0, 4095 if bits == (12,) else 65535
    return (0, 65535) if image.format == "PPM" else None  # Pillow scales a PGM of more than 8 bits to 16


def _scale(values: Floats, limits: Range) -> Floats:
    """Scale ``limits`` to 0..255, in place, because a copy of a large image takes memory."""
    low, high = limits
    np.clip(values, low, high, out=values)
    values -= low
    values *= 255 / (high - low)
    return values


def _read_color(image: Image.Image, stream: IO[bytes], value_range: Range) -> DeepImage:
    image.load()  # before the second image moves the stream
    stream.seek(0)
    lower = open_image(stream)
    lower.tile = [tile._replace(args=_swap_bytes(tile.args)) for tile in lower.tile]
    alpha = np.asarray(image.getchannel("A"), np.float32) / np.float32(255) if image.mode == "RGBA" else None
    return DeepImage((_scale(_join(image, lower, band), value_range) for band in "RGB"), alpha)


def _join(higher: Image.Image, lower: Image.Image, band: str) -> Floats:
    values = np.array(higher.getchannel(band), dtype=np.float32)
    values *= 256
    values += np.asarray(lower.getchannel(band))
    return values


def _raw_mode(args: object) -> str:
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _swap_bytes(args: tuple[Any, ...] | str | None) -> tuple[Any, ...] | str | None:
    """Return the arguments of Pillow's decoder with a raw mode that reads the other byte of each 16-bit value."""
    raw = _raw_mode(args)
    swapped = raw[:-3] + _OTHER_BYTE[raw[-3:]]
    return (swapped, *args[1:]) if isinstance(args, tuple) else swapped
