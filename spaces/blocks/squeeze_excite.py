"""Squeeze-and-excitation: multiply each channel by a number that depends on the means of all channels."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from ..parameters.constraints import Constraint, one_of, positive_int, real
from .base import Block, Shape, ShapeError, image_shape
from .channel_layers import ChannelMean
from .layers import ACTIVATION, Branches, Convolution, Layer, activate

GATE: Constraint = one_of("sigmoid", "hardsigmoid")
# 0 instead of None for "without", so that the options of a choice are numbers in ascending order
SQUEEZE: Constraint = real("a number from 0 (without) to 1", lambda v: 0 <= v <= 1)
SQUEEZE_FORM: Constraint = one_of("input", "expanded")


@dataclass(frozen=True)
class SqueezeExcite(Block):
    """x * gate(W2 act(W1 mean(x))): squeeze-and-excitation (Hu et al. 2017, arXiv 1709.01507).

    ``ratio`` of the channels is the number of channels between the two 1x1 convolutions, rounded to a multiple of
    ``divisor``.
    """

    ratio: float = 0.25
    act: str = "relu"
    gate: str = "sigmoid"
    divisor: int = 1

    kind: ClassVar[str] = "squeeze-excite"
    constraints: ClassVar[dict[str, Constraint]] = {
        "ratio": real("a number above 0 and at most 1", lambda v: 0 < v <= 1),
        "act": ACTIVATION,
        "gate": GATE,
        "divisor": positive_int,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, _, _ = image_shape(self, shape)
        squeezed = squeezed_width(self.kind, self.ratio, channels)
        if self.divisor > 1:
            squeezed = divisible(squeezed, self.divisor)
        return squeeze_excite(channels, squeezed, self.act, self.gate)


def squeezed_width(kind: str, ratio: float, channels: int) -> int:
    """Return ``ratio`` of ``channels``; raise :class:`ShapeError`, which names the block, if that is no channel."""
    width = round(ratio * channels)
    if width < 1:
        raise ShapeError(
            f"squeeze-and-excitation needs at least one channel, but {kind} has squeeze ratio {ratio} of {channels} "
            f"channels; use {1 / channels:.3g} or more"
        )
    return width


def squeeze_in_block(
    kind: str, ratio: float, form: str, act: str, in_channels: int, channels: int
) -> tuple[Layer, ...]:
    """Return the squeeze-and-excitation inside a block on ``channels``, empty for a ``ratio`` of 0.

    ``form`` "input": ``ratio`` of the block's input channels, with ``act`` and a sigmoid (EfficientNet, RegNetY).
    ``form`` "expanded": ``ratio`` of ``channels`` as a multiple of 8, with relu and a hard sigmoid (MobileNetV3).
    """
    if not ratio:
        return ()
    if form == "input":
        return squeeze_excite(channels, squeezed_width(kind, ratio, in_channels), act, "sigmoid")
    return squeeze_excite(channels, divisible(squeezed_width(kind, ratio, channels)), "relu", "hardsigmoid")


@lru_cache(maxsize=4096)
def squeeze_excite(channels: int, squeezed: int, act: str, gate: str) -> tuple[Layer, ...]:
    """Return the layers that scale ``channels``, with ``squeezed`` channels between the two 1x1 convolutions."""
    scales = (
        ChannelMean(),
        Convolution(squeezed, 1, bias=True),
        *activate(act),
        Convolution(channels, 1, bias=True),
        *activate(gate),
    )
    return (Branches(((), scales), "scale"),)


def divisible(width: float, divisor: int = 8) -> int:
    """Return ``width`` rounded to a multiple of ``divisor``, never below 90 % of it, as in the MobileNets.

    >>> divisible(18), divisible(20), divisible(3)
    (24, 24, 8)
    """
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * width else rounded + divisor
