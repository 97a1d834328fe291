"""Joint counts by merged states: how many paths of a graph keep one or two upper limits together.

A state of a node is the sum of both costs of a partial path, packed into one 64-bit integer, with the number of partial
paths that have this sum. States with equal sums are merged. They advance from the start and from the ends until the two
sides meet; always the side with fewer states advances. Where they meet, pairs of states whose sums fit are counted with
a wavelet matrix (Claude, Navarro and Ordonez 2015, doi:10.1016/j.is.2014.06.002).

All costs are measured above the minimum that must still follow, so that a state above the limit can be dropped. A state
that fits with everything that may follow becomes certain, and is only a number from then on.

If a node would have too many states, their sums are rounded to a grid. The largest possible error is carried along, and
the result is an interval that certainly contains the count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cost_tables import CostArrays, Ints

MAX_STATES = 2_000_000  # at a time; above, the sums of crowded nodes are rounded. 500 MB with all temporary arrays
MAX_NODE_STATES = 40_000  # of one node, once sums are rounded
MAX_CELLS = 2048  # of the grid of rounded sums along each axis
MAX_INT_PATHS = 2**62  # numbers of paths below this fit into 64 bits
SPARE_BITS = 2  # for the sum of a state, an edge and a rounding error, each at most the limit
FLOAT_ERROR = 1e-7  # relative; the sums of floats have at most 1e8 terms, each with an error of 2**-53

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
class _Network:
    """The graph as numbered nodes: 0 is the start, the last one the common end of all paths.

    ``links[side][node]`` lists (neighbour, packed cost): for the side 0 the nodes before it, for the side 1 those
    after it. ``n_paths[side][node]`` is the number of partial paths on that side, and ``least`` and ``most`` are their
    extreme costs. ``limit`` is the largest sum that fits, ``bits`` the number of bits of the second cost. All costs are
    in ``units``.
    """

    links: tuple[list[list[Pair]], list[list[Pair]]]
    n_paths: tuple[list[int], list[int]]
    least: tuple[list[Pair], list[Pair]]
    most: tuple[list[Pair], list[Pair]]
    limit: Pair
    bits: int
    units: Pair


def joint_count(
    arrays: CostArrays,
    highs: Sequence[float],
    max_states: int = MAX_STATES,
    max_node_states: int = MAX_NODE_STATES,
) -> Interval:
    """Count the paths with costs of at most ``highs``: exactly up to ``max_states``, else as a certain interval.

    ``arrays`` has one or two costs. Raises :class:`TooManyStates` if two sums do not fit into 64 bits.
    """
    return joint_counts(arrays, highs[:1], highs[1:], max_states, max_node_states)[0]


def joint_counts(
    arrays: CostArrays,
    thresholds: Sequence[float],
    others: Sequence[float],
    max_states: int = MAX_STATES,
    max_node_states: int = MAX_NODE_STATES,
) -> list[Interval]:
    """Count as :func:`joint_count` for each upper limit of the first cost in ``thresholds``, in ascending order.

    ``others`` has the limit of the second cost, if ``arrays`` has two.
    """
    minimum = arrays.min_costs[arrays.start] + arrays.base
    below = sum(threshold < minimum[0] for threshold in thresholds)
    network = _network(arrays, (thresholds[-1], *others)) if below < len(thresholds) else None
    if network is None:
        return [Interval(0, 0, 0)] * len(thresholds)
    largest = int((arrays.max_costs[arrays.start] + arrays.base)[0])
    firsts = [(int(min(high, largest)) - int(minimum[0])) // network.units[0] for high in thresholds[below:]]
    return [Interval(0, 0, 0)] * below + _Meeting(network, firsts, max_states, max_node_states).counts()


def _network(arrays: CostArrays, highs: Sequence[float]) -> _Network | None:
    """Return the graph with costs above their minimum, or None if no path fits."""
    order = list(reversed(arrays.order))
    n_edges = arrays.max_edges_after
    order.sort(key=lambda node: -n_edges[node])  # stable; a source has more edges to the end than its target
    number = {node: i for i, node in enumerate(order)}
    sources, targets, costs = list[int](), list[int](), list[Ints]()
    for i, node in enumerate(order):
        rows = [arrays.min_costs[edge.target] + cost for edge, cost in zip(node.edges, arrays.costs[node], strict=True)]
        following = [number[edge.target] for edge in node.edges]
        head_cost = arrays.head_costs[node]
        if head_cost is not None:
            rows, following = [*rows, head_cost], [*following, len(order)]
        costs.append(np.array(rows) - arrays.min_costs[node])
        sources += [i] * len(following)
        targets += following
    largest = arrays.max_costs[arrays.start]
    span = np.array([min(h - b, m) for h, b, m in zip(highs, arrays.base, largest, strict=True)], dtype=np.int64)
    room = span - arrays.min_costs[arrays.start]
    return None if (room < 0).any() else _packed(sources, targets, np.concatenate(costs), room)


def _packed(sources: list[int], targets: list[int], costs: Ints, room: Ints) -> _Network:
    """Return the network of edges with two costs each, in units of their greatest common divisors."""
    units = np.maximum(np.gcd.reduce(costs, axis=0), 1)
    costs, room = costs // units, room // units
    if costs.shape[1] == 1:  # the second cost is then always 0
        costs, room = np.pad(costs, ((0, 0), (0, 1))), np.pad(room, (0, 1))
    limit = (int(room[0]), int(room[1]))
    bits = limit[1].bit_length() + SPARE_BITS
    if limit[0].bit_length() + SPARE_BITS + bits > 63:
        raise TooManyStates("two sums do not fit into 64 bits")
    n_nodes = max(targets) + 1
    edges = [(s, t, (a, b)) for s, t, (a, b) in zip(sources, targets, costs.tolist(), strict=True)]
    back = [(t, s, cost) for s, t, cost in reversed(edges)]
    sides = (edges, sorted(back, key=lambda edge: -edge[0]))
    links: tuple[list[list[Pair]], list[list[Pair]]] = ([[] for _ in range(n_nodes)], [[] for _ in range(n_nodes)])
    for side, links_of in zip(sides, links, strict=True):
        for source, target, (a, b) in side:
            if a <= limit[0] and b <= limit[1]:  # an edge above the limit is in no path that fits
                links_of[target].append((source, a << bits | b))
    extremes = [_extremes(side, n_nodes, start) for side, start in zip(sides, (0, n_nodes - 1), strict=True)]
    n_paths, least, most = (tuple(parts) for parts in zip(*extremes, strict=True))
    return _Network(links, n_paths, least, most, limit, bits, (int(units[0]), int(units[-1])))


def _extremes(
    edges: Sequence[tuple[int, int, Pair]], n_nodes: int, start: int
) -> tuple[list[int], list[Pair], list[Pair]]:
    """Return the number of paths from ``start`` to each node, and the minimum and maximum of their costs."""
    n_paths, least, most = [0] * n_nodes, [(0, 0)] * n_nodes, [(0, 0)] * n_nodes
    n_paths[start] = 1
    for source, target, (a, b) in edges:
        (low_a, low_b), (high_a, high_b) = least[source], most[source]
        low, high = (low_a + a, low_b + b), (high_a + a, high_b + b)
        if n_paths[target]:
            low = (min(low[0], least[target][0]), min(low[1], least[target][1]))
            high = (max(high[0], most[target][0]), max(high[1], most[target][1]))
        n_paths[target] += n_paths[source]
        least[target], most[target] = low, high
    return n_paths, least, most


@dataclass(frozen=True, slots=True)
class _States:
    """The states of one node: sorted sums, the number of partial paths of each, and the largest error of the sums.

    ``certain`` is the number of further partial paths that fit with everything on the other side.
    """

    sums: Ints
    counts: Counts
    certain: int | float
    error: Pair = (0, 0)


class _Meeting:
    """States from both sides of a network until they meet, to count the paths below each of ``thresholds``.

    The thresholds are limits of the first cost in ascending order, the last one that of the network.

    The sums of states are exact until there are more than ``max_states`` at a time. From then on nodes have at most
    ``max_node_states`` rounded sums.
    """

    def __init__(self, network: _Network, thresholds: list[int], max_states: int, max_node_states: int) -> None:
        self.network, self.max_states, self.max_node_states = network, max_states, max_node_states
        self.thresholds = thresholds
        self.rounding = False
        self.n_nodes = len(network.links[0])
        first = _States(np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64), 0)
        self.states: tuple[dict[int, _States], dict[int, _States]] = ({0: first}, {self.n_nodes - 1: first})
        # the number of nodes that still need the states of each node
        self.waiting = [[0] * self.n_nodes, [0] * self.n_nodes]
        for side in (0, 1):
            for links in network.links[side]:
                for neighbour, _ in links:
                    self.waiting[side][neighbour] += 1
        self.live = [1, 1]
        self.cells = [MAX_CELLS, MAX_CELLS]  # of the last grid along each axis, for each side

    def counts(self) -> list[Interval]:
        """Return the number of paths within the limits, for each threshold."""
        front, back = 1, self.n_nodes - 1  # the nodes from ``front`` to ``back - 1`` have no states yet
        while front < back:
            if self.live[0] <= self.live[1]:
                self._advance(0, front)
                front += 1
            else:
                back -= 1
                self._advance(1, back)
        totals = [Interval(0, 0, 0)] * len(self.thresholds)
        for node in range(back, self.n_nodes):
            before = [(source, cost) for source, cost in self.network.links[0][node] if source < front]
            if before and node in self.states[1]:
                pairs = self._pairs(node, self._merged(0, node, before), self.states[1][node])
                totals = [total + more for total, more in zip(totals, pairs, strict=True)]
        return totals

    def _advance(self, side: int, node: int) -> None:
        """Compute the states of ``node`` from its neighbours on ``side``, and free those that are needed no more."""
        links = self.network.links[side][node]
        self.states[side][node] = states = self._merged(side, node, links)
        self.live[side] += len(states.sums)
        for neighbour, _ in links:
            self.waiting[side][neighbour] -= 1
            if not self.waiting[side][neighbour]:
                self.live[side] -= len(self.states[side].pop(neighbour).sums)
        self.rounding |= sum(self.live) > self.max_states

    def _merged(self, side: int, node: int, links: list[Pair]) -> _States:
        """Return the states that reach ``node`` over ``links``, without those that cannot fit."""
        if not links:
            return _States(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 0)
        if sum(len(self.states[side][neighbour].sums) for neighbour, _ in links) > 2 * self.max_states:
            self._round_all(side, {neighbour for neighbour, _ in links})
        parts = [(self.states[side][neighbour], cost) for neighbour, cost in links]
        error = (max(part.error[0] for part, _ in parts), max(part.error[1] for part, _ in parts))
        sums = np.concatenate([part.sums + cost for part, cost in parts])
        counts = _stacked([part.counts for part, _ in parts], self.network.n_paths[side][node])
        certain = sum(part.certain for part, _ in parts)
        states = self._sifted(side, node, _States(sums, counts, certain, error))
        return self._rounded(side, states) if self.rounding else _merge_equal(states)

    def _round_all(self, side: int, nodes: set[int]) -> None:
        """Round the states of ``nodes``, which are too many to be merged as they are."""
        self.rounding = True
        for node in nodes:
            states = self.states[side][node]
            self.states[side][node] = rounded = self._rounded(side, states)
            self.live[side] += len(rounded.sums) - len(states.sums)

    def _sifted(self, side: int, node: int, states: _States) -> _States:
        """Drop the states that cannot fit with the least on the other side; count those that fit with the most."""
        network = self.network
        a, b = states.sums >> network.bits, states.sums & ((1 << network.bits) - 1)
        (least_a, least_b), (most_a, most_b) = network.least[1 - side][node], network.most[1 - side][node]
        (limit_a, limit_b), (error_a, error_b) = network.limit, states.error
        keep = (a <= limit_a - least_a + error_a) & (b <= limit_b - least_b + error_b)
        sure = (a <= self.thresholds[0] - most_a - error_a) & (b <= limit_b - most_b - error_b)
        certain = states.certain + _total(states.counts[sure])
        keep &= ~sure
        return _States(states.sums[keep], states.counts[keep], certain, states.error)

    def _rounded(self, side: int, states: _States) -> _States:
        """Merge equal sums, and round them if there are more than ``max_node_states``."""
        if len(states.sums) <= 4 * self.max_node_states:
            states = _merge_equal(states)
        if len(states.sums) <= self.max_node_states:
            return states
        # the grid of the previous node is a good guess; a little finer, because the next node may have fewer states
        self.cells[side] = min(self.cells[side] * 3 // 2, MAX_CELLS)
        while True:
            merged = _merge_in_cells(states, self.cells[side], self.network)
            if len(merged.sums) <= self.max_node_states:
                return merged
            self.cells[side] = self.cells[side] * 4 // 5

    def _pairs(self, node: int, before: _States, after: _States) -> list[Interval]:
        """Return the number of paths through ``node`` that fit, for each threshold."""
        certain = before.certain * self.network.n_paths[1][node] + _total(before.counts) * after.certain
        error = [x + y for x, y in zip(before.error, after.error, strict=True)]
        if not any(error):
            limits = [(threshold, self.network.limit[1]) for threshold in self.thresholds]
            exact = _count_pairs(before, after, limits, self.network.bits)
            return [_interval(certain + n, certain + n, certain + n) for n in exact]
        limits = [
            (threshold + sign * error[0], self.network.limit[1] + sign * error[1])
            for sign in (-1, 0, 1)
            for threshold in self.thresholds
        ]
        counts = [certain + n for n in _count_pairs(before, after, limits, self.network.bits)]
        n = len(self.thresholds)
        return list(map(_interval, counts[:n], counts[n : 2 * n], counts[2 * n :]))


def _stacked(parts: list[Counts], n_paths: int) -> Counts:
    """Return numbers of paths as one array: floats if any are, else integers that can hold ``n_paths``."""
    if any(part.dtype == float for part in parts):
        return np.concatenate([part.astype(float) for part in parts])
    return np.concatenate([part.astype(object if n_paths >= MAX_INT_PATHS else np.int64) for part in parts])


def _total(counts: Counts) -> int | float:
    total = counts.sum() if len(counts) else 0
    return float(total) if isinstance(total, float | np.floating) else int(total)


def _interval(low: int | float, value: int | float, high: int | float) -> Interval:
    """Return whole numbers; floats are widened by the largest rounding error of their sums."""
    if all(isinstance(number, int) for number in (low, value, high)):
        return Interval(int(low), int(value), int(high))
    return Interval(math.floor(low * (1 - FLOAT_ERROR)), round(value), math.ceil(high * (1 + FLOAT_ERROR)))


def _merge_equal(states: _States) -> _States:
    if len(states.sums) < 2:
        return states
    order = np.argsort(states.sums)
    sums, counts = states.sums[order], states.counts[order]
    first = np.flatnonzero(np.concatenate([[True], sums[1:] != sums[:-1]]))
    return _States(sums[first], np.add.reduceat(counts, first), states.certain, states.error)


def _merge_in_cells(states: _States, cells: int, network: _Network) -> _States:
    """Round both costs to a grid of about ``cells`` steps up to the limit, and merge equal sums."""
    bits, limit = network.bits, network.limit
    steps = [max(1, axis_limit // cells) for axis_limit in limit]
    costs = (states.sums >> bits, states.sums & ((1 << bits) - 1))
    rows, columns = ((cost + step // 2) // step for cost, step in zip(costs, steps, strict=True))
    n_columns = int(columns.max()) + 1
    filled = np.bincount(rows * n_columns + columns, states.counts.astype(float))
    cell = np.flatnonzero(filled)
    sums = (cell // n_columns * steps[0]) << bits | cell % n_columns * steps[1]
    error = (states.error[0] + steps[0] // 2, states.error[1] + steps[1] // 2)
    return _States(sums, filled[cell], states.certain, error)


def _count_pairs(before: _States, after: _States, limits: list[Pair], bits: int) -> list[int | float]:
    """Return for each of ``limits`` the number of pairs (path before, path after) whose sums are within it."""
    if not len(before.sums) or not len(after.sums):
        return [0] * len(limits)
    first, second = before.sums >> bits, before.sums & ((1 << bits) - 1)
    # the states after the node are sorted by the first cost: those that fit with a state before it are a prefix
    after_first, after_second = after.sums >> bits, after.sums & ((1 << bits) - 1)
    values, ranks = np.unique(after_second, return_inverse=True)
    ends = np.concatenate([np.searchsorted(after_first, limit - first, side="right") for limit, _ in limits])
    below = np.concatenate([np.searchsorted(values, limit - second, side="right") for _, limit in limits])
    fitting = _prefix_sums(ranks, after.counts, ends, below)
    return [_product(before.counts, part) for part in np.split(fitting, len(limits))]


def _product(counts: Counts, others: Counts) -> int | float:
    """Return the sum of the products, as a float only if one of the factors has floats."""
    if counts.dtype == float or others.dtype == float:
        return float(counts.astype(float) @ others.astype(float))
    return int((counts.astype(object) * others.astype(object)).sum())


def _prefix_sums(ranks: Ints, weights: Counts, ends: Ints, below: Ints) -> Counts:
    """Return for each query the sum of ``weights[i]`` with i < ``ends`` and ``ranks[i]`` < ``below``.

    The queries descend a wavelet matrix: on each level the ranks are split by one bit.
    """
    starts, sums = np.zeros_like(ends), np.zeros(len(ends), dtype=weights.dtype)
    for bit in reversed(range(int(ranks.max()).bit_length() + 1)):
        ones = (ranks >> bit & 1).astype(bool)
        zeros_before = np.concatenate([[0], np.cumsum(~ones)])
        zero_weights = np.concatenate([np.zeros(1, dtype=weights.dtype), np.cumsum(np.where(ones, 0, weights))])
        above = (below >> bit & 1).astype(bool)
        sums[above] += (zero_weights[ends] - zero_weights[starts])[above]
        first_one = zeros_before[-1]
        starts, ends = (
            np.where(above, first_one + edge - zeros_before[edge], zeros_before[edge]) for edge in (starts, ends)
        )
        ranks, weights = (np.concatenate([part[~ones], part[ones]]) for part in (ranks, weights))
    return sums
