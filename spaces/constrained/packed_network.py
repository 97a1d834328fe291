"""The graph of a space as numbered nodes with packed costs, and the states that are counted on it.

A state of a node is the sum of both costs of a partial path, packed into one 64-bit integer, with the number of partial
paths that have this sum. All costs are measured above the minimum that must still follow, so that a state above the
limit can be dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cost_tables import CostArrays, Ints
from .graph import Node

MAX_INT_PATHS = 2**62  # numbers of paths below this fit into 64 bits
SPARE_BITS = 2  # for the sum of a state, an edge and a rounding error, each at most the limit

Counts = NDArray[Any]  # numbers of paths: 64-bit integers, Python integers, or floats
Pair = tuple[int, int]  # one number for each of the two costs


class TooManyStates(Exception):  # noqa: N818 - not an error: the caller rounds the sums instead
    """Raised if there are too many different sums, or if two sums do not fit into 64 bits."""


@dataclass(frozen=True)
class Interval:
    """A number of paths: certain bounds ``low`` and ``high``, and the most likely ``value`` between them."""

    low: int
    value: int
    high: int

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, self.value + other.value, self.high + other.high)

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.value, -self.low)


@dataclass(frozen=True)
class Network:
    """The graph as numbered nodes: 0 is the start, the last one the common end of all paths.

    ``links[side][node]`` lists (neighbour, packed cost): for the side 0 the nodes before it, for the side 1 those
    after it. ``edges[side][node]`` has the number of each link among the edges of its source; the number after the last
    edge is the end at the source. ``n_paths[side][node]`` is the number of partial paths on that side, and ``least``
    and ``most`` are their extreme costs. ``limit`` is the largest sum that fits, ``bits`` the number of bits of the
    second cost. All costs are in ``units``. ``order`` are the nodes of the graph, without the end.
    """

    links: tuple[list[list[Pair]], list[list[Pair]]]
    edges: tuple[list[list[int]], list[list[int]]]
    n_paths: tuple[list[int], list[int]]
    least: tuple[list[Pair], list[Pair]]
    most: tuple[list[Pair], list[Pair]]
    limit: Pair
    bits: int
    units: Pair
    order: list[Node]

    @property
    def n_nodes(self) -> int:
        """The number of nodes, the end included."""
        return len(self.links[0])

    def unpacked(self, sums: Ints) -> tuple[Ints, Ints]:
        """Return both costs of packed sums."""
        return sums >> self.bits, sums & ((1 << self.bits) - 1)


def packed_network(arrays: CostArrays, highs: Sequence[float]) -> Network | None:
    """Return the graph with costs above their minimum and the limits ``highs``, or None if no path fits.

    ``arrays`` has one or two costs. Raises :class:`TooManyStates` if two sums do not fit into 64 bits.
    """
    order = list(reversed(arrays.order))
    n_edges = arrays.max_edges_after
    order.sort(key=lambda node: -n_edges[node])  # stable; a source has more edges to the end than its target
    number = {node: i for i, node in enumerate(order)}
    ends, costs = list[tuple[int, int, int]](), list[Ints]()
    for i, node in enumerate(order):
        rows = [arrays.min_costs[edge.target] + cost for edge, cost in zip(node.edges, arrays.costs[node], strict=True)]
        following = [number[edge.target] for edge in node.edges]
        head_cost = arrays.head_costs[node]
        if head_cost is not None:
            rows, following = [*rows, head_cost], [*following, len(order)]
        costs.append(np.array(rows) - arrays.min_costs[node])
        ends += [(i, target, edge) for edge, target in enumerate(following)]
    largest = arrays.max_costs[arrays.start]
    span = np.array([min(h - b, m) for h, b, m in zip(highs, arrays.base, largest, strict=True)], dtype=np.int64)
    room = span - arrays.min_costs[arrays.start]
    return None if (room < 0).any() else _packed(order, ends, np.concatenate(costs), room)


def _packed(order: list[Node], ends: list[tuple[int, int, int]], costs: Ints, room: Ints) -> Network:
    """Return the network of edges (source, target, number), in units of the greatest common divisors of ``costs``."""
    units = np.maximum(np.gcd.reduce(costs, axis=0), 1)
    costs, room = costs // units, room // units
    if costs.shape[1] == 1:  # the second cost is then always 0
        costs, room = np.pad(costs, ((0, 0), (0, 1))), np.pad(room, (0, 1))
    limit = (int(room[0]), int(room[1]))
    bits = limit[1].bit_length() + SPARE_BITS
    if limit[0].bit_length() + SPARE_BITS + bits > 63:
        raise TooManyStates("two sums do not fit into 64 bits")
    n_nodes = len(order) + 1
    forward = [(s, t, number, (a, b)) for (s, t, number), (a, b) in zip(ends, costs.tolist(), strict=True)]
    back = [(t, s, number, cost) for s, t, number, cost in reversed(forward)]
    sides = (forward, sorted(back, key=lambda edge: -edge[0]))
    links, edges = _no_links(n_nodes), _no_links(n_nodes)
    for side, side_edges in enumerate(sides):
        for source, target, number, (a, b) in side_edges:
            if a <= limit[0] and b <= limit[1]:  # an edge above the limit is in no path that fits
                links[side][target].append((source, a << bits | b))
                edges[side][target].append(number)
    extremes = [_extremes(side, n_nodes, start) for side, start in zip(sides, (0, n_nodes - 1), strict=True)]
    n_paths, least, most = (tuple(parts) for parts in zip(*extremes, strict=True))
    return Network(links, edges, n_paths, least, most, limit, bits, (int(units[0]), int(units[-1])), order)


def _no_links(n_nodes: int) -> tuple[list[list[Any]], list[list[Any]]]:
    return [[] for _ in range(n_nodes)], [[] for _ in range(n_nodes)]


def _extremes(
    edges: Sequence[tuple[int, int, int, Pair]], n_nodes: int, start: int
) -> tuple[list[int], list[Pair], list[Pair]]:
    """Return the number of paths from ``start`` to each node, and the minimum and maximum of their costs."""
    n_paths, least, most = [0] * n_nodes, [(0, 0)] * n_nodes, [(0, 0)] * n_nodes
    n_paths[start] = 1
    for source, target, _, (a, b) in edges:
        (low_a, low_b), (high_a, high_b) = least[source], most[source]
        low, high = (low_a + a, low_b + b), (high_a + a, high_b + b)
        if n_paths[target]:
            low = (min(low[0], least[target][0]), min(low[1], least[target][1]))
            high = (max(high[0], most[target][0]), max(high[1], most[target][1]))
        n_paths[target] += n_paths[source]
        least[target], most[target] = low, high
    return n_paths, least, most


def merge_equal(sums: Ints, counts: Counts) -> tuple[Ints, Counts]:
    """Return the sorted different ``sums``, and the number of paths of each."""
    if len(sums) < 2:
        return sums, counts
    order = np.argsort(sums)
    sums, counts = sums[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], sums[1:] != sums[:-1]]))
    return sums[first], np.add.reduceat(counts, first)
