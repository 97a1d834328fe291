"""The pixels of version 0.1.0, which the runs of that version need to be resumed."""

import numpy as np
from PIL import Image, ImageOps


def square_by_rules_1(image: Image.Image, size: int) -> Image.Image:
    """Return the image turned by its EXIF block, converted to RGB and cropped to a square of ``size`` pixels.

    Transparency is dropped, float values are clipped, 16-bit values are divided by 257.
    """
    return ImageOps.fit(_as_rgb(ImageOps.exif_transpose(image)), (size, size), Image.Resampling.BILINEAR)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if "transparency" in image.info:  # Pillow warns of transparent palette entries unless converted to RGBA first
        image = image.convert("RGBA")
    return image.convert("RGB")
