"""Layers: the smallest parts of a network, each with its output shape and its exact cost.

Shapes are ``(C, H, W)`` for images and ``(F,)`` for vectors, always without the batch. Users write blocks
(``standard.py``), and every block expands into layers. ``architectures/cost.py`` adds the costs of the layers, and
``models/networks/build.py`` turns the same layers into PyTorch modules. Thus the cost and the modules of a network come
from one description.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from ..parameters.constraints import Constraint, boolean, non_negative_int, odd_int, one_of, positive_int
from .base import Block, Shape, ShapeError, image_shape, nearest_divisors, window_count
from .cost import FLOAT_BYTES, Cost, sum_costs

# name: (parameters per channel, tensors of the input's size that autograd saves because of it).
# The gradients of relu, tanh and sigmoid need only their output, which the next layer saves too. The others need their
# input as well, so that two tensors are saved.
ACTIVATIONS: dict[str, tuple[int, int]] = {
    "relu": (0, 1),
    "relu6": (0, 2),
    "prelu": (1, 2),
    "leaky-relu": (0, 2),
    "elu": (0, 2),
    "gelu": (0, 2),
    "silu": (0, 2),
    "hardswish": (0, 2),
    "hardsigmoid": (0, 2),
    "tanh": (0, 1),
    "sigmoid": (0, 1),
}
ACTIVATION: Constraint = one_of(*ACTIVATIONS, "none")
POOLING_MODE: Constraint = one_of("max", "average")
NORM_AND_ACT: dict[str, Constraint] = {"norm": boolean, "act": ACTIVATION}


def _are_sides(minimum: int) -> Constraint:
    """Return the constraint on one side of a square, or on two different sides (rows, columns)."""

    def holds(value: Any) -> bool:
        # two equal sides are refused, because they would be a second way to write the square
        pair = isinstance(value, tuple) and len(value) == 2 and value[0] != value[1]
        return all(type(side) is int and side >= minimum for side in (value if pair else (value,)))

    return Constraint(f"a whole number of at least {minimum}, or two different ones (rows, columns)", holds)


INDEX_BYTES = 8  # max pooling saves the index of each maximum as a 64-bit integer


class Layer(Block):
    """A block that expands into itself and knows its output shape and its cost."""

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        """Return the layer itself, because layers are the smallest parts."""
        return (self,)

    @abstractmethod
    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        """Return the output shape and the cost for an input of ``shape``.

        One method for both, because they share computations. Raises :class:`ShapeError` if the layer cannot
        take that input.
        """

    def out_shape(self, shape: Shape) -> Shape:
        """Return the output shape for an input of ``shape``."""
        return self.out_shape_and_cost(shape)[0]

    def cost(self, shape: Shape) -> Cost:
        """Return the cost for an input of ``shape``."""
        return self.out_shape_and_cost(shape)[1]


class ModuleLayer(Layer):
    """A layer that makes its own torch module; ``models/profiling/module_block.py`` measures what it costs."""

    @abstractmethod
    def module(self, in_shape: Shape) -> Any:
        """Return the ``torch.nn.Module`` for inputs of ``in_shape``, without the batch: (C, H, W) or (F,)."""


@dataclass(frozen=True)
class Convolution(Layer):
    """Convolution: ``width`` output channels, input channels split into ``groups``.

    ``kernel`` and ``padding`` are the side of a square, or (rows, columns) where these differ.
    """

    width: int
    kernel: int | tuple[int, int] = 3
    stride: int = 1
    padding: int | tuple[int, int] = 0
    groups: int = 1
    bias: bool = False

    kind: ClassVar[str] = "convolution"
    constraints: ClassVar[dict[str, Constraint]] = {
        **dict.fromkeys(("width", "stride", "groups"), positive_int),
        "kernel": _are_sides(1),
        "padding": _are_sides(0),
        "bias": boolean,
    }

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, height, width = image_shape(self, shape)
        if channels % self.groups or self.width % self.groups:
            common = math.gcd(channels, self.width)
            raise ShapeError(
                f"groups must divide the channels, but {self.kind} has groups {self.groups} with {channels} channels "
                f"in and {self.width} out; choose groups that divide {common}, such as "
                f"{nearest_divisors(common, self.groups)}"
            )
        high, wide = self.kernel if isinstance(self.kernel, tuple) else (self.kernel, self.kernel)
        top, left = self.padding if isinstance(self.padding, tuple) else (self.padding, self.padding)
        rows = window_count(self, height, high, self.stride, top)
        columns = window_count(self, width, wide, self.stride, left)
        weights = self.width * (channels // self.groups) * high * wide
        pixels = rows * columns
        params = weights + self.width * self.bias
        # no saved bytes: autograd saves the input, which is the output of an earlier layer and is counted there
        return (self.width, rows, columns), Cost(params, weights * pixels, self.width * pixels)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation with scale and shift (Ioffe and Szegedy 2015, arXiv 1502.03167)."""

    kind: ClassVar[str] = "batch-norm"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        # scale and shift for each channel; autograd saves the input
        return shape, Cost(2 * shape[0], kept_bytes=FLOAT_BYTES * math.prod(shape))


