"""Cost arrays of a graph, count tables (how many paths have each total cost), and lower bounds for walks.

The tables are computed by dynamic programming from the end: costs add along a path, so the count table of a node is the
sum of the tables of its targets, each shifted by the cost of the edge. There are two kinds. :class:`ExactCountTable`
counts by exact cost and is used if there are few different costs. :class:`BucketCountTable` counts by cost in buckets,
where the cost of each edge is rounded down.

Every path has exactly one total in either table. Thus the following draw is uniform over the paths: first a total in
proportion to its count, then edge after edge in proportion to the number of completions with the remaining cost.
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from .constrained_space import AXES, ConstrainedSpace, Vector, cached_per_space, ratios
from .graph import Edge, Graph, Node

MAX_COST = 2**53  # of one block; the sums of a network then fit into 64 bits

Total = tuple[int, ...]  # one number for each limited cost: exact units, or buckets
Ints = NDArray[np.int64]


class CostArrays:
    """The limited costs of a graph as arrays, with one column for each limited cost.

    ``order`` lists the nodes, each after all its targets. ``costs[node]`` has a row for each edge. ``head_costs[node]``
    is the cost of the head, or None if no network ends there. ``base`` is the cost that every architecture has in
    addition to blocks and head. ``lows`` and ``highs`` are the limits; a missing upper limit becomes the largest total
    of any path.
    """

    def __init__(
        self,
        order: Sequence[Node],
        costs: dict[Node, Ints],
        head_costs: dict[Node, Ints | None],
        base: Ints,
        lows: Sequence[float],
        highs: Sequence[float],
    ) -> None:
        self.order, self.costs, self.head_costs, self.base = order, costs, head_costs, base
        self.min_costs = self._extreme_costs(np.minimum)
        self.max_costs = self._extreme_costs(np.maximum)
        largest = self.max_costs[self.start] + base
        # finite limits also where the budget has none, because buckets divide the range up to the limit
        self.highs = np.array([min(high, total) for high, total in zip(highs, largest, strict=True)], dtype=np.int64)
        self.lows = np.array(lows, dtype=np.int64)

    @property
    def start(self) -> Node:
        """The first node of every path."""
        return self.order[-1]

    def _extreme_costs(self, choose: "np.ufunc") -> dict[Node, Ints]:
        """Return the extreme of each cost, taken separately, over all paths from each node to an end."""
        extremes: dict[Node, Ints] = {}
        for node in self.order:
            rows = [] if self.head_costs[node] is None else [self.head_costs[node]]
            rows += [cost + extremes[edge.target] for edge, cost in zip(node.edges, self.costs[node], strict=True)]
            extremes[node] = choose.reduce(np.array(rows))
        return extremes

    @cached_property
    def min_costs_before(self) -> dict[Node, Ints]:
        """The minimum of each cost, taken separately, over all paths from the start to each node."""
        minima = {self.start: self.base}
        for node in reversed(self.order):
            for edge, cost in zip(node.edges, self.costs[node], strict=True):
                spent = minima[node] + cost
                minima[edge.target] = np.minimum(minima[edge.target], spent) if edge.target in minima else spent
        return minima

    @cached_property
    def max_path_length(self) -> int:
        """The number of edges of the longest path plus one; the head counts as an edge."""
        return self.max_edges_after[self.start] + 1

    @cached_property
    def max_edges_after(self) -> dict[Node, int]:
        """The maximum number of edges from each node to an end; the head counts as an edge."""
        n_edges: dict[Node, int] = {}
        for node in self.order:
            n_edges[node] = max([1 + n_edges[edge.target] for edge in node.edges], default=1)
        return n_edges

    def fits(self, total: Ints) -> NDArray[np.bool_]:
        """Return for each exact total (row) whether it is inside every limit."""
        return np.asarray(((total >= self.lows) & (total <= self.highs)).all(axis=-1))


@cached_per_space
def cost_arrays(constrained: ConstrainedSpace, names: tuple[str, ...], bounded: bool = True) -> CostArrays:
    """Return the costs ``names`` of the graph as arrays, with the limits of the budget if ``bounded``, else without."""
    return arrays_of(constrained, constrained.graph, names, bounded)


def arrays_of(constrained: ConstrainedSpace, graph: Graph, names: tuple[str, ...], bounded: bool) -> CostArrays:
    """Return :func:`cost_arrays` of ``graph``, a graph of the same space."""
    axes = [AXES.index(name) for name in names]
    bounds = [constrained.limits.get(name, (0, None)) if bounded else (0, None) for name in names]

    def row(vector: Vector) -> Ints:
        if (largest := max(vector)) > MAX_COST:
            size = f"about 2**{largest.bit_length()}"
            raise ValueError(f"a cost of a block must be at most 2**53, but one is {size}; use smaller widths")
        return np.array([vector[axis] for axis in axes], dtype=np.int64)

    return CostArrays(
        graph.order,
        {node: np.array([row(constrained.edge_vector(edge)) for edge in node.edges]) for node in graph.order},
        {node: None if node.last is None else row(constrained.end_vector(node)) for node in graph.order},
        row(constrained.base_vector),
        [low for low, _ in bounds],
        [math.inf if high is None else high for _, high in bounds],
    )


class CountTable(ABC):
    """The number of paths with each total cost, and how a path with a given total continues at each node."""

    def __init__(self, arrays: CostArrays) -> None:
        self.arrays = arrays

    @property
    @abstractmethod
    def totals(self) -> tuple[Ints, NDArray[np.float64]]:
        """The totals (rows) of complete paths that may be inside the limits, and the :func:`ratios` of their counts."""

    @abstractmethod
    def costs(self, rows: Ints) -> Ints:
        """Return the costs of totals (rows), base cost included: exact costs, or lower bounds for buckets."""

    @abstractmethod
    def weights(self, node: Node, rest: Total) -> NDArray[np.float64]:
        """Return the :func:`ratios` of the numbers of paths from ``node`` that spend exactly ``rest``.

        One number for each edge of ``node``, and as the last one 1 or 0 for ending at ``node``.
        """

    @abstractmethod
    def step(self, node: Node, number: int) -> Total:
        """Return the part of the total that the edge ``number`` of ``node`` spends."""

    def draw(self, total: Total, rng: random.Random) -> list[Edge]:
        """Draw a path with this total, each equally likely."""
        node, rest, path = self.arrays.start, total, list[Edge]()
        while True:
            cumulative = self.weights(node, rest).cumsum()
            number = int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))
            if number == len(node.edges):  # the last weight is that of ending here
                return path
            path.append(node.edges[number])
            rest = tuple(map(int.__sub__, rest, self.step(node, number)))
            node = node.edges[number].target


class ExactCountTable(CountTable):
    """Path counts by exact cost.

    Raises :class:`TooManyCosts` if the nodes together have more than ``limit`` different costs.
    """

    def __init__(self, arrays: CostArrays, limit: int = 2_000_000) -> None:
        super().__init__(arrays)
        self._limit = limit
        self._rows: dict[Node, Ints] = {}
        self._counts: dict[Node, list[int]] = {}
        self._lookup: dict[Node, dict[Total, int]] = {}
        n_costs = 0
        for node in arrays.order:
            self._rows[node], self._counts[node] = self._merge(node)
            n_costs += len(self._counts[node])
            if n_costs > limit:
                raise TooManyCosts(f"more than {limit:,} different costs")

    def _merge(self, node: Node) -> tuple[Ints, list[int]]:
        """Return the costs and counts of one node: those of its targets shifted by the edges, within upper limits."""
        arrays = self.arrays
        head_cost = arrays.head_costs[node]
        rows = [] if head_cost is None else [head_cost[None]]
        counts: list[list[int]] = [] if head_cost is None else [[1]]
        for edge, cost in zip(node.edges, arrays.costs[node], strict=True):
            rows.append(self._rows[edge.target] + cost)
            counts.append(self._counts[edge.target])
        # before merging, because sorting so many rows only to find too many costs would be slow
        if sum(map(len, counts)) > 4 * self._limit:
            raise TooManyCosts(f"more than {self._limit:,} different costs")
        stacked = np.concatenate(rows)
        # Python integers, because counts can exceed 64 bits
        stacked_counts = np.array([count for part in counts for count in part], dtype=object)
        keep = (stacked + arrays.min_costs_before.get(node, arrays.base) <= arrays.highs).all(axis=1)
        return _unique(stacked[keep], stacked_counts[keep])

    @property
    def totals(self) -> tuple[Ints, NDArray[np.float64]]:
        rows, counts = self.inside
        return rows, ratios(counts)

    @cached_property
    def inside(self) -> tuple[Ints, list[int]]:
        """The totals of complete paths inside the limits, and the exact number of paths of each."""
        rows, counts = self._rows[self.arrays.start], self._counts[self.arrays.start]
        inside = self.arrays.fits(rows + self.arrays.base)
        return rows[inside], list(compress(counts, inside))

    def costs(self, rows: Ints) -> Ints:
        return rows + self.arrays.base

    @cached_property
    def count(self) -> int:
        """The exact number of paths inside the limits."""
        return sum(self.inside[1])

    def weights(self, node: Node, rest: Total) -> NDArray[np.float64]:
        rests = [tuple(row) for row in (np.array(rest) - self.arrays.costs[node]).tolist()] if node.edges else []
        counts = [self._count(edge.target, row) for edge, row in zip(node.edges, rests, strict=True)]
        head_cost = self.arrays.head_costs[node]
        return ratios([*counts, int(head_cost is not None and tuple(head_cost.tolist()) == rest)])

    def step(self, node: Node, number: int) -> Total:
        return tuple(self.arrays.costs[node][number].tolist())

    def _count(self, node: Node, rest: Total) -> int:
        """Return the number of paths from ``node`` that cost exactly ``rest``."""
        # built when a draw first reaches the node, because counting alone does not need it
        if node not in self._lookup:
            rows = map(tuple, self._rows[node].tolist())
            self._lookup[node] = dict(zip(rows, self._counts[node], strict=True))
        return self._lookup[node].get(rest, 0)


class TooManyCosts(Exception):  # noqa: N818 - not an error: the caller uses buckets instead
    """Raised if there are too many different costs for an exact table."""


def _unique(rows: Ints, counts: NDArray[np.object_]) -> tuple[Ints, list[int]]:
    """Merge equal rows and add their counts."""
    if len(rows) == 0:
        return rows, []
    # after sorting, equal rows are adjacent
    order = np.lexsort(rows.T)
    rows, counts = rows[order], counts[order]
    first = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
    return rows[first], list(np.add.reduceat(counts, np.flatnonzero(first)))


class BucketCountTable(CountTable):
    """Path counts by cost in buckets; the cost of each edge is rounded down.

    Thus the total of a path in the table is never above its true cost, and a path may exceed a limit by the rounding. A
    draw must check exact costs afterwards. One limited cost has 4,096 buckets up to its limit, two have 192 each. With
    more than two limited costs the table has the first two, and only the exact check considers the others.
    With ``max_cells`` all nodes together have at most so many buckets.
    """

    BUCKETS = {1: 4096, 2: 192}  # number of limited costs -> buckets of each

    def __init__(self, arrays: CostArrays, max_cells: int = 0) -> None:
        super().__init__(arrays)
        self.axes = min(2, len(arrays.highs))
        affordable = (max_cells / len(arrays.order)) ** (1 / self.axes) if max_cells else math.inf
        self.n = int(min(self.BUCKETS[self.axes], affordable))
        span = arrays.highs - arrays.base - arrays.min_costs[arrays.start]
        self.width = np.maximum(1, -(-(span[: self.axes] + 1) // self.n))  # cost units of a bucket, rounded up
        self._index = {node: i for i, node in enumerate(arrays.order)}
        self._targets = {node: np.array([self._index[edge.target] for edge in node.edges]) for node in arrays.order}
        self._steps = {node: self._edge_buckets(node) for node in arrays.order}
        self._heads = {node: self._head_bucket(node) for node in arrays.order}
        # counts as floats: they may exceed 64-bit integers, and draws need only their ratios
        self._tables = np.zeros((len(arrays.order), *(self.n,) * self.axes))
        with np.errstate(over="ignore"):  # a number that is not finite is refused where it matters
            for node in arrays.order:
                self._fill(node)

    def _fill(self, node: Node) -> None:
        """Compute the table of a node: the sum of those of its targets, each shifted by the buckets of the edge."""
        table = self._tables[self._index[node]]
        head = self._heads[node]
        if head is not None and max(head) < self.n:
            table[head] += 1
        for target, step in zip(self._targets[node], self._steps[node].tolist(), strict=True):
            if max(step) < self.n:  # an edge that costs more than all buckets breaks a limit
                shifted = tuple(slice(s, None) for s in step)
                remaining = tuple(slice(None, self.n - s) for s in step)
                table[shifted] += self._tables[target][remaining]

    def _edge_buckets(self, node: Node) -> Ints:
        """Return the buckets that each edge of ``node`` spends.

        Only the cost above the minimum from each node to the end is counted. This keeps the buckets narrow.
        """
        if not node.edges:
            return np.zeros((0, self.axes), dtype=np.int64)
        minimum = self.arrays.min_costs
        excess = self.arrays.costs[node] - minimum[node] + np.array([minimum[edge.target] for edge in node.edges])
        return np.asarray(excess[:, : self.axes] // self.width)

    def _head_bucket(self, node: Node) -> Total | None:
        head_cost = self.arrays.head_costs[node]
        if head_cost is None:
            return None
        return tuple(((head_cost - self.arrays.min_costs[node])[: self.axes] // self.width).tolist())

    def weights(self, node: Node, rest: Total) -> NDArray[np.float64]:
        counts = np.zeros(len(node.edges) + 1)
        if node.edges:
            rests = np.array(rest) - self._steps[node]
            affordable = (rests >= 0).all(axis=1)
            counts[:-1][affordable] = self._tables[(self._targets[node][affordable], *rests[affordable].T)]
        counts[-1] = self._heads[node] == rest
        return counts

    def step(self, node: Node, number: int) -> Total:
        return tuple(self._steps[node][number].tolist())

    def costs(self, rows: Ints) -> Ints:
        minimum = self.arrays.base + self.arrays.min_costs[self.arrays.start]
        return np.asarray(minimum[: self.axes] + rows * self.width)

    @cached_property
    def _complete(self) -> tuple[Ints, NDArray[np.float64]]:
        """The totals of complete paths, and the number of paths of each."""
        table = self._tables[self._index[self.arrays.start]]
        rows = np.argwhere(table > 0)
        # drop rows below a lower limit, but only if they are below it even with the maximal rounding added
        highest = self.costs(rows + self.arrays.max_path_length)
        keep = (highest >= self.arrays.lows[: self.axes]).all(axis=1)
        return rows[keep], table[tuple(rows[keep].T)]

    @property
    def totals(self) -> tuple[Ints, NDArray[np.float64]]:
        return self._complete

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """A lower and an upper bound of the number of paths inside the limits."""
        rows, counts = self._complete
        lowest = self.costs(rows)
        highest = lowest + self.arrays.max_path_length * (self.width - 1)
        axes = slice(self.axes)
        certain = (highest <= self.arrays.highs[axes]).all(axis=1) & (lowest >= self.arrays.lows[axes]).all(axis=1)
        # a limit outside the table may exclude every path, so that the lower bound is 0
        all_limits = self.axes == len(self.arrays.highs)
        return (float(counts[certain].sum()) if all_limits else 0.0), float(counts.sum())

    def has_path(self, node: Node) -> NDArray[np.bool_]:
        """Return for each bucket whether some path from ``node`` spends it above the minimum cost from there."""
        return np.asarray(self._tables[self._index[node]] > 0)


class LowerBounds:
    """A test whether a partial path can still keep the first two limits together; it has no false negatives.

    The test looks up a bucket table. Each edge to the end may be rounded down by almost one bucket, therefore the test
    looks for paths in a rectangle of buckets that is enlarged by this rounding. Cumulative sums over the table make
    this four look-ups.
    """

    def __init__(self, arrays: CostArrays) -> None:
        self._table = BucketCountTable(arrays)
        self._axes = self._table.axes
        self._width = self._table.width.tolist()
        self._lows, self._highs = (limits[: self._axes].tolist() for limits in (arrays.lows, arrays.highs))
        self._min_costs = {node: minimum[: self._axes].tolist() for node, minimum in arrays.min_costs.items()}
        self._sums: dict[Node, NDArray[np.int32]] = {}

    def may_fit(self, node: Node, spent: Sequence[int]) -> bool:
        """Return whether a path that costs ``spent`` (one number per limited cost) before ``node`` may fit."""
        n_rounded, intervals = self._table.arrays.max_edges_after[node], list[tuple[int, int]]()
        for axis, width in enumerate(self._width):
            minimum = spent[axis] + self._min_costs[node][axis]
            # buckets from low to high - 1 may be inside the limits; every edge may lose up to width - 1 by rounding
            low = -((minimum + n_rounded * (width - 1) - self._lows[axis]) // width)
            high = min((self._highs[axis] - minimum) // width, self._table.n - 1)
            intervals.append((max(low, 0), high + 1))
        if any(low >= high for low, high in intervals):
            return False
        sums, (low, high) = self._sums_at(node), intervals[0]
        if self._axes == 1:
            return bool(sums[high] > sums[low])
        left, right = intervals[1]
        # the number of filled buckets in a rectangle, by inclusion and exclusion
        return bool(sums[high, right] - sums[low, right] - sums[high, left] + sums[low, left] > 0)

    def _sums_at(self, node: Node) -> NDArray[np.int32]:
        """Return the number of buckets with a path before each position, on each axis (a summed-area table)."""
        if node not in self._sums:
            sums = np.pad(self._table.has_path(node), [(1, 0)] * self._axes).astype(np.int32)
            for axis in range(self._axes):
                sums = sums.cumsum(axis=axis, dtype=np.int32)
            self._sums[node] = sums
        return self._sums[node]
