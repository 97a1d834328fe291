"""The canonical form of layers: one way to write layers of equal cost that compute the same function of their input.

Layers of different cost stay different, also if they compute the same: a batch norm and the norm of a linear bottleneck
differ in the memory of training. One path of the graph has one cost.
"""

from dataclasses import replace
from functools import lru_cache

from .base import Shape
from .layers import Branches, Convolution, Layer, PadShortcut, Pooling

Chain = tuple[Layer, ...]
WHOLE_IMAGE = 2**30  # a stride larger than any image


@lru_cache(maxsize=65_536)
def canonical_layers(layers: Chain, shape: Shape) -> Chain:
    """Return ``layers`` in canonical form for an input of ``shape``, one layer for each.

    The result is for comparison only: its strides may be larger than the image.
    """
    canonical = []
    for layer in layers:
        canonical.append(_canonical(layer, shape))
        shape = layer.out_shape(shape)
    return tuple(canonical)


def _canonical(layer: Layer, shape: Shape) -> Layer:
    if isinstance(layer, Branches):
        return replace(layer, chains=tuple(canonical_layers(chain, shape) for chain in layer.chains))
    if isinstance(layer, Pooling) and layer.ceil:
        # without a window beyond the edge, rounding up changes nothing
        down = replace(layer, ceil=False)
        layer = down if _same_shape(down, layer, shape) else layer
    if isinstance(layer, Pooling | Convolution | PadShortcut) and layer.out_shape(shape)[1:] == (1, 1):
        # one output at the first position: the distance to the next one does not matter
        once = replace(layer, stride=WHOLE_IMAGE)
        return once if _same_shape(once, layer, shape) else layer
    return layer


def _same_shape(layer: Layer, other: Layer, shape: Shape) -> bool:
    return layer.out_shape(shape) == other.out_shape(shape)