@dataclass(frozen=True)
class Act(Layer):
    """A nonlinearity of :data:`ACTIVATIONS`; prelu learns one slope per channel (He et al. 2015, arXiv 1502.01852)."""

    name: str = "relu"

    kind: ClassVar[str] = "activation"
    constraints: ClassVar[dict[str, Constraint]] = {"name": one_of(*ACTIVATIONS)}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        params_per_channel, saved_tensors = ACTIVATIONS[self.name]
        # shape[0] is the number of channels of an image and the number of features of a vector
        return shape, Cost(params_per_channel * shape[0], kept_bytes=FLOAT_BYTES * saved_tensors * math.prod(shape))


@dataclass(frozen=True)
class Pooling(Layer):
    """Maximum or average over square windows; with ``ceil`` the last window may extend beyond the edge."""

    mode: str = "max"
    kernel: int = 2
    stride: int = 2
    padding: int = 0
    ceil: bool = False

    kind: ClassVar[str] = "pooling"
    constraints: ClassVar[dict[str, Constraint]] = {
        "mode": one_of("max", "average"),
        "kernel": positive_int,
        "stride": positive_int,
        "padding": non_negative_int,
        "ceil": boolean,
    }

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, height, width = image_shape(self, shape)
        # PyTorch refuses such a padding too, but only when the network runs
        if 2 * self.padding > self.kernel:
            raise ShapeError(
                f"padding must be at most half the kernel, but pooling has padding {self.padding} with kernel "
                f"{self.kernel}; use padding {self.kernel // 2} or less"
            )
        rows, columns = (
            window_count(self, size, self.kernel, self.stride, self.padding, ceil=self.ceil) for size in (height, width)
        )
        # the next layer saves the output of the pooling; max pooling saves an index for each output, too
        bytes_per_output = FLOAT_BYTES + INDEX_BYTES * (self.mode == "max")
        return (channels, rows, columns), Cost(kept_bytes=bytes_per_output * channels * rows * columns)


@dataclass(frozen=True)
class GlobalPooling(Layer):
    """The mean of each channel: (C, H, W) -> (C,) (Lin et al. 2013, arXiv 1312.4400)."""

    kind: ClassVar[str] = "global-pooling"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, _, _ = image_shape(self, shape)
        return (channels,), Cost(kept_bytes=FLOAT_BYTES * channels)


@dataclass(frozen=True)
class Flatten(Layer):
    """Flatten an image into a vector: (C, H, W) -> (C * H * W,)."""

    kind: ClassVar[str] = "flatten"

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        # only a view of the same memory: nothing is saved
        return (math.prod(shape),), Cost()


@dataclass(frozen=True)
class FullyConnected(Layer):
    """A linear map of a vector: (F,) -> (width,)."""

    width: int
    bias: bool = True

    kind: ClassVar[str] = "fully-connected"
    constraints: ClassVar[dict[str, Constraint]] = {"width": positive_int, "bias": boolean}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        if len(shape) != 1:
            raise ShapeError(f"{self.kind} needs a vector, but its input is {shape}; put a flatten before it")
        weights = shape[0] * self.width
        return (self.width,), Cost(weights + self.width * self.bias, weights, self.width)


