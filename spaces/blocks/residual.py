"""The residual block: two 3x3 convolutions or a bottleneck, with a shortcut."""

from dataclasses import dataclass
from typing import ClassVar

from ..parameters.constraints import Constraint, boolean, one_of, positive_int
from .base import Block, Shape, ShapeError, image_shape
from .layers import NORM_AND_ACT, BatchNorm, Branches, Convolution, Layer, PadShortcut, activate, conv_norm_act


@dataclass(frozen=True)
class Residual(Block):
    """act(f(x) + s(x)): a residual block of ``width`` output channels (He et al. 2015, arXiv 1512.03385).

    ``form``: ``basic`` is two 3x3 convolutions; ``bottleneck`` is 1x1, 3x3, 1x1 with ``width / 4`` channels inside.
    ``shortcut``: ``A`` pads with zeros and ``B`` projects where the shape changes; ``C`` projects in every block;
    ``none`` removes the shortcut, which makes the block a plain chain. ``preactivation`` puts norm and nonlinearity
    before each convolution (He et al. 2016, arXiv 1603.05027). ``stride_first`` puts the stride of a bottleneck on its
    first 1x1 convolution, as in the paper; torchvision's v1.5 has it on the 3x3 convolution.
    """

    width: int
    form: str = "basic"
    stride: int = 1
    shortcut: str = "B"
    preactivation: bool = False
    stride_first: bool = False
    norm: bool = True
    act: str = "relu"

    kind: ClassVar[str] = "residual"
    constraints: ClassVar[dict[str, Constraint]] = {
        "width": positive_int,
        "form": one_of("basic", "bottleneck"),
        "stride": positive_int,
        "shortcut": one_of("A", "B", "C", "none"),
        "preactivation": boolean,
        "stride_first": boolean,
        **NORM_AND_ACT,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        shape = image_shape(self, shape)
        main = self._main()
        if self.shortcut == "none":
            return (*main, *self._final_act())
        return (Branches((main, self._shortcut(shape)), "add"), *self._final_act())

    def _final_act(self) -> tuple[Layer, ...]:
        # with preactivation the sum goes to the next block unchanged (He et al. 2016)
        return () if self.preactivation else activate(self.act)

    def _main(self) -> tuple[Layer, ...]:
        convolutions = self._convolutions()
        if self.preactivation:
            norm: tuple[Layer, ...] = (BatchNorm(),) if self.norm else ()
            return tuple(
                layer
                for width, kernel, stride in convolutions
                for layer in (*norm, *activate(self.act), self._conv(width, kernel, stride))
            )
        *inner, (width, kernel, stride) = convolutions
        chain = tuple(layer for w, k, s in inner for layer in conv_norm_act(w, k, s, norm=self.norm, act=self.act))
        return chain + conv_norm_act(width, kernel, stride, norm=self.norm, act="none")

    def _convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Return (width, kernel, stride) of each convolution of the main branch."""
        if self.form == "basic":
            return ((self.width, 3, self.stride), (self.width, 3, 1))
        if self.width % 4:
            raise ShapeError(
                f"the width of a bottleneck must be a multiple of 4, but got {self.width}; "
                f"use {self.width // 4 * 4 + 4}"
            )
        # the paper reduces the size in the first 1x1, which skips three of four pixels at stride 2
        first, middle = (self.stride, 1) if self.stride_first else (1, self.stride)
        return ((self.width // 4, 1, first), (self.width // 4, 3, middle), (self.width, 1, 1))

    def _shortcut(self, shape: Shape) -> tuple[Layer, ...]:
        changes = self.stride != 1 or shape[0] != self.width
        if self.shortcut == "C" or (self.shortcut == "B" and changes):
            if self.preactivation:
                return (self._conv(self.width, 1, self.stride),)
            return conv_norm_act(self.width, 1, self.stride, norm=self.norm, act="none")
        # shortcut A; without a change of the shape the shortcut is the identity, which is an empty chain
        return (PadShortcut(self.width, self.stride),) if changes else ()

    def _conv(self, width: int, kernel: int, stride: int) -> Layer:
        return Convolution(width, kernel, stride, kernel // 2, bias=not self.norm)
