"""Runtimes of devices: the operations of each layer, as ExecuTorch runs float32 networks and C kernels run int8 ones.

Both run one image. Parallel branches run one after the other, and their input stays until the last of them has read it.
Both have these rules:

* A batch norm directly after a convolution or a linear layer is folded into it and is no operation.
* Flattening is a view of the same tensor. Nothing is written in place of an input.
* The input image and the scores are tensors like all others.
* Resizing reads the image of the data and writes the smaller one, by one operation.

float32 is a program of ExecuTorch with its portable operators, as torch.export decomposes the layers: a nonlinearity is
an operation of its own, max pooling writes an index of 8 bytes for each output, and a linear layer writes its
transposed weight before it reads it. Tensors are aligned to 16 bytes.

int8 is a C program with one kernel for each layer, as those of BakeNN: relu and relu6 are limits inside the kernel
that writes their input, every other nonlinearity is a kernel with a table of 256 bytes. A batch norm that is not folded
is a depthwise 1x1 convolution. A weight has one byte; each output channel of a weighted kernel has a bias, and a scale
as multiplier and shift, of 4 bytes each.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from ..blocks.backbone import Resize
from ..blocks.base import Shape
from ..blocks.channel_layers import (
    ChannelMean,
    ChannelShuffle,
    ChannelSlice,
    ClassMaps,
    LayerNorm,
    LayerScale,
    LinearNorm,
    MapsToImage,
)
from ..blocks.cost import FLOAT_BYTES
from ..blocks.layers import (
    INDEX_BYTES,
    Act,
    BatchNorm,
    Branches,
    Convolution,
    Flatten,
    FullyConnected,
    GlobalPooling,
    Layer,
    LocalResponse,
    PadShortcut,
    Pooling,
)
from .program import Program

# What wrote a tensor: the image, a convolution or linear layer with or without bias, anything else; "shared" is a
# tensor that several branches read. A batch norm is folded, and a relu is part of a kernel, only after some of them.
INPUT, SHARED, BIASED, UNBIASED, OTHER = "input", "shared", "biased", "unbiased", "other"
WEIGHTED = (BIASED, UNBIASED)
VIEWS = (Flatten, ClassMaps, MapsToImage)  # layers whose output is their input in another shape
CHANNEL_BYTES = 12  # of an int8 kernel for each output channel: bias, multiplier and shift, 4 bytes each
TABLE_BYTES = 256  # of an int8 nonlinearity: one output for each input


class Value(NamedTuple):
    """A tensor of a program with the shape in which the next layer reads it, and what wrote it."""

    tensor: int
    shape: Shape
    writer: str


class UnknownLayerError(ValueError):
    """Raised for a layer whose operations on a device are not known."""


Handlers = dict[type[Layer], Callable[[Any, Any, Value], Value]]  # the rule of each layer


class Runtime(ABC):
    """A writer of the program of one network. Subclasses hold the rules of one runtime."""

    element_bytes: ClassVar[int]
    alignment: ClassVar[int] = 1
    handlers: ClassVar[Handlers] = {}

    def __init__(self) -> None:
        self.program = Program(self.element_bytes, self.alignment)

    def write(self, layers: tuple[Layer, ...], shape: Shape, writer: str = INPUT) -> Value:
        """Write ``layers`` in sequence on an input of ``shape`` that ``writer`` wrote, and return their output."""
        return self.chain(layers, Value(self.program.tensor(math.prod(shape)), shape, writer))

    def chain(self, layers: tuple[Layer, ...], value: Value) -> Value:
        """Write ``layers`` in sequence and return their output; branches come before the layer that joins them."""
        for layer in layers:
            value = self._branches(layer, value) if isinstance(layer, Branches) else self._layer(layer, value)
            self.program.layer += 1
        return value

    def _branches(self, layer: Branches, value: Value) -> Value:
        shared = value._replace(writer=SHARED)
        joined = [self.chain(chain, shared) for chain in layer.chains]
        shape = layer.out_shape(value.shape)
        tensors = [branch.tensor for branch in joined]
        if layer.join in ("concat", "append"):
            return Value(self.program.operation(tensors, shape), shape, OTHER)
        total, *others = tensors
        for other in others:
            total = self.program.operation((total, other), shape)
        return Value(total, shape, OTHER)

    def _layer(self, layer: Layer, value: Value) -> Value:
        if isinstance(layer, VIEWS):
            writer = OTHER if value.writer in WEIGHTED else value.writer
            return Value(value.tensor, layer.out_shape(value.shape), writer)
        if isinstance(layer, BatchNorm) and value.writer in WEIGHTED:
            self.fold(value)
            return value._replace(writer=OTHER)
        handler = self.handlers.get(type(layer))
        if handler is None:
            raise UnknownLayerError(
                "the memory of a network on a device is known for most layers of this package, but not for "
                f"{layer.kind!r}; use other blocks, or no limit of ram and flash"
            )
        return handler(self, layer, value)

    def one(self, layer: Layer, value: Value, writer: str = OTHER) -> Value:
        """Write one operation from the input of ``layer`` to its output."""
        shape = layer.out_shape(value.shape)
        return Value(self.program.operation((value.tensor,), shape), shape, writer)

    @abstractmethod
    def fold(self, value: Value) -> None:
        """Fold a batch norm into the convolution or linear layer that wrote ``value``."""


def _n_weights(layer: Convolution | FullyConnected, shape: Shape) -> int:
    return layer.cost(shape).params - layer.bias * layer.width


def _constants(n_per_channel: int) -> Callable[[Any, Layer, Value], Value]:
    """Return the rule of a layer with one operation and ``n_per_channel`` float32 or int32 numbers for each channel."""

    def rule(runtime: Runtime, layer: Layer, value: Value) -> Value:
        runtime.program.constant_bytes += FLOAT_BYTES * n_per_channel * value.shape[0]
        return runtime.one(layer, value)

    return rule


class Kernels(Runtime):
    """C kernels for int8, one for each layer."""

    element_bytes = 1

    def fold(self, value: Value) -> None:
        """Fold a batch norm: it changes the bias and the scale that every weighted kernel has."""

    def _weighted(self, layer: Convolution | FullyConnected, value: Value) -> Value:
        self.program.constant_bytes += _n_weights(layer, value.shape) + CHANNEL_BYTES * layer.width
        return self.one(layer, value, BIASED)

    def _norm(self, layer: BatchNorm, value: Value) -> Value:
        self.program.constant_bytes += (1 + CHANNEL_BYTES) * value.shape[0]
        return self.one(layer, value)

    def _act(self, layer: Act, value: Value) -> Value:
        if layer.name in ("relu", "relu6"):
            return self.one(layer, value) if value.writer in (INPUT, SHARED) else value._replace(writer=OTHER)
        prelu = layer.name == "prelu"
        self.program.constant_bytes += FLOAT_BYTES * value.shape[0] if prelu else TABLE_BYTES
        return self.one(layer, value)

    handlers: ClassVar[Handlers] = {
        **dict.fromkeys((Convolution, FullyConnected), _weighted),
        **dict.fromkeys((BatchNorm, LinearNorm), _norm),
        Act: _act,
        LayerNorm: _constants(2),
        LayerScale: _constants(1),
        **dict.fromkeys(
            (Pooling, GlobalPooling, PadShortcut, LocalResponse, ChannelMean, ChannelSlice, ChannelShuffle, Resize),
            Runtime.one,
        ),
    }


class Portable(Runtime):
    """The portable operators of ExecuTorch for float32."""

    element_bytes = FLOAT_BYTES
    alignment = 16

    def fold(self, value: Value) -> None:
        """Fold a batch norm: a convolution without a bias gets one."""
        self.program.constant_bytes += FLOAT_BYTES * value.shape[0] * (value.writer == UNBIASED)

    def _convolution(self, layer: Convolution, value: Value) -> Value:
        return self._weighted(layer, value, ())

    def _linear(self, layer: FullyConnected, value: Value) -> Value:
        transposed = self.program.operation((), (value.shape[0], layer.width))
        # alive with the input, which the product reads next
        return self._weighted(layer, value, (transposed,))

    def _weighted(self, layer: Convolution | FullyConnected, value: Value, others: tuple[int, ...]) -> Value:
        self.program.constant_bytes += FLOAT_BYTES * (_n_weights(layer, value.shape) + layer.bias * layer.width)
        shape = layer.out_shape(value.shape)
        written = self.program.operation((value.tensor, *others), shape)
        return Value(written, shape, BIASED if layer.bias else UNBIASED)

    def _pooling(self, layer: Pooling, value: Value) -> Value:
        if layer.mode == "average":
            return self.one(layer, value)
        shape = layer.out_shape(value.shape)
        indices = self.program.tensor(math.prod(shape), INDEX_BYTES)
        return Value(self.program.operation((value.tensor,), shape, indices), shape, OTHER)

    def _act(self, layer: Act, value: Value) -> Value:
        written = {
            "silu": self._silu,
            "hardswish": self._hard,
            "hardsigmoid": self._hard,
            "prelu": self._prelu,
        }.get(layer.name, self._plain)(layer, value)
        return Value(written, value.shape, OTHER)

    def _plain(self, layer: Layer, value: Value) -> int:
        return self.program.operation((value.tensor,), value.shape)

    def _silu(self, layer: Act, value: Value) -> int:
        sigmoid = self._plain(layer, value)
        return self.program.operation((value.tensor, sigmoid), value.shape)

    def _hard(self, layer: Act, value: Value) -> int:
        """Write hardswish, x * clamp(x + 3, 0, 6) / 6, or hardsigmoid, which leaves x out."""
        operation, shape = self.program.operation, value.shape
        gate = operation((value.tensor, operation((), ())), shape)  # the numbers 3 and 6 are tensors, too
        gate = operation((operation((gate,), shape),), shape)  # two clamps
        if layer.name == "hardswish":
            gate = operation((value.tensor, gate), shape)
        return operation((gate, operation((), ())), shape)

    def _prelu(self, layer: Act, value: Value) -> int:
        self.program.constant_bytes += FLOAT_BYTES * value.shape[0]
        mask = self.program.operation((value.tensor,), value.shape, element_bytes=1)  # where it is above 0
        scaled = self._plain(layer, value)
        return self.program.operation((value.tensor, mask, scaled), value.shape)

    def _layer_norm(self, layer: LayerNorm, value: Value) -> Value:
        self.program.constant_bytes += 2 * FLOAT_BYTES * value.shape[0]
        pixels = math.prod(value.shape[1:])
        moved = self.program.operation((value.tensor,), value.shape)
        statistics = self.program.tensor(pixels), self.program.tensor(pixels)  # mean and deviation of each pixel
        normed = self.program.operation((moved,), value.shape, *statistics)
        return Value(self.program.operation((normed,), value.shape), value.shape, OTHER)

    def _pad(self, layer: PadShortcut, value: Value) -> Value:
        channels, _, columns = value.shape
        _, rows, out_columns = shape = layer.out_shape(value.shape)
        tensor = value.tensor
        # every stride-th row, then every stride-th column; a stride of 1 is one copy
        for sides in ((rows, columns), (rows, out_columns)) if layer.stride > 1 else ((rows, columns),):
            tensor = self.program.operation((tensor,), (channels, *sides))
        return Value(self.program.operation((tensor,), shape), shape, OTHER)

    def _shuffle(self, layer: ChannelShuffle, value: Value) -> Value:
        permuted = self.program.operation((value.tensor,), value.shape)
        return Value(self.program.operation((permuted,), value.shape), value.shape, OTHER)

    def _response(self, layer: LocalResponse, value: Value) -> Value:
        channels, height, width = shape = value.shape
        operation = self.program.operation
        tensor = operation((value.tensor,), shape)  # squares
        tensor = operation((tensor,), (channels + layer.size - 1, height, width))  # padded channels
        for _ in range(5):  # mean, squeezed copy, product, sum, power
            tensor = operation((tensor,), shape)
        return Value(operation((value.tensor, tensor), shape), shape, OTHER)

    handlers: ClassVar[Handlers] = {
        Convolution: _convolution,
        FullyConnected: _linear,
        **dict.fromkeys((BatchNorm, LinearNorm), _constants(4)),
        Act: _act,
        Pooling: _pooling,
        LayerNorm: _layer_norm,
        LayerScale: _constants(1),
        PadShortcut: _pad,
        ChannelShuffle: _shuffle,
        LocalResponse: _response,
        **dict.fromkeys((GlobalPooling, ChannelMean, ChannelSlice, Resize), Runtime.one),
    }


RUNTIMES: dict[str, type[Runtime]] = {"float32": Portable, "int8": Kernels}
