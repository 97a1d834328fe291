"""Blocks that concatenate channels: fire modules, dense blocks and the units of ShuffleNetV2."""

from dataclasses import dataclass
from typing import ClassVar

from ..parameters.constraints import Constraint, odd_int, positive_int, real
from .base import Block, Shape, ShapeError, image_shape
from .channel_layers import ChannelShuffle, ChannelSlice
from .inverted_residual import WIDTH, linear_conv
from .layers import ACTIVATION, NORM_AND_ACT, BatchNorm, Branches, Convolution, Layer, Pooling, activate, conv_norm_act
from .squeeze_excite import squeezed_width


@dataclass(frozen=True)
class Fire(Block):
    """concat(1x1(s), 3x3(s)) with s = 1x1(x): the fire module of SqueezeNet (Iandola et al. 2016, arXiv 1602.07360).

    ``width`` output channels, half of them from each kernel. s has ``squeeze`` times ``width`` channels.
    """

    width: int
    squeeze: float = 0.125
    norm: bool = True
    act: str = "relu"

    kind: ClassVar[str] = "fire"
    constraints: ClassVar[dict[str, Constraint]] = {
        "width": positive_int,
        "squeeze": real("a number above 0 and at most 1", lambda v: 0 < v <= 1),
        **NORM_AND_ACT,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        half = half_of(self.kind, self.width)
        squeezed = squeezed_width(self.kind, self.squeeze, self.width)
        one, three = (conv_norm_act(half, kernel, norm=self.norm, act=self.act) for kernel in (1, 3))
        return (*conv_norm_act(squeezed, 1, norm=self.norm, act=self.act), Branches((one, three), "concat"))


@dataclass(frozen=True)
class DenseBlock(Block):
    """x_i+1 = concat(x_i, f_i(x_i)): a dense block of ``layers`` layers (Huang et al. 2016, arXiv 1608.06993).

    f is norm, act, 1x1 convolution to ``bottleneck`` times ``growth`` channels, norm, act, 3x3 convolution to
    ``growth`` channels. So the block adds ``layers`` times ``growth`` channels. With ``stride`` 2 a transition comes
    first: norm, act, a 1x1 convolution to half of the channels, and the mean over 2x2 pixels.
    """

    layers: int = 4
    growth: int = 12
    bottleneck: int = 4
    stride: int = 1
    act: str = "relu"

    kind: ClassVar[str] = "dense-block"
    constraints: ClassVar[dict[str, Constraint]] = {
        **dict.fromkeys(("layers", "growth", "bottleneck", "stride"), positive_int),
        "act": ACTIVATION,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        dense = (
            *self._norm_act_conv(self.bottleneck * self.growth, 1),
            *self._norm_act_conv(self.growth, 3),
        )
        # every concatenation is followed by a norm, which counts the tensor that it saves
        return (*self._transition(channels), *(Branches(((), dense), "append"),) * self.layers)

    def _transition(self, channels: int) -> tuple[Layer, ...]:
        if self.stride == 1:
            return ()
        return (
            *self._norm_act_conv(max(1, channels // 2), 1),
            Pooling("average", self.stride, self.stride),
        )

    def _norm_act_conv(self, width: int, kernel: int) -> tuple[Layer, ...]:
        return (BatchNorm(), *activate(self.act), Convolution(width, kernel, padding=kernel // 2))


@dataclass(frozen=True)
class ShuffleUnit(Block):
    """shuffle(concat(x1, f(x2))), x = (x1, x2): the unit of ShuffleNetV2 (Ma et al. 2018, arXiv 1807.11164).

    f is a 1x1, a depthwise and a 1x1 convolution. ``width`` output channels, an even number; None keeps their number.
    Where the shape changes, both halves have the whole input, and the first one a depthwise and a 1x1 convolution.
    """

    width: int | None = None
    kernel: int = 3
    stride: int = 1
    act: str = "relu"

    kind: ClassVar[str] = "shuffle-unit"
    constraints: ClassVar[dict[str, Constraint]] = {
        "width": WIDTH,
        "kernel": odd_int,
        "stride": positive_int,
        "act": ACTIVATION,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        width = self.width or channels
        half = half_of(self.kind, width)
        keeps = self.stride == 1 and channels == width
        first: tuple[Layer, ...] = (
            (ChannelSlice(0, half),) if keeps else (*self._depthwise(channels), *conv_norm_act(half, 1, act=self.act))
        )
        second = (
            *((ChannelSlice(half, half),) if keeps else ()),
            *conv_norm_act(half, 1, act=self.act),
            *self._depthwise(half),
            *conv_norm_act(half, 1, act=self.act),
        )
        return (Branches((first, second), "append"), ChannelShuffle(2))

    def _depthwise(self, channels: int) -> tuple[Layer, ...]:
        return linear_conv(channels, self.kernel, self.stride, channels)


def half_of(kind: str, width: int) -> int:
    """Return half of ``width``; raise :class:`ShapeError`, which names the block, for an odd width."""
    if width % 2:
        raise ShapeError(
            f"the width must be even, because half of the channels come from each branch, but {kind} has {width}; "
            f"use {width - 1} or {width + 1}"
            if width > 1
            else f"the width must be even, but {kind} has {width}; use 2"
        )
    return width // 2
