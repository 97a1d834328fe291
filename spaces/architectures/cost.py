"""Costs of an architecture in closed form: parameters, MACs, activations, training memory; total and per layer."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from ..blocks.base import Block, Shape
from ..blocks.cost import DEFAULT_BATCH, Cost
from ..blocks.layers import Act, Branches, Convolution, FullyConnected, Layer, Pooling, own_cost
from .architecture import Architecture, lower


def cost(architecture: Architecture, batch_size: int = DEFAULT_BATCH) -> Cost:
    """Return the exact cost of ``architecture``; its memory is predicted at ``batch_size`` images."""
    return architecture.cost.at(batch_size)


class LayerRow(NamedTuple):
    """One row of the per-layer table.

    ``name`` is unique; ``block`` is the number and kind of the block that contains the layer. ``memory_bytes`` are the
    float32 bytes that autograd saves for one image.
    """

    name: str
    kind: str
    block: str
    in_shape: Shape
    out_shape: Shape
    params: int
    macs: int
    activations: int
    memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON types."""
        return {**self._asdict(), "in_shape": list(self.in_shape), "out_shape": list(self.out_shape)}


class Shared(NamedTuple):
    """Number of weights of convolutions, and of the same layers without weight sharing between positions."""

    convolution_weights: int
    locally_connected_weights: int


def shared_weights(layers: Iterable[LayerRow]) -> Shared:
    """Count the weights of all convolutions of ``layers``, and those of locally connected layers of the same shape.

    Biases are not counted. A locally connected layer (LeCun 1989) has one weight for each multiply-accumulate.
    """
    convolutions = [layer for layer in layers if layer.kind == "convolution"]
    # each weight of a convolution is used once for each output position
    weights = sum(layer.macs // (layer.out_shape[1] * layer.out_shape[2]) for layer in convolutions)
    return Shared(weights, sum(layer.macs for layer in convolutions))


def layer_costs(architecture: Architecture) -> list[LayerRow]:
    """Return one row for each layer, in order; the layers of branches follow one branch after another.

    Convolutions and linear layers have consecutive numbers, as in "conv5" and "fc6"; the other layers have the number
    of the last convolution or linear layer before them.
    """
    rows: list[LayerRow] = []
    number: int = 0
    names: tuple[str, ...] = ()
    for position, (block, shape, *_) in enumerate(architecture.walk(), start=1):
        label = f"{position} {block.kind}" if position <= len(architecture.blocks) else "output"
        block_rows, number, names = _named_rows(block, shape, label, number, names)
        rows += block_rows
    return rows


@lru_cache(maxsize=4096)
def _named_rows(
    block: Block, shape: Shape, label: str, number: int, used_names: tuple[str, ...]
) -> tuple[tuple[LayerRow, ...], int, tuple[str, ...]]:
    """Return the rows of ``block``, and ``number`` and ``used_names`` for the next block.

    ``number`` is the number of the last weighted layer before the block, ``used_names`` are the names with this number.
    """
    rows = []
    names = list(used_names)
    for stem, weighted, kind, costs in _unnamed_rows(block, shape):
        if weighted:
            number, names = number + 1, []  # names contain the number, so earlier names cannot occur again
        name = f"{stem}{number}"
        names.append(name)
        times = names.count(name)  # the second "relu5" becomes "relu5.2"
        rows.append(LayerRow(name if times == 1 else f"{name}.{times}", kind, label, *costs))
    return tuple(rows), number, tuple(names)


@lru_cache(maxsize=8192)
def _unnamed_rows(block: Block, shape: Shape) -> tuple[tuple[str, bool, str, tuple[Any, ...]], ...]:
    """Return for each layer of ``block``: stem of its name, whether it increases the number, kind, shapes and costs."""
    return tuple(
        (_stem(layer), isinstance(layer, Convolution | FullyConnected), layer.kind, _costs(layer, inner))
        for layer, inner in leaves(lower(block, shape).layers, shape)
    )


def leaves(layers: tuple[Layer, ...], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Yield every layer with its input shape; the layers inside branches come before the branches themselves.

    The branches layer then represents only the join.
    """
    for layer in layers:
        if isinstance(layer, Branches):
            for chain in layer.chains:
                yield from leaves(chain, shape)
        yield layer, shape
        shape = layer.out_shape(shape)


def _costs(layer: Layer, shape: Shape) -> tuple[Any, ...]:
    """Return input shape, output shape, params, macs, activations and saved bytes."""
    # the layers inside branches have their own rows, so the row of the branches is only the join
    out_shape, cost = own_cost(layer, shape)
    return shape, out_shape, cost.params, cost.macs, cost.activations, cost.kept_bytes


def _stem(layer: Layer) -> str:
    if isinstance(layer, Act):
        return layer.name
    if isinstance(layer, Pooling):
        return f"{layer.mode}pool"
    if isinstance(layer, Branches):
        return layer.join
    stems = {
        **{"convolution": "conv", "fully-connected": "fc", "global-pooling": "globalpool"},
        **dict.fromkeys(("batch-norm", "linear-norm", "layer-norm"), "norm"),
    }
    return stems.get(layer.kind, layer.kind)
