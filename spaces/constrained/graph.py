"""The graph of a space: one path for each distinct architecture, one edge for each block on the way.

Two encodings of one network must count once. A space is first read as an automaton whose edges carry blocks
(:class:`_Automaton`); then, from the input shape on, it is made deterministic over *layers*, which are the canonical
form: a node is an input shape together with everything that may still follow, its edges carry different runs of layers,
none of them the beginning of another, so no two paths spell the same network. On this graph the costs of the edges add
up: counting, sampling and feasibility are sums, minima and walks over it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from ..architectures.architecture import Architecture, Lowered, head, lower
from ..blocks.base import Block, Shape, ShapeError
from ..blocks.cost import FLOAT_BYTES, Cost, add_up
from ..blocks.layers import Layer
from ..parameters.domains import Choice, Repeat
from ..search_space.space import Pick, Space, Template, child_path, fill, fill_value, fills, with_first

Chain = tuple[Layer, ...]
Blocks = tuple[Block, ...]
Choices = frozenset[tuple[str, int]]  # (path of a choice, index of the option)
Item = tuple[int, Blocks, Choices]  # a state of the automaton, blocks still to come before it, what they were chosen by
NONE: Choices = frozenset()


@dataclass(eq=False, slots=True)
class Edge:
    """One block, or the part of a block that sets architectures apart: what it costs and where it leads."""

    blocks: Blocks
    layers: Chain
    cost: Cost
    latency_ns: int  # predicted; 0 without a latency model
    target: "Node"
    choices: Choices  # every option that leads along here


@dataclass(eq=False, slots=True)
class Node:
    """An input shape and all that may follow; ``last`` is the head's cost where the network may end here."""

    shape: Shape
    edges: list[Edge] = field(default_factory=list)
    last: Cost | None = None
    last_latency_ns: int = 0


class LatencyModel(Protocol):
    """A prediction of latency that adds up over the layers, as every cost does."""

    @property
    def start_ns(self) -> int:
        """Base latency: nanoseconds of a forward pass before the first layer."""

    def nanoseconds(self, layers: Chain, shape: Shape) -> int:
        """Nanoseconds of ``layers`` one after another on an input of ``shape``."""


class Graph:
    """The graph of ``space``; ``order`` lists the nodes so that every edge leads backwards, ``start`` is its last.

    ``options[path]`` is what the choice at ``path`` chooses among; ``refused`` collects why blocks were left out where
    they could not take their input. With a ``latency_model`` the predicted nanoseconds are one more cost.
    Raises :class:`ShapeError` where no architecture of the space fits together.
    """

    def __init__(self, space: Space, latency_model: LatencyModel | None = None) -> None:
        self.space = space
        self.latency_model = latency_model
        self.refused: dict[str, int] = {}
        self._automaton = _Automaton(space.blocks)
        self.options = self._automaton.options
        self._nodes: dict[tuple[frozenset[Item], Shape], Node | None] = {}
        self.order: list[Node] = []
        start = self._node(self._automaton.closure({(0, (), NONE)}), space.input_shape)
        if start is None:
            reason = max(self.refused, key=lambda why: self.refused[why], default="it has no way to its end")
            raise ShapeError(f"the space {space.name!r} holds no architecture: {reason}")
        self.start = start

    @cached_property
    def first_cost(self) -> Cost:
        """What every architecture costs before its first block: the image, and the scores' log-softmax, kept."""
        channels, height, width = self.space.input_shape
        return Cost(kept_bytes=FLOAT_BYTES * (channels * height * width + self.space.classes))

    @property
    def first_latency_ns(self) -> int:
        """The predicted nanoseconds before the first block."""
        return self.latency_model.start_ns if self.latency_model else 0

    def architecture(self, edges: list[Edge]) -> Architecture:
        """The architecture that a path spells."""
        blocks = tuple(block for edge in edges for block in edge.blocks)
        return Architecture(self.space.input_shape, blocks, self.space.classes)

    def path(self, architecture: Architecture) -> list[Edge] | None:
        """The path that spells ``architecture``, or None where it is no point of the space."""
        space = self.space
        if (architecture.input_shape, architecture.classes) != (space.input_shape, space.classes):
            return None
        layers = architecture.body
        node, path = self.start, []
        while layers:
            edge = next((e for e in node.edges if layers[: len(e.layers)] == e.layers), None)
            if edge is None:
                return None
            path.append(edge)
            node, layers = edge.target, layers[len(edge.layers) :]
        return path if node.last is not None else None

    def _node(self, items: frozenset[Item], shape: Shape) -> Node | None:
        """The node of ``items`` at ``shape``, or None where no architecture can end from there."""
        key = (items, shape)
        if key in self._nodes:
            return self._nodes[key]
        node = Node(shape)
        if any(state == self._automaton.end and not rest for state, rest, _ in items):
            layers, _, node.last = lower(head(self.space.classes), shape)
            node.last_latency_ns = self._latency_ns(layers, shape)
        for option in _prefix_free(self._options(items, shape), shape).values():
            layers, out_shape, cost = option.lowered
            target = self._node(self._automaton.closure(option.targets), out_shape)
            if target is not None:
                latency_ns = self._latency_ns(layers, shape)
                node.edges.append(Edge(option.blocks, layers, cost, latency_ns, target, frozenset(option.choices)))
        alive = node if node.edges or node.last is not None else None
        self._nodes[key] = alive
        if alive:
            self.order.append(node)
        return alive

    def _latency_ns(self, layers: Chain, shape: Shape) -> int:
        return self.latency_model.nanoseconds(layers, shape) if self.latency_model else 0

    def _options(self, items: frozenset[Item], shape: Shape) -> "Iterator[_Option]":
        for state, rest, chosen in sorted(items, key=_place):
            ways = [(rest, state, chosen, "")] if rest else self._automaton.edges[state]
            for blocks, target, choices, path in ways:
                try:
                    lowered = lower_all(blocks, shape)
                except ShapeError as error:
                    why = f"block {path} ({blocks[0].kind}): {error}"
                    self.refused[why] = self.refused.get(why, 0) + 1
                    continue
                yield _Option(lowered, blocks, {(target, (), NONE)}, set(choices))


