"""Joint counts by merged states: how many paths of a graph keep one or two upper limits together.

States with equal sums are merged. They advance from the start and from the ends until the two sides meet; always the
side with fewer states advances. Where they meet, pairs of states whose sums fit are counted with a wavelet matrix
(Claude, Navarro and Ordonez 2015, doi:10.1016/j.is.2014.06.002).

A state that fits with everything that may follow becomes certain, and is only a number from then on.

If there are too many states, the result is an interval that certainly contains the count: by sums on a grid
(:mod:`rounded_sums`), or if that would need too many transforms, by rounding the sums of crowded nodes. Then the
largest possible error is carried along.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .cost_tables import CostArrays, Ints
from .packed_network import MAX_INT_PATHS, Counts, Interval, Network, Pair, TooManyStates, merge_equal, packed_network
from .rounded_sums import FLOAT_ERROR, TooManyTransforms, rounded_counts
from .separate_parts import separate_parts

MAX_STATES = 2_000_000  # at a time; above, sums are rounded. 500 MB with all temporary arrays
MAX_NODE_STATES = 40_000  # of one node, once sums are rounded
MAX_LINK_STATES = 300_000_000  # of all links together, once sums are rounded: so many sums are computed
MAX_CELLS = 2048  # of the grid of rounded sums of one node along each axis


def joint_count(
    arrays: CostArrays, highs: Sequence[float], max_states: int = MAX_STATES, *, exact: bool = False
) -> Interval:
    """Count the paths with costs of at most ``highs``: exactly up to ``max_states``, else as a certain interval.

    ``arrays`` has one or two costs. Raises :class:`TooManyStates` if two sums do not fit into 64 bits, and with
    ``exact`` instead of returning an interval.
    """
    return joint_counts(arrays, highs[:1], highs[1:], max_states, exact=exact)[0]


def joint_counts(
    arrays: CostArrays,
    thresholds: Sequence[float],
    others: Sequence[float],
    max_states: int = MAX_STATES,
    *,
    exact: bool = False,
) -> list[Interval]:
    """Count as :func:`joint_count` for each upper limit of the first cost in ``thresholds``, in ascending order.

    ``others`` has the limit of the second cost, if ``arrays`` has two. Parts that the first edges separate, such as
    those of several image sizes, are counted apart, unless the count must be ``exact``.
    """
    if exact:
        return _joint_counts(arrays, thresholds, others, max_states, exact=True)
    parts = (_joint_counts(part, thresholds, others, max_states, exact=False) for part in separate_parts(arrays))
    return [sum(of_threshold, Interval(0, 0, 0)) for of_threshold in zip(*parts, strict=True)]


def _joint_counts(
    arrays: CostArrays, thresholds: Sequence[float], others: Sequence[float], max_states: int, *, exact: bool
) -> list[Interval]:
    """Count as :func:`joint_counts`, without parts."""
    minimum = arrays.min_costs[arrays.start] + arrays.base
    below = sum(threshold < minimum[0] for threshold in thresholds)
    network = packed_network(arrays, (thresholds[-1], *others)) if below < len(thresholds) else None
    if network is None:
        return [Interval(0, 0, 0)] * len(thresholds)
    largest = int((arrays.max_costs[arrays.start] + arrays.base)[0])
    firsts = [(int(min(high, largest)) - int(minimum[0])) // network.units[0] for high in thresholds[below:]]
    try:
        counted = Meeting(network, firsts, max_states).counts()
    except TooManyStates:
        if exact:
            raise
        counted = _rounded_counts(network, firsts, max_states)
    return [Interval(0, 0, 0)] * below + counted


def _rounded_counts(network: Network, thresholds: list[int], max_states: int) -> list[Interval]:
    """Return bounds of the number of paths below each limit: on a grid, or by rounding the sums of crowded nodes."""
    try:
        return rounded_counts(network, thresholds)
    except TooManyTransforms:
        max_node_states = min(MAX_NODE_STATES, MAX_LINK_STATES // sum(map(len, network.links[0])))
        try:
            with np.errstate(over="raise", invalid="raise"):
                return Meeting(network, thresholds, max_states, max_node_states=max_node_states).counts()
        except ArithmeticError:
            raise TooManyStates("more paths than a float can hold") from None


@dataclass(frozen=True, slots=True)
class States:
    """The states of one node: sorted sums, the number of partial paths of each, and the largest error of the sums.

    ``certain`` is the number of further partial paths that fit with everything on the other side. ``sure`` are the sums
    and numbers of paths of the states that became certain at this node; None if they are not kept.
    """

    sums: Ints
    counts: Counts
    certain: int | float
    error: Pair = (0, 0)
    sure: tuple[Ints, Counts] | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """A node where both sides meet: the states before it, over the links from processed nodes, and those after it."""

    node: int
    before: States
    after: States


class Meeting:
    """States from both sides of a network until they meet, to count the paths below each of ``thresholds``.

    The thresholds are limits of the first cost in ascending order, the last one that of the network. With
    ``keep_states`` no states are freed.

    The sums of states are exact until there are more than ``max_states`` at a time. From then on nodes have at most
    ``max_node_states`` rounded sums; without this number :class:`TooManyStates` is raised.
    """

    def __init__(
        self,
        network: Network,
        thresholds: list[int],
        max_states: int,
        *,
        max_node_states: int | None = None,
        keep_states: bool = False,
    ) -> None:
        self.network, self.max_states, self.max_node_states = network, max_states, max_node_states
        self.thresholds, self.keep_states = thresholds, keep_states
        self.rounding = False
        n_nodes = network.n_nodes
        first = States(np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64), 0)
        self.states: tuple[dict[int, States], dict[int, States]] = ({0: first}, {n_nodes - 1: first})
        # the number of nodes that still need the states of each node
        self.waiting = [[0] * n_nodes, [0] * n_nodes]
        for side in (0, 1):
            for links in network.links[side]:
                for neighbour, _ in links:
                    self.waiting[side][neighbour] += 1
        self.live = [1, 1]
        self.cells = [MAX_CELLS, MAX_CELLS]  # of the last grid along each axis, for each side
        self.front = 1  # the first node without states from the start

    def counts(self) -> list[Interval]:
        """Return the number of paths within the limits, for each threshold."""
        totals = [Interval(0, 0, 0)] * len(self.thresholds)
        for join in self.joins():
            totals = [total + more for total, more in zip(totals, self._pairs(join), strict=True)]
        return totals

    def joins(self) -> list[Join]:
        """Advance the side with fewer states until both meet, and return the nodes where they do."""
        back = self.network.n_nodes - 1  # the nodes from ``front`` to ``back - 1`` have no states yet
        while self.front < back:
            if self.live[0] <= self.live[1]:
                self._advance(0, self.front)
                self.front += 1
            else:
                back -= 1
                self._advance(1, back)
        joins = []
        for node in range(back, self.network.n_nodes):
            before = [(source, cost) for source, cost in self.network.links[0][node] if source < self.front]
            if before and node in self.states[1]:
                joins.append(Join(node, self._merged(0, node, before), self.states[1][node]))
        return joins

    def _advance(self, side: int, node: int) -> None:
        """Compute the states of ``node`` from its neighbours on ``side``, and free those that are needed no more."""
        links = self.network.links[side][node]
        self.states[side][node] = states = self._merged(side, node, links)
        self.live[side] += len(states.sums)
        for neighbour, _ in links:
            self.waiting[side][neighbour] -= 1
            if not self.waiting[side][neighbour] and not self.keep_states:
                self.live[side] -= len(self.states[side].pop(neighbour).sums)
        if sum(self.live) > self.max_states:
            self._start_rounding()

    def _start_rounding(self) -> None:
        if self.max_node_states is None:
            raise TooManyStates(f"more than {self.max_states:,} different sums")
        self.rounding = True

    def _merged(self, side: int, node: int, links: list[Pair]) -> States:
        """Return the states that reach ``node`` over ``links``, without those that cannot fit."""
        if not links:
            return States(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 0)
        if sum(len(self.states[side][neighbour].sums) for neighbour, _ in links) > 2 * self.max_states:
            self._start_rounding()
            self._round_all(side, {neighbour for neighbour, _ in links})
        parts = [(self.states[side][neighbour], cost) for neighbour, cost in links]
        error = (max(part.error[0] for part, _ in parts), max(part.error[1] for part, _ in parts))
        sums = np.concatenate([part.sums + cost for part, cost in parts])
        counts = _stacked([part.counts for part, _ in parts], self.network.n_paths[side][node])
        certain = sum(part.certain for part, _ in parts)
        states = self._sifted(side, node, States(sums, counts, certain, error))
        return self._rounded(side, states) if self.rounding else _merge_equal(states)

    def _round_all(self, side: int, nodes: set[int]) -> None:
        """Round the states of ``nodes``, which are too many to be merged as they are."""
        for node in nodes:
            states = self.states[side][node]
            self.states[side][node] = rounded = self._rounded(side, states)
            self.live[side] += len(rounded.sums) - len(states.sums)

    def _sifted(self, side: int, node: int, states: States) -> States:
        """Drop the states that cannot fit with the least on the other side; count those that fit with the most."""
        network = self.network
        a, b = network.unpacked(states.sums)
        (least_a, least_b), (most_a, most_b) = network.least[1 - side][node], network.most[1 - side][node]
        (limit_a, limit_b), (error_a, error_b) = network.limit, states.error
        keep = (a <= limit_a - least_a + error_a) & (b <= limit_b - least_b + error_b)
        sure = (a <= self.thresholds[0] - most_a - error_a) & (b <= limit_b - most_b - error_b)
        certain = states.certain + _total(states.counts[sure])
        keep &= ~sure
        kept = merge_equal(states.sums[sure], states.counts[sure]) if self.keep_states else None
        return States(states.sums[keep], states.counts[keep], certain, states.error, kept)

    def _rounded(self, side: int, states: States) -> States:
        """Merge equal sums, and round them if there are more than ``max_node_states``."""
        assert self.max_node_states is not None  # for the type checker
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

    def _pairs(self, join: Join) -> list[Interval]:
        """Return the number of paths through a node that fit, for each threshold."""
        before, after, limit_b = join.before, join.after, self.network.limit[1]
        certain = before.certain * self.network.n_paths[1][join.node] + _total(before.counts) * after.certain
        error = [x + y for x, y in zip(before.error, after.error, strict=True)]
        signs = (-1, 0, 1) if any(error) else (0,)
        limits = [(high + sign * error[0], limit_b + sign * error[1]) for sign in signs for high in self.thresholds]
        fitting = fitting_counts(before, after, limits, self.network)
        counts = [certain + _product(before.counts, part) for part in fitting]
        n_thresholds = len(self.thresholds)
        by_sign = [counts[first : first + n_thresholds] for first in range(0, len(counts), n_thresholds)]
        return [
            _interval(numbers[0], numbers[len(numbers) // 2], numbers[-1]) for numbers in zip(*by_sign, strict=True)
        ]


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


def _merge_equal(states: States) -> States:
    return States(*merge_equal(states.sums, states.counts), states.certain, states.error, states.sure)


def _merge_in_cells(states: States, cells: int, network: Network) -> States:
    """Round both costs to a grid of about ``cells`` steps up to the limit, and merge equal sums."""
    steps = [max(1, axis_limit // cells) for axis_limit in network.limit]
    costs = network.unpacked(states.sums)
    rows, columns = ((cost + step // 2) // step for cost, step in zip(costs, steps, strict=True))
    n_columns = int(columns.max()) + 1
    filled = np.bincount(rows * n_columns + columns, states.counts.astype(float))
    cell = np.flatnonzero(filled)
    sums = (cell // n_columns * steps[0]) << network.bits | cell % n_columns * steps[1]
    error = (states.error[0] + steps[0] // 2, states.error[1] + steps[1] // 2)
    return States(sums, filled[cell], states.certain, error)


def fitting_counts(before: States, after: States, limits: list[Pair], network: Network) -> list[Counts]:
    """Return for each of ``limits``, and each state before a node, the number of paths after it that fit."""
    if not len(before.sums) or not len(after.sums):
        return [np.zeros(len(before.sums), dtype=np.int64)] * len(limits)
    first, second = network.unpacked(before.sums)
    # the states after the node are sorted by the first cost: those that fit with a state before it are a prefix
    after_first, after_second = network.unpacked(after.sums)
    values, ranks = np.unique(after_second, return_inverse=True)
    ends = np.concatenate([np.searchsorted(after_first, limit - first, side="right") for limit, _ in limits])
    below = np.concatenate([np.searchsorted(values, limit - second, side="right") for _, limit in limits])
    return np.split(_prefix_sums(ranks, after.counts, ends, below), len(limits))


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