@dataclass(frozen=True)
class PadShortcut(Layer):
    """Shortcut of every ``stride``-th pixel, with zeros in the added channels: option A of He et al. 2015."""

    width: int
    stride: int = 1

    kind: ClassVar[str] = "pad-shortcut"
    constraints: ClassVar[dict[str, Constraint]] = {"width": positive_int, "stride": positive_int}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, height, width = image_shape(self, shape)
        if channels > self.width:
            raise ShapeError(
                f"shortcut A can only add channels, but {channels} would become {self.width}; use shortcut B or C"
            )
        return (self.width, -(-height // self.stride), -(-width // self.stride)), Cost()


@dataclass(frozen=True)
class LocalResponse(Layer):
    """Local response normalisation across ``size`` channels (Krizhevsky et al. 2012, section 3.3)."""

    size: int = 5

    kind: ClassVar[str] = "local-response"
    constraints: ClassVar[dict[str, Constraint]] = {"size": positive_int}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        # PyTorch composes it of a product, a padded mean and a power; autograd saves about five tensors of this size
        return shape, Cost(kept_bytes=5 * FLOAT_BYTES * math.prod(shape))


@dataclass(frozen=True)
class Branches(Layer):
    """Parallel chains of layers on the same input, and how their outputs are joined. An empty chain is the identity.

    ``join``: ``add`` is the sum; ``concat`` joins the channels; ``append`` does the same where the layer after it
    counts the saved tensor or copies it: a norm, a shuffle, another concatenation; ``scale`` multiplies an image by one
    number for each channel, an image (C, 1, 1).
    """

    chains: tuple[tuple[Layer, ...], ...]
    join: str = "add"

    kind: ClassVar[str] = "branches"
    constraints: ClassVar[dict[str, Constraint]] = {"join": one_of("add", "concat", "append", "scale")}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        chains = [chain_cost(chain, shape) for chain in self.chains]
        out_shape, join_cost = self._join([chain_shape for chain_shape, _ in chains])
        return out_shape, sum_costs([*(cost for _, cost in chains), join_cost])

    def join_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        """Return the output shape, and the cost of the join only, without the chains."""
        return self._join([chain_cost(chain, shape)[0] for chain in self.chains])

    def _join(self, shapes: list[Shape]) -> tuple[Shape, Cost]:
        first = shapes[0]
        if self.join == "scale":
            return _scaled(shapes)
        # a concatenation may join any numbers of channels, an addition needs equal ones
        compared = shapes if self.join == "add" else [shape[1:] for shape in shapes]
        if any(shape != compared[0] for shape in compared):
            raise ShapeError(
                f"branches joined by {self.join} must have matching shapes, but they have {shapes}; "
                "change their widths or strides"
            )
        if self.join == "add":
            return first, Cost()
        joined = (sum(shape[0] for shape in shapes), *first[1:])
        # a concatenation makes a new tensor, which the next layer saves; an addition saves nothing
        return joined, Cost(kept_bytes=FLOAT_BYTES * math.prod(joined) * (self.join == "concat"))


def _scaled(shapes: list[Shape]) -> tuple[Shape, Cost]:
    """Return shape and cost of an image times the numbers of its channels."""
    if len(shapes) != 2 or len(shapes[0]) != 3 or shapes[1] != (shapes[0][0], 1, 1):
        raise ShapeError(
            f"branches joined by scale must be an image (C, H, W) and its scales (C, 1, 1), but they have {shapes}; "
            "change the width of the last convolution to that of the image"
        )
    # the product is a new tensor, which the next layer saves; the factors are counted as outputs of their layers
    return shapes[0], Cost(kept_bytes=FLOAT_BYTES * math.prod(shapes[0]))


def chain_cost(layers: tuple[Layer, ...], shape: Shape) -> tuple[Shape, Cost]:
    """Return the output shape and the cost of ``layers`` in sequence for an input of ``shape``."""
    costs = []
    for layer in layers:
        shape, cost = layer.out_shape_and_cost(shape)
        costs.append(cost)
    return shape, sum_costs(costs)


def own_cost(layer: Layer, shape: Shape) -> tuple[Shape, Cost]:
    """Return the output shape of ``layer`` and its own cost: for branches the cost of the join only.

    Per-layer tables use this, because the layers inside branches have separate rows there.
    """
    return layer.join_cost(shape) if isinstance(layer, Branches) else layer.out_shape_and_cost(shape)


LAYERS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (
        Convolution,
        BatchNorm,
        Act,
        Pooling,
        GlobalPooling,
        Flatten,
        FullyConnected,
        PadShortcut,
        LocalResponse,
        Branches,
    )
}


@lru_cache(maxsize=4096)
def conv_norm_act(
    width: int,
    kernel: int,
    stride: int = 1,
    padding: int | None = None,
    *,
    groups: int = 1,
    norm: bool = True,
    act: str = "relu",
) -> tuple[Layer, ...]:
    """Return a convolution, a batch norm (with ``norm``) and the nonlinearity ``act``.

    ``padding`` None keeps the size at stride 1. The convolution has a bias only without ``norm``, because batch norm
    would cancel it. Cached, because the blocks of a search repeat the same few combinations.
    """
    padding = kernel // 2 if padding is None else padding
    conv = Convolution(width, kernel, stride, padding, groups, bias=not norm)
    return (conv, *((BatchNorm(),) if norm else ()), *activate(act))


@lru_cache(maxsize=64)
def activate(act: str) -> tuple[Layer, ...]:
    """Return the nonlinearity ``act`` as a chain of layers, which is empty for "none"."""
    return () if act == "none" else (Act(act),)


@dataclass(frozen=True)
class LocalContrast(Layer):
    """Subtract the local mean and divide by the local standard deviation, over all channels (Jarrett et al. 2009).

    Windows are Gaussian, ``kernel`` pixels wide. Like every normalisation here it has no multiply-accumulates, because
    only those of convolutions and linear layers count. It has no parameters.
    """

    kernel: int = 9

    kind: ClassVar[str] = "local-contrast"
    constraints: ClassVar[dict[str, Constraint]] = {"kernel": odd_int}

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        channels, height, width = image_shape(self, shape)
        padded_pixels = (height + self.kernel - 1) * (width + self.kernel - 1)
        # autograd saves the difference, its padded square and the quotient for all channels, deviations for one
        saved_elements = 4 * math.prod(shape) + (channels + 4) * padded_pixels
        return shape, Cost(kept_bytes=FLOAT_BYTES * saved_elements)
