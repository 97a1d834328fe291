"""Costs of an architecture: closed-form parameters, MACs, activations and training memory, in all and per layer."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from ..blocks.base import Block, Shape
from ..blocks.cost import DEFAULT_BATCH, Cost
from ..blocks.layers import Act, Branches, Convolution, FullyConnected, Layer, Pooling, own_cost
from .architecture import Architecture, lower


def cost(architecture: Architecture, batch_size: int = DEFAULT_BATCH) -> Cost:
    """The exact cost of ``architecture``; memory at ``batch_size`` pictures."""
    return architecture.cost.at(batch_size)


class LayerRow(NamedTuple):
    """One row of the per-layer table: ``name`` is unique, ``block`` says which block the layer belongs to."""

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
        """The row as JSON's own types; memory is what is kept of one picture."""
        return {**self._asdict(), "in_shape": list(self.in_shape), "out_shape": list(self.out_shape)}


class Shared(NamedTuple):
    """What sharing weights over places saves: the weights of convolutions, and of the same layers connected locally."""

    convolution_weights: int
    locally_connected_weights: int


def shared_weights(layers: Iterable[LayerRow]) -> Shared:
    """The weights of all convolutions of ``layers``, without biases, and as many as they would be if none was shared.

    A locally connected layer (LeCun 1989) has a weight of its own for each multiply-accumulate.
    """
    convolutions = [layer for layer in layers if layer.kind == "convolution"]
    shared = sum(layer.macs // (layer.out_shape[1] * layer.out_shape[2]) for layer in convolutions)
    return Shared(shared, sum(layer.macs for layer in convolutions))


def layer_costs(architecture: Architecture) -> list[LayerRow]:
    """One row for each layer, in order; branches are walked one after another.

    Convolutions and linear layers are numbered through, as in "conv5" and "fc6"; the layers around them carry the
    number of the last one.
    """
    rows: list[LayerRow] = []
    number: int = 0
    taken: tuple[str, ...] = ()
    for place, (block, shape, *_) in enumerate(architecture.walk(), start=1):
        label = f"{place} {block.kind}" if place <= len(architecture.blocks) else "output"
        found, number, taken = _named_rows(block, shape, label, number, taken)
        rows += found
    return rows


@lru_cache(maxsize=4096)
def _named_rows(
    block: Block, shape: Shape, label: str, number: int, taken: tuple[str, ...]
) -> tuple[tuple[LayerRow, ...], int, tuple[str, ...]]:
    """The rows of ``block`` behind layer ``number``, whose names are ``taken``; then both as they are behind it."""
    rows = []
    names = list(taken)
    for stem, weighted, kind, costs in _nameless_rows(block, shape):
        if weighted:
            number, names = number + 1, []
        name = f"{stem}{number}"
        names.append(name)
        times = names.count(name)
        rows.append(LayerRow(name if times == 1 else f"{name}.{times}", kind, label, *costs))
    return tuple(rows), number, tuple(names)


@lru_cache(maxsize=8192)
def _nameless_rows(block: Block, shape: Shape) -> tuple[tuple[str, bool, str, tuple[Any, ...]], ...]:
    """Stem of the name, whether the layer has a number, kind, and costs, of each layer of ``block``."""
    return tuple(
        (_stem(layer), isinstance(layer, Convolution | FullyConnected), layer.kind, _costs(layer, inner))
        for layer, inner in leaves(lower(block, shape).layers, shape)
    )


def leaves(layers: tuple[Layer, ...], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Every layer with its input shape, those inside of branches before the branches, which then stand for the join."""
    for layer in layers:
        if isinstance(layer, Branches):
            for chain in layer.chains:
                yield from leaves(chain, shape)
        yield layer, shape
        shape = layer.out_shape(shape)


def _costs(layer: Layer, shape: Shape) -> tuple[Any, ...]:
    """Input shape, output shape, params, macs, activations, kept bytes."""
    # the chains of branches have rows of their own: their row is the join alone
    out_shape, cost = own_cost(layer, shape)
    return shape, out_shape, cost.params, cost.macs, cost.activations, cost.kept_bytes


def _stem(layer: Layer) -> str:
    if isinstance(layer, Act):
        return layer.name
    if isinstance(layer, Pooling):
        return f"{layer.mode}pool"
    if isinstance(layer, Branches):
        return layer.join
    stems = {"convolution": "conv", "fully-connected": "fc", "batch-norm": "norm", "global-pooling": "globalpool"}
    return stems.get(layer.kind, layer.kind)
