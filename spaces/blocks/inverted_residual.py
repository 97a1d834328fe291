"""Blocks of the MobileNets and EfficientNets: inverted residuals and depthwise-separable convolutions."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from ..parameters.constraints import Constraint, is_real, odd_int, optional, positive_int
from .base import Block, Shape, ShapeError, image_shape
from .channel_layers import LinearNorm
from .layers import ACTIVATION, Branches, Convolution, Layer, conv_norm_act
from .squeeze_excite import SQUEEZE, SQUEEZE_FORM, squeeze_in_block

EXPANSION = Constraint(
    "a number above 0",
    lambda v: is_real(v) and v > 0,
    lambda v: "1, which expands nothing, or more" if is_real(v) else "",
)
# The output width; None keeps the number of channels, so that later blocks of a stage need no width of their own.
WIDTH: Constraint = optional(positive_int)


@dataclass(frozen=True)
class InvertedResidual(Block):
    """x + project(se(depthwise(expand(x)))): the block of MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381).

    A 1x1 convolution to ``expansion`` times the input channels, a depthwise convolution, and a 1x1 convolution to
    ``width`` channels without nonlinearity. ``width`` None keeps the number of channels. With an expansion of 1 the
    first convolution is left out. The input is added where the shape does not change.

    ``squeeze`` is the ratio of squeeze-and-excitation, 0 for none. ``squeeze_form`` "input" takes this ratio of the
    input channels (EfficientNet, arXiv 1905.11946), "expanded" that of the expanded ones as a multiple of 8, with a
    hard sigmoid (MobileNetV3, arXiv 1905.02244).
    """

    width: int | None = None
    expansion: float = 6
    kernel: int = 3
    stride: int = 1
    squeeze: float = 0
    squeeze_form: str = "input"
    act: str = "relu6"

    kind: ClassVar[str] = "inverted-residual"
    constraints: ClassVar[dict[str, Constraint]] = {
        "width": WIDTH,
        "expansion": EXPANSION,
        "kernel": odd_int,
        "stride": positive_int,
        "squeeze": SQUEEZE,
        "squeeze_form": SQUEEZE_FORM,
        "act": ACTIVATION,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        width = self.width or channels
        expanded = expanded_width(self.kind, self.expansion, channels)
        first = conv_norm_act(expanded, 1, act=self.act) if expanded != channels else ()
        chain = (
            *first,
            *conv_norm_act(expanded, self.kernel, self.stride, groups=expanded, act=self.act),
            *squeeze_in_block(self.kind, self.squeeze, self.squeeze_form, self.act, channels, expanded),
            *linear_conv(width, 1),
        )
        return with_identity(chain, self.stride, channels, width)


@dataclass(frozen=True)
class FusedInvertedResidual(Block):
    """x + project(se(expand(x))): an inverted residual whose expansion is a plain convolution.

    Source: EfficientNetV2 (Tan and Le 2021, arXiv 2104.00298). The fields are those of :class:`InvertedResidual`. With
    an expansion of 1 the block is one convolution with a nonlinearity.
    """

    width: int | None = None
    expansion: float = 4
    kernel: int = 3
    stride: int = 1
    squeeze: float = 0
    squeeze_form: str = "input"
    act: str = "silu"

    kind: ClassVar[str] = "fused-inverted-residual"
    constraints: ClassVar[dict[str, Constraint]] = InvertedResidual.constraints

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        width = self.width or channels
        expanded = expanded_width(self.kind, self.expansion, channels)
        first, last = (width, ()) if expanded == channels else (expanded, linear_conv(width, 1))
        chain = (
            *conv_norm_act(first, self.kernel, self.stride, act=self.act),
            *squeeze_in_block(self.kind, self.squeeze, self.squeeze_form, self.act, channels, first),
            *last,
        )
        return with_identity(chain, self.stride, channels, width)


@dataclass(frozen=True)
class DepthwiseSeparable(Block):
    """act(pointwise(se(act(depthwise(x))))): the block of MobileNet (Howard et al. 2017, arXiv 1704.04861).

    A depthwise convolution, then a 1x1 convolution to ``width`` channels; None keeps their number. ``squeeze`` and
    ``squeeze_form`` are those of :class:`InvertedResidual`.
    """

    width: int | None = None
    kernel: int = 3
    stride: int = 1
    squeeze: float = 0
    squeeze_form: str = "input"
    act: str = "relu"

    kind: ClassVar[str] = "depthwise-separable"
    constraints: ClassVar[dict[str, Constraint]] = {
        name: InvertedResidual.constraints[name]
        for name in ("width", "kernel", "stride", "squeeze", "squeeze_form", "act")
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        return (
            *conv_norm_act(channels, self.kernel, self.stride, groups=channels, act=self.act),
            *squeeze_in_block(self.kind, self.squeeze, self.squeeze_form, self.act, channels, channels),
            *conv_norm_act(self.width or channels, 1, act=self.act),
        )


def expanded_width(kind: str, expansion: float, channels: int) -> int:
    """Return ``expansion`` times ``channels``; raise :class:`ShapeError`, which names the block, if that is 0."""
    expanded = round(expansion * channels)
    if expanded < 1:
        raise ShapeError(
            f"the expansion must leave at least one channel, but {kind} has expansion {expansion} of {channels} "
            f"channels; use {1 / channels:.3g} or more"
        )
    return expanded


@lru_cache(maxsize=4096)
def linear_conv(width: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[Layer, ...]:
    """Return a convolution and a batch norm whose output goes to a convolution without a nonlinearity."""
    return (Convolution(width, kernel, stride, kernel // 2, groups), LinearNorm())


def with_identity(chain: tuple[Layer, ...], stride: int, channels: int, width: int) -> tuple[Layer, ...]:
    """Return x + chain(x) where the chain keeps the shape of x, else the chain alone."""
    return (Branches(((), chain), "add"),) if stride == 1 and channels == width else chain
