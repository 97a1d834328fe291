"""The grouped bottleneck: the block of ResNeXt, RegNet X and RegNet Y."""

from dataclasses import dataclass
from typing import ClassVar

from ..parameters.constraints import Constraint, odd_int, optional, positive_int
from .base import Block, Shape, ShapeError, image_shape, nearest_divisors
from .inverted_residual import EXPANSION, WIDTH, expanded_width
from .layers import ACTIVATION, Branches, Layer, activate, conv_norm_act
from .squeeze_excite import SQUEEZE, squeeze_in_block


@dataclass(frozen=True)
class GroupedBottleneck(Block):
    """act(f(x) + s(x)) with f = 1x1, grouped convolution, squeeze-and-excitation, 1x1: a grouped bottleneck.

    ``width`` output channels, None to keep their number, and ``ratio`` times ``width`` channels inside: 1 in RegNet
    (Radosavovic et al. 2020, arXiv 2003.13678), 1/2 in ResNeXt-50 32x4d (Xie et al. 2016, arXiv 1611.05431). The
    convolution in the middle has either ``groups`` groups, as in ResNeXt, or groups of ``group_width`` channels, as in
    RegNet. ``squeeze`` is the ratio of squeeze-and-excitation to the input channels, as in RegNet Y. Where the shape
    changes, s is a 1x1 convolution, else the identity.
    """

    width: int | None = None
    ratio: float = 1
    groups: int = 1
    group_width: int | None = None
    kernel: int = 3
    stride: int = 1
    squeeze: float = 0
    act: str = "relu"

    kind: ClassVar[str] = "grouped-bottleneck"
    constraints: ClassVar[dict[str, Constraint]] = {
        "width": WIDTH,
        "ratio": EXPANSION,
        "groups": positive_int,
        "group_width": optional(positive_int),
        "kernel": odd_int,
        "stride": positive_int,
        "squeeze": SQUEEZE,
        "act": ACTIVATION,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        width = self.width or channels
        inner = expanded_width(self.kind, self.ratio, width)
        main = (
            *conv_norm_act(inner, 1, act=self.act),
            *conv_norm_act(inner, self.kernel, self.stride, groups=self._groups(inner), act=self.act),
            *squeeze_in_block(self.kind, self.squeeze, "input", self.act, channels, inner),
            *conv_norm_act(width, 1, act="none"),
        )
        return (Branches((main, self._shortcut(channels, width)), "add"), *activate(self.act))

    def _shortcut(self, channels: int, width: int) -> tuple[Layer, ...]:
        if self.stride == 1 and channels == width:
            return ()
        return conv_norm_act(width, 1, self.stride, act="none")

    def _groups(self, inner: int) -> int:
        if self.group_width is None:
            return self._divides("groups", self.groups, inner)
        if self.groups != 1:
            raise ShapeError(
                f"{self.kind} needs either `groups` or `group_width`, but got groups={self.groups}, "
                f"group_width={self.group_width}; set one of them"
            )
        # a group has at most all channels, so that narrow stages are possible too
        return inner // self._divides("group_width", min(self.group_width, inner), inner)

    def _divides(self, name: str, value: int, inner: int) -> int:
        if inner % value:
            raise ShapeError(
                f"{name} must divide the channels inside the block, but {self.kind} has {name} {value} with {inner} "
                f"channels; use {nearest_divisors(inner, value)}"
            )
        return value
