"""Layers that work on channels: means, scales, norms over channels, slices and shuffles."""

import math
from dataclasses import dataclass
from typing import ClassVar

from ..parameters.constraints import Constraint, non_negative_int, positive_int, real
from .base import Shape, ShapeError, image_shape, nearest_divisors
from .cost import FLOAT_BYTES, Cost
from .layers import Act, BatchNorm, Convolution, GlobalPooling, Layer


@dataclass(frozen=True)
class LinearNorm(BatchNorm):
    """Batch normalisation whose output goes to a convolution without a nonlinearity: a linear bottleneck.

    Its module is that of :class:`BatchNorm`. Its saved bytes differ: the convolution saves the output as well.
    """

    kind: ClassVar[str] = "linear-norm"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        return shape, Cost(2 * shape[0], kept_bytes=2 * FLOAT_BYTES * math.prod(shape))


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Normalisation over the channels of each pixel, with scale and shift (Ba et al. 2016, arXiv 1607.06450).

    (C, H, W) or (F,). Its output goes to a convolution or a linear layer, as in ConvNeXt.
    """

    kind: ClassVar[str] = "layer-norm"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        # autograd saves the input, mean and deviation of each pixel, and for the next layer the output
        saved_elements = 2 * math.prod(shape) + 2 * math.prod(shape[1:])
        return shape, Cost(2 * shape[0], kept_bytes=FLOAT_BYTES * saved_elements)


@dataclass(frozen=True)
class LayerScale(Layer):
    """A learned factor for each channel, at first ``initial`` (Touvron et al. 2021, arXiv 2103.17239).

    It is the last layer of a residual branch.
    """

    initial: float = 1e-6

    kind: ClassVar[str] = "layer-scale"
    constraints: ClassVar[dict[str, Constraint]] = {"initial": real("a number above 0", lambda v: v > 0)}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, _, _ = image_shape(self, shape)
        # autograd saves the input; the sum of the residual block goes to a convolution, which saves it
        return shape, Cost(channels, kept_bytes=2 * FLOAT_BYTES * math.prod(shape))


@dataclass(frozen=True)
class ChannelMean(Layer):
    """The mean of each channel as an image of one pixel: (C, H, W) -> (C, 1, 1)."""

    kind: ClassVar[str] = "channel-mean"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, _, _ = image_shape(self, shape)
        return (channels, 1, 1), Cost(kept_bytes=FLOAT_BYTES * channels)


@dataclass(frozen=True)
class ChannelSlice(Layer):
    """The channels from ``start`` to ``start + width``: (C, H, W) -> (width, H, W)."""

    start: int
    width: int

    kind: ClassVar[str] = "channel-slice"
    constraints: ClassVar[dict[str, Constraint]] = {"start": non_negative_int, "width": positive_int}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, height, width = image_shape(self, shape)
        if self.start + self.width > channels:
            raise ShapeError(
                f"a channel slice must end inside its input, but it ends at {self.start + self.width} of {channels} "
                f"channels; use width {max(1, channels - self.start)}"
            )
        # only a view of the same memory: nothing is saved
        return (self.width, height, width), Cost()


@dataclass(frozen=True)
class ChannelShuffle(Layer):
    """Mix the channels of ``groups``: channel i of group g becomes channel g of block i (arXiv 1707.01083)."""

    groups: int = 2

    kind: ClassVar[str] = "channel-shuffle"
    constraints: ClassVar[dict[str, Constraint]] = {"groups": positive_int}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, _, _ = image_shape(self, shape)
        if channels % self.groups:
            raise ShapeError(
                f"groups must divide the channels, but {self.kind} has groups {self.groups} with {channels} channels; "
                f"use {nearest_divisors(channels, self.groups)}"
            )
        # the copy in the new order, which the next layer saves
        return shape, Cost(kept_bytes=FLOAT_BYTES * math.prod(shape))


@dataclass(frozen=True)
class ClassMaps(Layer):
    """The last block of a network whose classifier is a convolution: one map per class, then the mean of each map.

    Every other network ends with a linear layer. This block has no cost itself; the head after it is a 1x1 convolution
    to the classes, relu, and global average pooling (Lin et al. 2013, arXiv 1312.4400). (C, H, W) -> (C, H, W, 1): no
    other layer takes an input of this shape, so that nothing can follow but the head.
    """

    kind: ClassVar[str] = "class-maps"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        return (*image_shape(self, shape), 1), Cost()


@dataclass(frozen=True)
class MapsToImage(Layer):
    """The first layer of the head after :class:`ClassMaps`: (C, H, W, 1) -> (C, H, W)."""

    kind: ClassVar[str] = "maps-to-image"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        assert len(shape) == 4, f"only the output of class maps has four numbers, not {shape}"
        return shape[:3], Cost()


def class_map_head(classes: int) -> tuple[Layer, ...]:
    """Return the layers of the head after :class:`ClassMaps`."""
    return (MapsToImage(), Convolution(classes, 1, bias=True), Act("relu"), GlobalPooling())


CHANNEL_LAYERS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (
        LinearNorm,
        LayerNorm,
        LayerScale,
        ChannelMean,
        ChannelSlice,
        ChannelShuffle,
        ClassMaps,
        MapsToImage,
    )
}
