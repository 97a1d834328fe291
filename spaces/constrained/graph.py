"""The graph of a space: one path for each distinct architecture, with the costs of blocks on its edges.

Several decisions can lead to the same network, which must count once. Therefore a space is first translated into a
nondeterministic automaton whose edges have blocks (``automaton.py``). Then the automaton is made deterministic over
*layers*, the canonical form of networks, starting from the input shape. The result is an acyclic graph:

* A node is an input shape together with everything that may follow.
* The edges of a node have different sequences of canonical layers, none a prefix of another. Thus no two paths are the
  same network, also where a setting such as ``ceil`` of a pooling changes nothing for the size of its input.

The cost of a network is the sum of the costs along its path. Counting, sampling and feasibility are therefore sums,
minima and walks over this graph.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from ..architectures.architecture import Architecture, Lowered, head, lower
from ..architectures.device_cost import DeviceCost, depends_on_writer, part_cost
from ..architectures.runtimes import INPUT, OTHER
from ..blocks.base import Shape, ShapeError
from ..blocks.canonical import canonical_layers
from ..blocks.cost import FLOAT_BYTES, Cost, sum_costs
from ..blocks.layers import Layer
from ..search_space.space import Space
from .automaton import NO_CHOICES, Automaton, Blocks, Choices, Item

Chain = tuple[Layer, ...]
NO_DEVICE = DeviceCost(0, 0)  # without a limit of RAM or flash
MAX_BLOCKS = 700  # in a row; the graph is built by one recursion for each block


@dataclass(eq=False, slots=True)
class Edge:
    """One block, or a part of a block if several blocks start with the same layers, with its cost and target node."""

    blocks: Blocks
    layers: Chain
    canonical: Chain  # the layers, with settings that change nothing written in one way
    cost: Cost
    latency_ns: int  # predicted; 0 without a latency model
    target: "Node"
    choices: Choices  # every option that can lead to this edge
    device: DeviceCost = NO_DEVICE
    origin: "Edge | None" = None  # the same edge of the whole graph, in a graph without some edges


@dataclass(eq=False, slots=True)
class Node:
    """An input shape and everything that may follow.

    ``last`` is the cost of the head (the last layer) if the network may end here, else None. ``origin`` is the same
    node of the whole graph, in a graph without some edges.
    """

    shape: Shape
    edges: list[Edge] = field(default_factory=list)
    last: Cost | None = None
    head_latency_ns: int = 0
    head_device: DeviceCost = NO_DEVICE
    origin: "Node | None" = None

    @property
    def ram_bytes(self) -> list[int]:
        """The RAM of each edge, and that of the head if the network may end here."""
        heads = [] if self.last is None else [self.head_device.ram_bytes]
        return [*(edge.device.ram_bytes for edge in self.edges), *heads]


class LatencyModel(Protocol):
    """A prediction of latency that is a sum over the layers, like every other cost."""

    @property
    def base_latency_ns(self) -> int:
        """The base latency: nanoseconds of a forward pass without any layer."""

    def nanoseconds(self, layers: Chain, shape: Shape) -> int:
        """Return the predicted nanoseconds of ``layers`` in sequence for an input of ``shape``."""


class Graph:
    """The graph of ``space``.

    ``start`` is the first node of every path. ``order`` lists all nodes so that the target of every edge comes before
    the edge's node; ``start`` is the last one. ``options[path]`` are the options of the choice at ``path``. ``refused``
    counts the reasons why blocks could not take their input. With a ``latency_model`` the predicted nanoseconds are one
    more cost. With a ``precision`` each edge has its RAM and flash on a device.

    Raises :class:`ShapeError`, with the most frequent reason, if the space contains no architecture.
    """

    def __init__(self, space: Space, latency_model: LatencyModel | None = None, precision: str | None = None) -> None:
        self.space = space
        self.latency_model = latency_model
        self.precision = precision
        if len(space.blocks) > MAX_BLOCKS:  # before the automaton, which takes long for so many
            raise _too_many_blocks()
        self.refused: dict[str, int] = {}
        self._automaton = Automaton(space.blocks)
        self.options = self._automaton.options
        self._nodes: dict[tuple[frozenset[Item], Shape, str], Node | None] = {}
        self._options_at: dict[tuple[frozenset[Item], Shape], list[_Option]] = {}
        self.order: list[Node] = []
        start = self._node(self._automaton.closure({(0, (), NO_CHOICES)}), space.input_shape)
        if start is None:
            reason = max(self.refused, key=lambda text: self.refused[text], default="no sequence of blocks is complete")
            raise ShapeError(f"the space {space.name!r} contains no architecture: {reason}")
        self.start = start
        self._options_at.clear()

    def within_ram(self, limit: int) -> "Graph":
        """Return the graph of the networks whose RAM is at most ``limit`` bytes; it is empty if there is none.

        Between two edges exactly one tensor is alive, so that the RAM of a network is the maximum over its edges. An
        edge above the limit is left out, and with it what cannot be reached, or completed, without it.
        """
        kept: dict[Node, Node] = {}
        for node in self.order:
            edges = [
                replace(edge, target=kept[edge.target], origin=edge)
                for edge in node.edges
                if edge.device.ram_bytes <= limit and edge.target in kept
            ]
            ends = node.last is not None and node.head_device.ram_bytes <= limit
            if edges or ends or node is self.start:
                last = node.last if ends else None
                kept[node] = Node(node.shape, edges, last, node.head_latency_ns, node.head_device, node)
        reached = {kept[self.start]}
        for node in reversed(self.order):  # every node after all nodes with an edge to it
            if node in kept and kept[node] in reached:
                reached.update(edge.target for edge in kept[node].edges)
        within = copy(self)
        within.order = [kept[node] for node in self.order if node in kept and kept[node] in reached]
        within.start = kept[self.start]
        return within

    @property
    def empty(self) -> bool:
        """Whether no network is left."""
        return not self.start.edges and self.start.last is None

    @cached_property
    def base_cost(self) -> Cost:
        """The cost of every architecture in addition to blocks and head: saved bytes of image and log-softmax."""
        channels, height, width = self.space.input_shape
        return Cost(kept_bytes=FLOAT_BYTES * (channels * height * width + self.space.classes))

    @property
    def base_latency_ns(self) -> int:
        """The predicted nanoseconds of a forward pass without any layer; 0 without a latency model."""
        return self.latency_model.base_latency_ns if self.latency_model else 0

    def architecture(self, edges: list[Edge]) -> Architecture:
        """Return the architecture of a path."""
        blocks = tuple(block for edge in edges for block in edge.blocks)
        return Architecture(self.space.input_shape, blocks, self.space.classes)

    def path(self, architecture: Architecture) -> list[Edge] | None:
        """Return the path of ``architecture``, or None if the space does not contain it."""
        space = self.space
        if (architecture.input_shape, architecture.classes) != (space.input_shape, space.classes):
            return None
        layers = canonical_layers(architecture.body, space.input_shape)
        node, path = self.start, []
        while layers:
            # at most one edge matches, because no edge's layers are a prefix of another's
            edge = next((e for e in node.edges if layers[: len(e.layers)] == e.canonical), None)
            if edge is None:
                return None
            path.append(edge)
            node, layers = edge.target, layers[len(edge.layers) :]
        return path if node.last is not None else None

    def _node(self, items: frozenset[Item], shape: Shape, depth: int = 0, writer: str = INPUT) -> Node | None:
        """Return the node of ``items`` at ``shape``, or None if no architecture can be completed from there.

        ``depth`` is the number of blocks before it, ``writer`` what wrote the tensor there on a device. Raises
        ``ValueError`` above ``MAX_BLOCKS``.
        """
        if depth > MAX_BLOCKS:
            raise _too_many_blocks()
        # equal items and shapes have the same continuations: sharing the node makes this a graph instead of a tree
        place = (items, shape)
        if place not in self._options_at:
            self._options_at[place] = list(_prefix_free(self._options(items, shape), shape).values())
        options = self._options_at[place]
        if self.precision is None or not any(depends_on_writer(option.lowered.layers) for option in options):
            writer = OTHER  # the costs of what follows are the same for every writer
        key = (*place, writer)
        if key in self._nodes:
            return self._nodes[key]
        node = Node(shape)
        if any(state == self._automaton.end and not rest for state, rest, _ in items):
            layers, _, node.last = lower(head(self.space.classes), shape)
            node.head_latency_ns = self._latency_ns(layers, shape)
            node.head_device, _ = self._device(layers, shape, writer)
        for option in options:
            layers, out_shape, cost = option.lowered
            device, wrote = self._device(layers, shape, writer)
            target = self._node(self._automaton.closure(option.targets), out_shape, depth + 1, wrote)
            # an edge from which no architecture can be completed is left out
            if target is not None:
                latency_ns = self._latency_ns(layers, shape)
                choices = frozenset(option.choices)
                node.edges.append(
                    Edge(option.blocks, layers, option.canonical, cost, latency_ns, target, choices, device)
                )
        result = node if node.edges or node.last is not None else None
        self._nodes[key] = result
        if result:
            self.order.append(node)  # after its targets, which the recursion above appended
        return result

    def _device(self, layers: Chain, shape: Shape, writer: str) -> tuple[DeviceCost, str]:
        """Return the cost of ``layers`` on the device and what wrote their output."""
        return (NO_DEVICE, OTHER) if self.precision is None else part_cost(layers, shape, self.precision, writer)

    def _latency_ns(self, layers: Chain, shape: Shape) -> int:
        return self.latency_model.nanoseconds(layers, shape) if self.latency_model else 0

    def _options(self, items: frozenset[Item], shape: Shape) -> "Iterator[_Option]":
        """Yield the blocks that may come next after ``items``, except those that cannot take ``shape``."""
        for state, rest, chosen in sorted(items, key=_sort_key):
            # blocks left over from a longer option come before the edges of the state
            edges = [(rest, state, chosen, "")] if rest else self._automaton.edges[state]
            for blocks, target, choices, path in edges:
                try:
                    lowered = lower_all(blocks, shape)
                except ShapeError as error:
                    reason = f"block {path} ({blocks[0].kind}): {error}"
                    self.refused[reason] = self.refused.get(reason, 0) + 1
                    continue
                canonical = canonical_layers(lowered.layers, shape)
                yield _Option(lowered, canonical, blocks, {(target, (), NO_CHOICES)}, set(choices))


def _too_many_blocks() -> ValueError:
    return ValueError(
        f"an architecture must have at most {MAX_BLOCKS} blocks, but this space has longer ones; "
        "use fewer stages, or a smaller depth"
    )


def _sort_key(item: Item) -> tuple[Any, ...]:
    """Return a sort key for items.

    The order of a set differs between processes, but indices of architectures must be the same in every process.
    """
    state, rest, chosen = item
    return state, repr(rest), sorted(chosen)


@dataclass(slots=True)
class _Option:
    """Blocks that may come next at a node, their layers, and the items of the automaton after them."""

    lowered: Lowered
    canonical: Chain
    blocks: Blocks
    targets: set[Item]
    choices: set[tuple[str, int]]


def lower_all(blocks: Blocks, shape: Shape) -> Lowered:
    """Return the layers of ``blocks`` in sequence, their output shape and the sum of their costs."""
    if len(blocks) == 1:  # the most frequent case needs no new object: lower() is cached
        return lower(blocks[0], shape)
    layers: list[Layer] = []
    costs: list[Cost] = []
    for block in blocks:
        block_layers, shape, cost = lower(block, shape)
        layers += block_layers
        costs.append(cost)
    return Lowered(tuple(layers), shape, sum_costs(costs))


def _prefix_free(options: Iterator[_Option], shape: Shape) -> dict[Chain, _Option]:
    """Merge options by their canonical layers, so that the layers of no option are a prefix of those of another.

    If the layers of option A are a prefix of those of option B, then B is removed, and its remaining blocks become
    targets of A. If B has several prefixes, A is the shortest one.
    """
    merged: dict[Chain, _Option] = {}
    for option in options:
        # equal layers mean the same network so far: one edge with the continuations of both
        same = merged.setdefault(option.canonical, option)
        same.targets |= option.targets
        same.choices |= option.choices
    lengths = sorted({len(layers) for layers in merged})
    for layers in sorted(merged, key=len, reverse=True):
        for length in (n for n in lengths if n < len(layers)):
            if layers[:length] in merged:
                longer = merged.pop(layers)
                rest = _remaining_blocks(longer, length, shape)
                chosen = frozenset(longer.choices)
                merged[layers[:length]].targets |= {
                    (state, rest + following, chosen | later) for state, following, later in longer.targets
                }
                break
    return merged


def _remaining_blocks(option: _Option, length: int, shape: Shape) -> Blocks:
    """Return the blocks of ``option`` after its first ``length`` layers, as layers if the cut is inside a block."""
    n_layers = 0
    for index, block in enumerate(option.blocks):
        if n_layers == length:
            return option.blocks[index:]
        layers, shape, _ = lower(block, shape)
        n_layers += len(layers)
    return option.lowered.layers[length:]
