"""The block of ConvNeXt, and a norm of its own for the places between blocks."""

from dataclasses import dataclass
from typing import ClassVar

from ..parameters.constraints import Constraint, odd_int, one_of, positive_int, real
from .base import Block, Shape, image_shape
from .channel_layers import LayerNorm, LayerScale
from .inverted_residual import EXPANSION, WIDTH, expanded_width
from .layers import ACTIVATION, Act, BatchNorm, Branches, Convolution, Layer, activate


@dataclass(frozen=True)
class ConvNeXtBlock(Block):
    """x + scale * project(gelu(expand(norm(depthwise(x))))): the block of ConvNeXt (Liu et al. 2022, arXiv 2201.03545).

    A depthwise convolution, layer normalisation, a 1x1 convolution to ``expansion`` times the channels, GELU, a 1x1
    convolution back, and a learned factor for each channel, at first ``layer_scale``. Where ``width`` or ``stride``
    change the shape, a layer norm and a convolution whose kernel is as large as the stride come first.
    """

    width: int | None = None
    kernel: int = 7
    expansion: float = 4
    stride: int = 1
    layer_scale: float = 1e-6

    kind: ClassVar[str] = "convnext"
    constraints: ClassVar[dict[str, Constraint]] = {
        "width": WIDTH,
        "kernel": odd_int,
        "expansion": EXPANSION,
        "stride": positive_int,
        "layer_scale": real("a number above 0", lambda v: v > 0),
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        width = self.width or channels
        expanded = expanded_width(self.kind, self.expansion, width)
        main = (
            Convolution(width, self.kernel, 1, self.kernel // 2, width, bias=True),
            LayerNorm(),
            Convolution(expanded, 1, bias=True),
            Act("gelu"),
            Convolution(width, 1, bias=True),
            LayerScale(float(self.layer_scale)),
        )
        return (*self._reduction(channels, width), Branches(((), main), "add"))

    def _reduction(self, channels: int, width: int) -> tuple[Layer, ...]:
        if self.stride == 1 and channels == width:
            return ()
        return (LayerNorm(), Convolution(width, self.stride, self.stride, bias=True))


@dataclass(frozen=True)
class Norm(Block):
    """act(norm(x)): batch normalisation, or layer normalisation over the channels of each pixel."""

    norm: str = "batch"
    act: str = "none"

    kind: ClassVar[str] = "norm"
    constraints: ClassVar[dict[str, Constraint]] = {"norm": one_of("batch", "layer"), "act": ACTIVATION}

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        return (BatchNorm() if self.norm == "batch" else LayerNorm(), *activate(self.act))
