"""The graph of a space: one path for each distinct architecture, with the costs of blocks on its edges.

Several decisions can lead to the same network, which must count once. Therefore a space is first translated into a
nondeterministic automaton whose edges have blocks (:class:`_Automaton`). Then the automaton is made deterministic over
*layers*, the canonical form of networks, starting from the input shape. The result is an acyclic graph:

* A node is an input shape together with everything that may follow.
* The edges of a node have different sequences of canonical layers, none a prefix of another. Thus no two paths are the
  same network, also where a setting such as ``ceil`` of a pooling changes nothing for the size of its input.

The cost of a network is the sum of the costs along its path. Counting, sampling and feasibility are therefore sums,
minima and walks over this graph.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from ..architectures.architecture import Architecture, Lowered, head, lower
from ..blocks.base import Block, Shape, ShapeError
from ..blocks.canonical import canonical_layers
from ..blocks.cost import FLOAT_BYTES, Cost, sum_costs
from ..blocks.layers import Layer
from ..parameters.domains import Choice, Repeat
from ..search_space.space import (
    Pick,
    Space,
    Template,
    child_path,
    enumerate_decisions,
    fill,
    fill_value,
    with_first,
)

Chain = tuple[Layer, ...]
Blocks = tuple[Block, ...]
Choices = frozenset[tuple[str, int]]  # (path of a choice, index of the option)
Item = tuple[int, Blocks, Choices]  # a state of the automaton, blocks that must come before it, their choices
NO_CHOICES: Choices = frozenset()
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


@dataclass(eq=False, slots=True)
class Node:
    """An input shape and everything that may follow.

    ``last`` is the cost of the head (the last layer) if the network may end here, else None.
    """

    shape: Shape
    edges: list[Edge] = field(default_factory=list)
    last: Cost | None = None
    head_latency_ns: int = 0


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
    more cost.

    Raises :class:`ShapeError`, with the most frequent reason, if the space contains no architecture.
    """

    def __init__(self, space: Space, latency_model: LatencyModel | None = None) -> None:
        self.space = space
        self.latency_model = latency_model
        if len(space.blocks) > MAX_BLOCKS:  # before the automaton, which takes long for so many
            raise _too_many_blocks()
        self.refused: dict[str, int] = {}
        self._automaton = _Automaton(space.blocks)
        self.options = self._automaton.options
        self._nodes: dict[tuple[frozenset[Item], Shape], Node | None] = {}
        self.order: list[Node] = []
        start = self._node(self._automaton.closure({(0, (), NO_CHOICES)}), space.input_shape)
        if start is None:
            reason = max(self.refused, key=lambda text: self.refused[text], default="no sequence of blocks is complete")
            raise ShapeError(f"the space {space.name!r} contains no architecture: {reason}")
        self.start = start

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

    def _node(self, items: frozenset[Item], shape: Shape, depth: int = 0) -> Node | None:
        """Return the node of ``items`` at ``shape``, or None if no architecture can be completed from there.

        ``depth`` is the number of blocks before it. Raises ``ValueError`` above ``MAX_BLOCKS``.
        """
        if depth > MAX_BLOCKS:
            raise _too_many_blocks()
        # equal items and shapes have the same continuations: sharing the node makes this a graph instead of a tree
        key = (items, shape)
        if key in self._nodes:
            return self._nodes[key]
        node = Node(shape)
        if any(state == self._automaton.end and not rest for state, rest, _ in items):
            layers, _, node.last = lower(head(self.space.classes), shape)
            node.head_latency_ns = self._latency_ns(layers, shape)
        for option in _prefix_free(self._options(items, shape), shape).values():
            layers, out_shape, cost = option.lowered
            target = self._node(self._automaton.closure(option.targets), out_shape, depth + 1)
            # an edge from which no architecture can be completed is left out
            if target is not None:
                latency_ns = self._latency_ns(layers, shape)
                choices = frozenset(option.choices)
                node.edges.append(Edge(option.blocks, layers, option.canonical, cost, latency_ns, target, choices))
        result = node if node.edges or node.last is not None else None
        self._nodes[key] = result
        if result:
            self.order.append(node)  # after its targets, which the recursion above appended
        return result

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


