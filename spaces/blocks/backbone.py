"""Blocks of whole networks: a network of timm or torchvision as one layer, and the resizing of its images."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from ..parameters.constraints import Constraint, non_negative_int, positive_int
from .base import Block, Shape, ShapeError, image_shape
from .cost import FLOAT_BYTES, Cost
from .layers import Layer

NETWORK_SOURCES = ("timm:", "torchvision:")  # begin the name of a network
NAME = Constraint(
    'the name of a network, as in "timm:resnet18" or "torchvision:vgg16"',
    lambda v: isinstance(v, str) and re.fullmatch(r"(timm|torchvision):[\w.-]+", v) is not None,
)
SHAPE = Constraint(
    "an input shape, as in (3, 224, 224)",
    lambda v: isinstance(v, tuple) and len(v) == 3 and all(map(positive_int.holds, v)),
)


@dataclass(frozen=True)
class Backbone(Layer):
    """The network ``name`` without its classifier: (C, H, W) -> (features,).

    Its cost has no closed form. ``measure_backbone`` of ``models/profiling/backbone_costs.py`` measures the cost on the
    meta device, for one input shape, and stores it in the fields of this block. Thus the cost is known without timm or
    torchvision.
    """

    name: str
    # repr=False also hides a field from the one-line text of an architecture: there the name is enough
    in_shape: Shape = field(repr=False)
    features: int = field(repr=False)
    params: int = field(repr=False)
    macs: int = field(repr=False)
    activations: int = field(repr=False)
    kept_bytes: int = field(repr=False)

    kind: ClassVar[str] = "backbone"
    constraints: ClassVar[dict[str, Constraint]] = {
        "name": NAME,
        "in_shape": SHAPE,
        "features": positive_int,
        **dict.fromkeys(("params", "macs", "activations", "kept_bytes"), non_negative_int),
    }

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        if shape != self.in_shape:
            raise ShapeError(
                f"the cost of a backbone is valid only for the input shape it was measured on, but {self.name} was "
                f"measured on {self.in_shape} and its input is {shape}; use measure_backbone({self.name!r}, {shape})"
            )
        return (self.features,), Cost(self.params, self.macs, self.activations, self.kept_bytes)


INTERPOLATION = Constraint('"bicubic" or "bilinear"', lambda v: v in ("bicubic", "bilinear"))


@dataclass(frozen=True)
class Resize(Layer):
    """Interpolate to ``size`` x ``size`` pixels with antialiasing: (C, H, W) -> (C, size, size).

    ``interpolation`` is "bicubic" or "bilinear". The products of an interpolation do not count, as in papers; training
    saves the resized image for the layer after it.
    """

    size: int
    interpolation: str = "bicubic"

    kind: ClassVar[str] = "resize"
    constraints: ClassVar[dict[str, Constraint]] = {
        "size": positive_int,
        "interpolation": INTERPOLATION,
    }

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels = image_shape(self, shape)[0]
        return (channels, self.size, self.size), Cost(kept_bytes=FLOAT_BYTES * channels * self.size**2)


@dataclass(frozen=True)
class RepeatChannels(Layer):
    """Repeat the one channel of grey images: (1, H, W) -> (times, H, W).

    A convolution of repeated channels equals one whose weights are summed over the channels, which is how timm adapts
    the weights of colour images to grey ones.
    """

    times: int

    kind: ClassVar[str] = "repeat-channels"
    constraints: ClassVar[dict[str, Constraint]] = {"times": positive_int}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, height, width = image_shape(self, shape)
        if channels != 1:
            raise ShapeError(f"repeat-channels needs grey images (1, H, W), but its input is {shape}; leave it out")
        return (self.times, height, width), Cost(kept_bytes=FLOAT_BYTES * self.times * height * width)


@dataclass(frozen=True)
class Network(Block):
    """The network ``name`` without its classifier, on images resized to ``size`` x ``size``: (C, H, W) -> (features,).

    It is a :class:`Resize`, where the images have another size, a :class:`RepeatChannels`, where they are grey, and a
    :class:`Backbone`, whose costs for images of ``channels`` channels the fields give; they are in the table of
    ``spaces/networks``.
    """

    name: str
    size: int
    interpolation: str = field(repr=False)
    channels: int = field(repr=False)
    features: int = field(repr=False)
    params: int = field(repr=False)
    macs: int = field(repr=False)
    activations: int = field(repr=False)
    kept_bytes: int = field(repr=False)

    kind: ClassVar[str] = "network"
    constraints: ClassVar[dict[str, Constraint]] = {
        "name": NAME,
        "size": positive_int,
        "interpolation": INTERPOLATION,
        "channels": positive_int,
        "features": positive_int,
        **dict.fromkeys(("params", "macs", "activations", "kept_bytes"), non_negative_int),
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        channels, *sides = image_shape(self, shape)
        if channels not in (1, self.channels):
            raise ShapeError(
                f"the costs of {self.name} are known for images of 1 or {self.channels} channels, but its input has "
                f"{channels}; load the images as colour or grey images"
            )
        in_shape = (self.channels, self.size, self.size)
        costs = (self.params, self.macs, self.activations, self.kept_bytes)
        resize = () if sides == [self.size, self.size] else (Resize(self.size, self.interpolation),)
        repeat = () if channels == self.channels else (RepeatChannels(self.channels),)
        return (*resize, *repeat, Backbone(self.name, in_shape, self.features, *costs))