def _place(item: Item) -> tuple[Any, ...]:
    """Where an item stands among others: the same in every process, which the order of a set is not."""
    state, rest, chosen = item
    return state, repr(rest), sorted(chosen)


@dataclass(slots=True)
class _Option:
    lowered: Lowered
    blocks: Blocks
    targets: set[Item]
    choices: set[tuple[str, int]]


def lower_all(blocks: Blocks, shape: Shape) -> Lowered:
    """The layers of ``blocks`` one after another."""
    if len(blocks) == 1:
        return lower(blocks[0], shape)
    layers: list[Layer] = []
    costs: list[Cost] = []
    for block in blocks:
        chain, shape, cost = lower(block, shape)
        layers += chain
        costs.append(cost)
    return Lowered(tuple(layers), shape, add_up(costs))


def _prefix_free(options: Iterator[_Option], shape: Shape) -> dict[Chain, _Option]:
    """Options merged by their layers; one that begins with another becomes that other, with the rest still to come."""
    merged: dict[Chain, _Option] = {}
    for option in options:
        same = merged.setdefault(option.lowered.layers, option)
        same.targets |= option.targets
        same.choices |= option.choices
    lengths = sorted({len(layers) for layers in merged})
    for layers in sorted(merged, key=len, reverse=True):
        for length in (n for n in lengths if n < len(layers)):
            if layers[:length] in merged:
                longer = merged.pop(layers)
                rest = _rest(longer, length, shape)
                chosen = frozenset(longer.choices)
                merged[layers[:length]].targets |= {
                    (state, rest + more, chosen | later) for state, more, later in longer.targets
                }
                break
    return merged


def _rest(option: _Option, length: int, shape: Shape) -> Blocks:
    """The blocks of ``option`` behind its first ``length`` layers; bare layers where that is inside a block."""
    seen = 0
    for place, block in enumerate(option.blocks):
        if seen == length:
            return option.blocks[place:]
        layers, shape, _ = lower(block, shape)
        seen += len(layers)
    return option.lowered.layers[length:]


class _Automaton:
    """A space as states and edges: ``edges[state]`` lists (blocks, next state, choices, path).

    ``jumps[state]`` are the states that can be reached for free, ``options[path]`` is what each choice chooses among.
    """

    def __init__(self, blocks: tuple[Template, ...]) -> None:
        self.edges: list[list[tuple[Blocks, int, Choices, str]]] = []
        self.jumps: list[set[int]] = []
        self.options: dict[str, tuple[Any, ...]] = {}
        self.end = self._state()
        for place, template in enumerate(blocks, start=1):
            self.end = self._read(template, self.end, str(place), NONE)

    def _state(self) -> int:
        self.edges.append([])
        self.jumps.append(set())
        return len(self.edges) - 1

    def _join(self, *states: int) -> int:
        joined = self._state()
        for state in states:
            self.jumps[state].add(joined)
        return joined

    def _read(self, template: Template, start: int, path: str, chosen: Choices) -> int:
        """Add ``template`` from state ``start`` on; return the state behind it."""
        if isinstance(template, Choice):
            options = self.options[path] = template.options
            paths = [child_path(path, options, index) for index in range(len(options))]
            ways = zip(options, paths, strict=True)
            return self._join(*(self._read(o, start, below, chosen | {(path, i)}) for i, (o, below) in enumerate(ways)))
        if isinstance(template, Repeat) and template.each:
            return self._read_each(template, start, path, chosen)
        if isinstance(template, Block | Repeat):
            end = self._state()
            self._add(template, start, end, path, chosen)
            return end
        for place, part in enumerate(template, start=1):
            start = self._read(part, start, f"{path}.{place}", chosen)
        return start

    def _add(
        self,
        template: Template,
        start: int,
        end: int,
        path: str,
        chosen: Choices,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        """An edge for every way to fill ``template``; the first block's fields replaced by ``first``."""
        for decisions, blocks in fills(lambda pick: fill(template, path, self._noting(pick))):
            if blocks:
                changed = with_first(blocks, first) if first else blocks
                self.edges[start].append((changed, end, chosen | decisions.items(), path))
            else:
                self.jumps[start].add(end)

    def _noting(self, pick: Pick) -> Pick:
        def noted(path: str, options: tuple[Any, ...]) -> int:
            self.options[path] = options
            return pick(path, options)

        return noted

    def _read_each(self, template: Repeat, start: int, path: str, chosen: Choices) -> int:
        times = {count for _, count in fills(lambda pick: fill_value(template.times, "", pick))}
        ends = [start] if 0 in times else []
        for i in range(1, max(times) + 1):
            if i == 1 and template.first:
                end = self._state()
                self._add(template.block, start, end, f"{path}.1", chosen, template.first)
                start = end
            else:
                start = self._read(template.block, start, f"{path}.{i}", chosen)
            if i in times:
                ends.append(start)
        return self._join(*ends)

    def closure(self, items: "set[Item] | frozenset[Item]") -> frozenset[Item]:
        """``items`` and all that can be reached from them for free."""
        seen = set(items)
        todo = list(seen)
        while todo:
            state, rest, _ = todo.pop()
            if not rest:
                new = {(jump, (), NONE) for jump in self.jumps[state]} - seen
                seen |= new
                todo += new
        return frozenset(seen)
