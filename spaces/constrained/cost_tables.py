"""Cost tables: a graph's costs as arrays, how many paths have each total, and whether a path can still fit.

Costs add up along a path, so the paths of a node are those of its targets moved by what the edges cost (dynamic
programming from the end). Two count tables hold them: :class:`ExactCountTable` by exact cost, where few costs differ,
and :class:`BucketCountTable` by cost rounded down to buckets, edge by edge. A path has one total in either table, so
drawing a total in proportion to its count, and then edge after edge in proportion to what is left, is uniform over the
paths.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from ..blocks.cost import Cost
from .constrained_space import AXES, ConstrainedSpace, cached_per_space
from .graph import Edge, Node

Total = tuple[int, ...]  # one number for each limited cost: exact units, or buckets
Ints = NDArray[np.int64]


class CostArrays:
    """A graph's costs as arrays: for each node its edges and, for each limited cost, what they take.

    ``order`` lists the nodes, each behind all its targets; ``costs[node]`` has a row for each edge, ``last[node]`` is
    the head's cost or None; ``first`` is spent before the first block; ``highs`` and ``lows`` are the limits, where a
    missing upper limit is the largest total of any path.
    """

    def __init__(
        self,
        order: Sequence[Node],
        costs: dict[Node, Ints],
        last: dict[Node, Ints | None],
        first: Ints,
        lows: Sequence[float],
        highs: Sequence[float],
    ) -> None:
        self.order, self.costs, self.last, self.first = order, costs, last, first
        self.least = self._extreme(np.minimum)
        self.most = self._extreme(np.maximum)
        top = self.most[self.start] + first
        self.highs = np.array([min(high, most) for high, most in zip(highs, top, strict=True)], dtype=np.int64)
        self.lows = np.array(lows, dtype=np.int64)

    @property
    def start(self) -> Node:
        """The first node of every path."""
        return self.order[-1]

    def _extreme(self, choose: "np.ufunc") -> dict[Node, Ints]:
        found: dict[Node, Ints] = {}
        for node in self.order:
            rows = [] if self.last[node] is None else [self.last[node]]
            rows += [cost + found[edge.target] for edge, cost in zip(node.edges, self.costs[node], strict=True)]
            found[node] = choose.reduce(np.array(rows))
        return found

    @cached_property
    def reach(self) -> dict[Node, Ints]:
        """The least of each cost that is spent before each node."""
        spent = {self.start: self.first}
        for node in reversed(self.order):
            for edge, cost in zip(node.edges, self.costs[node], strict=True):
                here = spent[node] + cost
                spent[edge.target] = np.minimum(spent[edge.target], here) if edge.target in spent else here
        return spent

    @cached_property
    def length(self) -> int:
        """The most edges of a path, the head counted as one."""
        return self.ahead[self.start] + 1

    @cached_property
    def ahead(self) -> dict[Node, int]:
        """The most edges from each node to the end, the head counted as one."""
        far: dict[Node, int] = {}
        for node in self.order:
            far[node] = max([1 + far[edge.target] for edge in node.edges], default=1)
        return far

    def fits(self, total: Ints) -> NDArray[np.bool_]:
        """Whether exact totals (rows) lie inside every limit."""
        return np.asarray(((total >= self.lows) & (total <= self.highs)).all(axis=-1))


@cached_per_space
def cost_arrays(constrained: ConstrainedSpace, names: tuple[str, ...], bounded: bool = True) -> CostArrays:
    """The graph's costs ``names`` as arrays, with the budget's limits, or without them where not ``bounded``."""
    axes, limits = [AXES.index(name) for name in names], constrained.limits if bounded else {}
    bounds = [limits.get(name, (0, None)) for name in names]

    def row(cost: Cost, latency_ns: int) -> Ints:
        vector = constrained.cost_vector(cost, latency_ns)
        return np.array([vector[axis] for axis in axes], dtype=np.int64)

    graph = constrained.graph
    order = graph.order
    return CostArrays(
        order,
        {node: np.array([row(edge.cost, edge.latency_ns) for edge in node.edges]) for node in order},
        {node: None if node.last is None else row(node.last, node.last_latency_ns) for node in order},
        row(graph.first_cost, graph.first_latency_ns),
        [low for low, _ in bounds],
        [float("inf") if high is None else high for _, high in bounds],
    )


class CountTable(ABC):
    """How many paths have each total, and how a path with a given total continues."""

    def __init__(self, arrays: CostArrays) -> None:
        self.arrays = arrays

    @property
    @abstractmethod
    def totals(self) -> tuple[Ints, NDArray[np.float64]]:
        """All totals of whole paths that may lie inside the limits (rows), and how many paths have each."""

    @abstractmethod
    def costs(self, rows: Ints) -> Ints:
        """What totals (rows) are in units of cost: exactly, or at least."""

    @abstractmethod
    def weights(self, node: Node, rest: Total) -> NDArray[np.float64]:
        """How many paths spend exactly ``rest``: along each edge of ``node``, and last by ending there."""

    @abstractmethod
    def step(self, node: Node, place: int) -> Total:
        """What an edge of ``node`` takes off the rest."""

    def draw(self, total: Total, rng: random.Random) -> list[Edge]:
        """A path with that total, each equally likely."""
        node, rest, path = self.arrays.start, total, list[Edge]()
        while True:
            cumulated = self.weights(node, rest).cumsum()
            place = int(cumulated.searchsorted(rng.random() * cumulated[-1], side="right"))
            if place == len(node.edges):
                return path
            path.append(node.edges[place])
            rest = tuple(map(int.__sub__, rest, self.step(node, place)))
            node = node.edges[place].target


class ExactCountTable(CountTable):
    """Path counts by exact cost; :class:`TooManyCosts` above ``limit`` different costs at the nodes."""

    def __init__(self, arrays: CostArrays, limit: int = 2_000_000) -> None:
        super().__init__(arrays)
        self._limit = limit
        self._rows: dict[Node, Ints] = {}
        self._counts: dict[Node, list[int]] = {}
        self._lookup: dict[Node, dict[Total, int]] = {}
        used = 0
        for node in arrays.order:
            self._rows[node], self._counts[node] = self._merge(node)
            used += len(self._counts[node])
            if used > limit:
                raise TooManyCosts(f"more than {limit:,} different costs")

    def _merge(self, node: Node) -> tuple[Ints, list[int]]:
        """The costs and counts of one node: those of its targets moved by the edges, without what breaks a limit."""
        arrays = self.arrays
        last = arrays.last[node]
        rows = [] if last is None else [last[None]]
        counts: list[list[int]] = [] if last is None else [[1]]
        for edge, cost in zip(node.edges, arrays.costs[node], strict=True):
            rows.append(self._rows[edge.target] + cost)
            counts.append(self._counts[edge.target])
        if sum(map(len, counts)) > 4 * self._limit:
            raise TooManyCosts(f"more than {self._limit:,} different costs")
        stacked = np.concatenate(rows)
        numbers = np.array([number for part in counts for number in part], dtype=object)
        keep = (stacked + arrays.reach.get(node, arrays.first) <= arrays.highs).all(axis=1)
        return _unique(stacked[keep], numbers[keep])

    @property
    def totals(self) -> tuple[Ints, NDArray[np.float64]]:
        rows, counts = self.inside
        return rows, np.array(counts, dtype=float)

    @cached_property
    def inside(self) -> tuple[Ints, list[int]]:
        """The totals of whole paths inside the limits, and exactly how many paths have each."""
        rows, counts = self._rows[self.arrays.start], self._counts[self.arrays.start]
        inside = self.arrays.fits(rows + self.arrays.first)
        return rows[inside], list(compress(counts, inside))

    def costs(self, rows: Ints) -> Ints:
        return rows + self.arrays.first

    @cached_property
    def count(self) -> int:
        """How many paths lie inside the limits, exactly."""
        return sum(self.inside[1])

    def weights(self, node: Node, rest: Total) -> NDArray[np.float64]:
        left = [tuple(row) for row in (np.array(rest) - self.arrays.costs[node]).tolist()] if node.edges else []
        counts = [self._number(edge.target, row) for edge, row in zip(node.edges, left, strict=True)]
        last = self.arrays.last[node]
        return np.array([*counts, last is not None and tuple(last.tolist()) == rest], dtype=float)

    def step(self, node: Node, place: int) -> Total:
        return tuple(self.arrays.costs[node][place].tolist())

    def _number(self, node: Node, rest: Total) -> int:
        if node not in self._lookup:
            rows = map(tuple, self._rows[node].tolist())
            self._lookup[node] = dict(zip(rows, self._counts[node], strict=True))
        return self._lookup[node].get(rest, 0)


class TooManyCosts(Exception):  # noqa: N818 - not an error: the caller takes buckets instead
    """There are too many different costs for an exact table."""


def _unique(rows: Ints, counts: NDArray[np.object_]) -> tuple[Ints, list[int]]:
    """Equal rows merged, their counts added."""
    if len(rows) == 0:
        return rows, []
    order = np.lexsort(rows.T)
    rows, counts = rows[order], counts[order]
    first = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
    return rows[first], list(np.add.reduceat(counts, np.flatnonzero(first)))


class BucketCountTable(CountTable):
    """Path counts by cost in buckets, each edge's cost rounded down: a path's total is never above its true cost.

    One limited cost has 4,096 buckets up to its limit, two have 192 each; of more, the first two are in the table and
    the draw's exact check sees to the others.
    """

    BUCKETS = {1: 4096, 2: 192}

    def __init__(self, arrays: CostArrays) -> None:
        super().__init__(arrays)
        self.axes = min(2, len(arrays.highs))
        self.n = self.BUCKETS[self.axes]
        room = arrays.highs - arrays.first - arrays.least[arrays.start]
        self.width = np.maximum(1, -(-(room[: self.axes] + 1) // self.n))
        self._number = {node: i for i, node in enumerate(arrays.order)}
        self._targets = {node: np.array([self._number[edge.target] for edge in node.edges]) for node in arrays.order}
        self._steps = {node: self._floors(node) for node in arrays.order}
        self._ends = {node: self._end(node) for node in arrays.order}
        self._tables = np.zeros((len(arrays.order), *(self.n,) * self.axes))
        for node in arrays.order:
            self._fill(node)

    def _fill(self, node: Node) -> None:
        """The node's table: those of its targets, each moved by what the edge costs."""
        table = self._tables[self._number[node]]
        end = self._ends[node]
        if end is not None and max(end) < self.n:
            table[end] += 1
        for target, step in zip(self._targets[node], self._steps[node].tolist(), strict=True):
            if max(step) < self.n:
                to = tuple(slice(s, None) for s in step)
                since = tuple(slice(None, self.n - s) for s in step)
                table[to] += self._tables[target][since]

    def _floors(self, node: Node) -> Ints:
        """Buckets of each edge. Costs are counted above the least it takes anyway, which keeps the buckets narrow."""
        if not node.edges:
            return np.zeros((0, self.axes), dtype=np.int64)
        least = self.arrays.least
        over = self.arrays.costs[node] - least[node] + np.array([least[edge.target] for edge in node.edges])
        return np.asarray(over[:, : self.axes] // self.width)

    def _end(self, node: Node) -> Total | None:
        last = self.arrays.last[node]
        return None if last is None else tuple(((last - self.arrays.least[node])[: self.axes] // self.width).tolist())

    def weights(self, node: Node, rest: Total) -> NDArray[np.float64]:
        counts = np.zeros(len(node.edges) + 1)
        if node.edges:
            left = np.array(rest) - self._steps[node]
            on = (left >= 0).all(axis=1)
            counts[:-1][on] = self._tables[(self._targets[node][on], *left[on].T)]
        counts[-1] = self._ends[node] == rest
        return counts

    def step(self, node: Node, place: int) -> Total:
        return tuple(self._steps[node][place].tolist())

    def costs(self, rows: Ints) -> Ints:
        base = self.arrays.first + self.arrays.least[self.arrays.start]
        return np.asarray(base[: self.axes] + rows * self.width)

    @cached_property
    def _whole(self) -> tuple[Ints, NDArray[np.float64]]:
        table = self._tables[self._number[self.arrays.start]]
        rows = np.argwhere(table > 0)
        # rows below a lower limit even when the most that rounding can take off is added back
        highest = self.costs(rows + self.arrays.length)
        keep = (highest >= self.arrays.lows[: self.axes]).all(axis=1)
        return rows[keep], table[tuple(rows[keep].T)]

    @property
    def totals(self) -> tuple[Ints, NDArray[np.float64]]:
        return self._whole

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Between how many and how many paths lie inside the limits on the table's axes."""
        rows, counts = self._whole
        lowest = self.costs(rows)
        highest = lowest + self.arrays.length * (self.width - 1)
        axes = slice(self.axes)
        surely = (highest <= self.arrays.highs[axes]).all(axis=1) & (lowest >= self.arrays.lows[axes]).all(axis=1)
        whole = self.axes == len(self.arrays.highs)
        return (float(counts[surely].sum()) if whole else 0.0), float(counts.sum())

    def rest(self, node: Node) -> NDArray[np.bool_]:
        """Whether a path finishes from ``node`` with so many buckets above the least it takes from there."""
        return np.asarray(self._tables[self._number[node]] > 0)


class LowerBounds:
    """Whether a path can still meet the first two limits together from a node on; it never denies one that can.

    A bucket table answers. Each edge on the way to the end may have been rounded down by almost a bucket, so the query
    is a rectangle of buckets that is wider by as many; sums over the table answer it at once.
    """

    def __init__(self, arrays: CostArrays) -> None:
        self._table = BucketCountTable(arrays)
        self._axes = self._table.axes
        self._width = self._table.width.tolist()
        self._lows, self._highs = (limits[: self._axes].tolist() for limits in (arrays.lows, arrays.highs))
        self._least = {node: least[: self._axes].tolist() for node, least in arrays.least.items()}
        self._sums: dict[Node, NDArray[np.int32]] = {}

    def may_fit(self, node: Node, spent: Sequence[int]) -> bool:
        """Whether a path that costs ``spent`` (one number a limited cost) before ``node`` may end inside the budget."""
        lost, spans = self._table.arrays.ahead[node], list[tuple[int, int]]()
        for axis, width in enumerate(self._width):
            base = spent[axis] + self._least[node][axis]
            low = -((base + lost * (width - 1) - self._lows[axis]) // width)
            high = min((self._highs[axis] - base) // width, self._table.n - 1)
            spans.append((max(low, 0), high + 1))
        if any(low >= high for low, high in spans):
            return False
        sums, (low, high) = self._sums_at(node), spans[0]
        if self._axes == 1:
            return bool(sums[high] > sums[low])
        left, right = spans[1]
        return bool(sums[high, right] - sums[low, right] - sums[high, left] + sums[low, left] > 0)

    def _sums_at(self, node: Node) -> NDArray[np.int32]:
        """How many buckets before each position, on each axis, hold a path."""
        if node not in self._sums:
            sums = np.pad(self._table.rest(node), [(1, 0)] * self._axes).astype(np.int32)
            for axis in range(self._axes):
                sums = sums.cumsum(axis=axis, dtype=np.int32)
            self._sums[node] = sums
        return self._sums[node]