class _Automaton:
    """A space as a nondeterministic automaton; state 0 is its start.

    ``edges[state]`` lists (blocks, next state, choices, path). ``jumps[state]`` are the states that can be reached from
    a state without any block. ``options[path]`` are the options of each choice.
    """

    def __init__(self, blocks: tuple[Template, ...]) -> None:
        self.edges: list[list[tuple[Blocks, int, Choices, str]]] = []
        self.jumps: list[set[int]] = []
        self.options: dict[str, tuple[Any, ...]] = {}
        self.end = self._new_state()  # the start, until templates are added
        for number, template in enumerate(blocks, start=1):
            self.end = self._add(template, self.end, str(number), NO_CHOICES)

    def _new_state(self) -> int:
        self.edges.append([])
        self.jumps.append(set())
        return len(self.edges) - 1

    def _join(self, *states: int) -> int:
        joined = self._new_state()
        for state in states:
            self.jumps[state].add(joined)
        return joined

    def _add(self, template: Template, start: int, path: str, chosen: Choices) -> int:
        """Add ``template`` at the state ``start`` and return the state after it."""
        if isinstance(template, Choice):
            options = self.options[path] = template.options
            return self._join(
                *(
                    self._add(option, start, child_path(path, options, index), chosen | {(path, index)})
                    for index, option in enumerate(options)
                )
            )
        if isinstance(template, Repeat) and template.each:
            return self._add_each(template, start, path, chosen)
        if isinstance(template, Block | Repeat):
            end = self._new_state()
            self._add_edges(template, start, end, path, chosen)
            return end
        for number, part in enumerate(template, start=1):
            start = self._add(part, start, f"{path}.{number}", chosen)
        return start

    def _add_edges(
        self,
        template: Template,
        start: int,
        end: int,
        path: str,
        chosen: Choices,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an edge for every way to fill ``template``, with the fields ``first`` of its first block replaced."""
        for decisions, blocks in enumerate_decisions(lambda pick: fill(template, path, self._recording(pick))):
            if blocks:
                changed = with_first(blocks, first) if first else blocks
                self.edges[start].append((changed, end, chosen | decisions.items(), path))
            else:  # no blocks, such as a repeat of 0 times
                self.jumps[start].add(end)

    def _recording(self, pick: Pick) -> Pick:
        """Return ``pick`` extended to record the options of every choice."""

        def recorded(path: str, options: tuple[Any, ...]) -> int:
            self.options[path] = options
            return pick(path, options)

        return recorded

    def _add_each(self, template: Repeat, start: int, path: str, chosen: Choices) -> int:
        """Add a repeat whose repetitions make their own choices: one chain with an end after each allowed count."""
        times = {count for _, count in enumerate_decisions(lambda pick: fill_value(template.times, "", pick))}
        ends = [start] if 0 in times else []
        for i in range(1, max(times) + 1):
            if i == 1 and template.first:
                end = self._new_state()
                self._add_edges(template.block, start, end, f"{path}.1", chosen, template.first)
                start = end
            else:
                start = self._add(template.block, start, f"{path}.{i}", chosen)
            if i in times:
                ends.append(start)
        return self._join(*ends)

    def closure(self, items: "set[Item] | frozenset[Item]") -> frozenset[Item]:
        """Return ``items`` and all items that can be reached from them without any block."""
        reached = set(items)
        pending = list(reached)
        while pending:
            state, rest, _ = pending.pop()
            if not rest:
                new = {(jump, (), NO_CHOICES) for jump in self.jumps[state]} - reached
                reached |= new
                pending += new
        return frozenset(reached)
