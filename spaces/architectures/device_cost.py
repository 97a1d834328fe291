"""Costs of a network on a device: peak RAM of inference and bytes in flash, exact and in closed form.

``runtimes.py`` states the rules. RAM is the largest sum of tensors that are alive at the same time, for one image: what
the best possible plan of memory reaches. Code, stack and the tables of a runtime come on top.
"""

from functools import lru_cache
from typing import NamedTuple

from ..blocks.base import Shape
from ..blocks.layers import Act, BatchNorm, Layer
from ..parameters.lookup import look_up
from .architecture import Architecture
from .runtimes import INPUT, RUNTIMES, VIEWS, Runtime, UnknownLayerError, Value

PRECISIONS = tuple(RUNTIMES)
DEFAULT_PRECISION = "float32"


class DeviceCost(NamedTuple):
    """The bytes of RAM and flash that a network, or a part of it, needs on a device."""

    ram_bytes: int
    flash_bytes: int


def ram_bytes(architecture: Architecture, precision: str = DEFAULT_PRECISION) -> int:
    """Return the peak RAM of inference in bytes: the largest sum of live tensors, for one image.

    ``precision`` is "float32" or "int8". Raises :class:`UnknownLayerError` for a layer without a rule, such as a
    network of timm.
    """
    return device_cost(architecture, precision).ram_bytes


def flash_bytes(architecture: Architecture, precision: str = DEFAULT_PRECISION) -> int:
    """Return the bytes of weights, biases and scales in flash; see :func:`ram_bytes`."""
    return device_cost(architecture, precision).flash_bytes


def device_cost(architecture: Architecture, precision: str = DEFAULT_PRECISION) -> DeviceCost:
    """Return the RAM and the flash of ``architecture`` in bytes; see :func:`ram_bytes`."""
    program = _written(architecture, precision).program
    return DeviceCost(program.peak_bytes, program.constant_bytes)


def device_cost_or_none(architecture: Architecture, precision: str) -> DeviceCost | None:
    """Return :func:`device_cost`, or None if a layer of ``architecture`` has no rule."""
    try:
        return device_cost(architecture, precision)
    except UnknownLayerError:
        return None


def layer_ram_bytes(architecture: Architecture, precision: str = DEFAULT_PRECISION) -> list[int]:
    """Return the largest sum of live tensors during each layer, in the order of ``layer_costs``.

    It is 0 for a layer that is no operation of its own, such as a batch norm folded into a convolution.
    """
    program = _written(architecture, precision).program
    peaks = [0] * program.layer
    for operation, live_bytes in zip(program.operations, program.live_bytes, strict=True):
        peaks[operation.layer] = max(peaks[operation.layer], live_bytes)
    return peaks


@lru_cache(maxsize=65_536)
def part_cost(layers: tuple[Layer, ...], shape: Shape, precision: str, writer: str = INPUT) -> tuple[DeviceCost, str]:
    """Return the cost of ``layers`` on an input of ``shape`` that ``writer`` wrote, and what wrote their output.

    Between two parts of a network exactly one tensor is alive. Therefore the RAM of a network is the maximum over its
    parts, and the flash their sum.
    """
    runtime = runtime_of(precision)
    value = runtime.write(layers, shape, writer)
    return DeviceCost(runtime.program.peak_bytes, runtime.program.constant_bytes), value.writer


def depends_on_writer(layers: tuple[Layer, ...]) -> bool:
    """Return whether the cost of ``layers``, or what wrote their output, depends on what wrote their input.

    It does if the first operation may be folded into the one before, or if all layers are views.
    """
    first = next((layer for layer in layers if not isinstance(layer, VIEWS)), None)
    return first is None or isinstance(first, BatchNorm | Act)


def input_bytes(shape: Shape, precision: str) -> int:
    """Return the bytes of an image of ``shape`` on the device."""
    return part_cost((), shape, precision)[0].ram_bytes


def runtime_of(precision: str) -> Runtime:
    """Return a new writer of programs; raise ``ValueError`` for an unknown ``precision``."""
    return look_up(RUNTIMES, precision, "precision")()


def _written(architecture: Architecture, precision: str) -> Runtime:
    runtime = runtime_of(precision)
    value: Value | None = None
    for placed in architecture.walk():
        value = runtime.write(placed.layers, placed.in_shape) if value is None else runtime.chain(placed.layers, value)
    return runtime
