"""Local contrast normalisation as a layer without parameters."""

import math
from dataclasses import dataclass
from typing import ClassVar

from .base import ODD, Law, Shape
from .layers import FLOAT_BYTES, Layer, Price
from .shapes import picture


@dataclass(frozen=True)
class LocalContrast(Layer):
    """Subtract the local mean and divide by the local deviation, over all maps (Jarrett et al. 2009).

    Windows are Gaussian, ``kernel`` pixels wide. It has neither parameters nor multiply-accumulates of a convolution
    or linear layer, as no normalisation here has.
    """

    kernel: int = 9

    kind: ClassVar[str] = "local-contrast"
    laws: ClassVar[dict[str, Law]] = {"kernel": ODD}

    def price(self, shape: Shape) -> Price:
        channels, height, width = picture(self, shape)
        one_map = (height + self.kernel - 1) * (width + self.kernel - 1)
        # the difference, its square with borders, and the quotient are kept whole; deviations are one map each
        kept = 4 * math.prod(shape) + (channels + 4) * one_map
        return Price(shape, kept_bytes=FLOAT_BYTES * kept)
