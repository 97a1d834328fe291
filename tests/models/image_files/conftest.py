"""Image files that the tests make."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Return the content of an image file with the given pixels."""

    def write(pixels: NDArray[Any] | Image.Image, form: str = "PNG", **options: Any) -> bytes:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        content = BytesIO()
        image.save(content, form, **options)
        return content.getvalue()

    return write


@pytest.fixture(scope="session")
def photograph() -> Callable[..., Image.Image]:
    """Return an image with smooth areas, edges and a little noise, as photographs have."""

    def make(width: int, height: int) -> Image.Image:
        rng = np.random.default_rng(0)
        values = rng.normal(32, 3, (height, width, 3)).astype(np.float32)
        for side in (4, 16, 64):
            layer = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize((width, height))
            values += np.asarray(layer, np.float32) / 4
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        image.paste((20, 40, 200), (width // 4, height // 3, width // 2, height // 2))
        return image

    return make
