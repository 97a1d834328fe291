"""Items of map-style data sets, such as ``torch.utils.data.Dataset``, as images.

Shapes: H rows, W columns; 1, 3 or 4 channels C.
"""

import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .errors import DataError
from .orientation import turn_of

# item access is not safe with threads in general: file handles and random states are shared
_ONE_AT_A_TIME = threading.RLock()
RULE = (
    "a PIL image, an array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W), uint8 or float in [0, 1], with "
    "1, 3 or 4 channels"
)


class Item(NamedTuple):
    """One image as the data set gives it: ``image``, ``label``, and the ``weight`` and ``group`` of a mapping."""

    image: Any
    label: Any
    weight: Any = None
    group: Any = None


@dataclass(frozen=True, eq=False)
class DatasetItems:
    """The data sets of the splits of an index. It can be pickled if they can."""

    parts: Mapping[str, Any]

    def item(self, part: str, row: int) -> Item:
        """Return an item: as its image the pixels, see :func:`pixel_array`; the rest as the data set gives it.

        Raises :class:`DataError` for an exception of the data set, and an item that is not an image with a label.
        """
        where = f"item {row} of {part}"
        with _ONE_AT_A_TIME:
            try:
                item = self.parts[part][row]
            except Exception as error:  # any: it is the code of a user
                raise DataError(
                    f"every item of a data set must be readable, but {where} raised {type(error).__name__}: {error}; "
                    "correct its __getitem__"
                ) from error
            fields = _fields(item, where)
            return fields._replace(image=pixel_array(fields.image, where))


def _fields(item: Any, where: str) -> Item:
    """Return the fields of an item: a pair, or a mapping with their names as in Hugging Face ``datasets``."""
    if isinstance(item, Mapping):
        spellings = (("image", "img"), ("label", "labels", "y"))
        image, label = (next((key for key in keys if key in item), None) for keys in spellings)
        if image is not None and label is not None:
            return Item(item[image], item[label], item.get("weight"), item.get("group"))
    elif isinstance(item, tuple | list) and len(item) == 2:
        return Item(*item)
    kind = f"the keys {', '.join(map(repr, item))}" if isinstance(item, Mapping) else f"a {type(item).__name__}"
    raise DataError(
        f"every item of a data set must be a pair (image, label), or have the keys 'image' and 'label', but {where} is "
        f"{kind}; return image, label"
    )


def pixel_array(image: Any, where: str) -> np.ndarray:
    """Return an image as an array: uint8 (H, W) or (H, W, C) with C 3 or 4; other types (H, W) for a deep PIL image.

    ``image`` is a PIL image, an array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W), as in torchvision. PIL
    images are turned by their EXIF entry. Floats in [0, 1] are multiplied by 255 and rounded. ``where`` names the image
    for errors. Raises :class:`DataError` for anything else.
    """
    if isinstance(image, Image.Image):
        return _of_pil(image)
    pixels = image.detach().cpu().numpy() if hasattr(image, "detach") else image
    if not isinstance(pixels, np.ndarray) or pixels.ndim not in (2, 3):
        raise _unusable(where, f"{type(image).__name__} {getattr(image, 'shape', '')}".strip())
    if pixels.ndim == 3 and hasattr(image, "detach"):
        pixels = pixels.transpose(1, 2, 0)
    if 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise _unusable(where, f"{type(image).__name__} {tuple(image.shape)}")
    pixels = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    return pixels if pixels.dtype == np.uint8 else _rounded(pixels, where)


def _rounded(pixels: np.ndarray, where: str) -> np.ndarray:
    if not np.issubdtype(pixels.dtype, np.floating):
        raise _unusable(where, f"{pixels.dtype} {pixels.shape}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise _unusable(where, f"{pixels.dtype} with values from {low:g} to {high:g}")
    return np.asarray(np.rint(255 * pixels.astype(np.float64)), np.uint8)


def _of_pil(image: Image.Image) -> np.ndarray:
    turn = turn_of(image)
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        kept = "L" if image.mode in ("1", "L") and "transparency" not in image.info else "RGB"
        image = image.convert("RGBA" if image.has_transparency_data else kept)
    return np.asarray(image if turn is None else image.transpose(turn))


def _unusable(where: str, found: str) -> DataError:
    return DataError(f"an image of a data set must be {RULE}, but {where} is {found}; convert it")


def pixels_digest(pixels: np.ndarray) -> bytes:
    """Return the sha256 of shape and pixels; equal for an image of an array file and of a data set."""
    kind = "" if pixels.dtype == np.uint8 else str(pixels.dtype)
    return sha256(f"{pixels.shape}{kind}".encode() + np.ascontiguousarray(pixels).tobytes()).digest()


def encoded(pixels: np.ndarray) -> bytes:
    """Return an image as a file, without loss: a PNG, or a TIFF for other types than uint8."""
    out = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if pixels.dtype == np.uint8:
        image.save(out, "PNG", compress_level=1)
    else:
        image.save(out, "TIFF")
    return out.getvalue()
