"""Vectorized operations on thousands of architectures at a time, as rows of edge numbers in NumPy arrays."""

import numpy as np
from numpy.typing import NDArray

from .constrained_space import ConstrainedSpace
from .cost_tables import cost_arrays
from .graph import Edge

# One row for each architecture, one column for each step of its path: the number of the edge, -1 after the end.
Codes = NDArray[np.int32]


class GraphArrays:
    """The graph of a constrained space as flat arrays.

    The edge ``number`` of ``node`` has the position ``first[node] + number`` in the arrays. If the network may end at a
    node, the end is one more edge after the others, with the target -1. ``costs`` has a row for each position and a
    column for each limited cost.
    """

    def __init__(self, constrained: ConstrainedSpace) -> None:
        self.constrained = constrained
        # reversed, so that the start of every path is node 0
        order, completions = list(reversed(constrained.graph.order)), constrained.completions
        number = {node: i for i, node in enumerate(order)}
        arrays = cost_arrays(constrained, constrained.limited) if constrained.limited else None
        first, targets, weights, costs = [], list[int](), list[float](), list[NDArray[np.int64]]()
        for node in order:
            first.append(len(targets))
            counts = [completions[edge.target] for edge in node.edges] + ([1] if node.last is not None else [])
            # divided as Python integers: counts of large spaces exceed 64 bits
            weights += (np.array(counts, dtype=object) / completions[node]).astype(float).tolist()
            targets += [number[edge.target] for edge in node.edges] + ([-1] if node.last is not None else [])
            if arrays is not None:
                head_cost = arrays.head_costs[node]
                costs += [row for row in arrays.costs[node] if len(node.edges)]
                costs += [] if head_cost is None else [head_cost]
        self.first = np.array(first, dtype=np.int64)
        self.targets = np.array(targets, dtype=np.int64)
        self.costs = np.array(costs, dtype=np.int64).reshape(len(targets), len(constrained.limited))
        self.base = arrays.base if arrays is not None else np.zeros(0, dtype=np.int64)
        self.lows, self.highs = (arrays.lows, arrays.highs) if arrays is not None else (self.base, self.base)
        self._cumulative_weights = self._cumulate(np.array(weights))

    def _cumulate(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cumulative weights inside each node plus the number of the node.

        The result is one sorted array: a single binary search for node + random number draws an edge of each node.
        """
        total = np.cumsum(weights)
        before_node = np.concatenate([[0.0], total])[self.first]
        node = np.repeat(np.arange(len(self.first)), np.diff([*self.first, len(weights)]))
        inside_node = np.minimum(total - before_node[node], 1.0)
        # rounding must not leave the last edge of a node below 1, or a draw would get into the next node
        inside_node[np.concatenate([self.first[1:], [len(weights)]]) - 1] = 1.0
        return np.asarray(node + inside_node)

    def draw(self, n: int, rng: np.random.Generator) -> Codes:
        """Draw ``n`` architectures of the whole space, each equally likely up to double precision rounding."""
        node = np.zeros(n, dtype=np.int64)
        columns = []
        while (active := node >= 0).any():
            edge = np.searchsorted(self._cumulative_weights, node[active] + rng.random(int(active.sum())), side="right")
            column = np.full(n, -1, dtype=np.int32)
            column[active] = edge - self.first[node[active]]
            columns.append(column)
            node[active] = self.targets[edge]
        return np.stack(columns, axis=1)

    def costs_of(self, codes: Codes) -> NDArray[np.int64]:
        """Return the exact limited costs of each architecture, shape (n, number of limits)."""
        node = np.zeros(len(codes), dtype=np.int64)
        total = np.tile(self.base, (len(codes), 1))
        active = np.arange(len(codes))
        for column in codes.T:
            edge = self.first[node] + column[active]
            total[active] += self.costs[edge]
            node = self.targets[edge]
            continues = node >= 0
            active, node = active[continues], node[continues]
        return total

    def fits(self, codes: Codes) -> NDArray[np.bool_]:
        """Return for each architecture whether it is inside the budget."""
        total = self.costs_of(codes)
        return np.asarray(((total >= self.lows) & (total <= self.highs)).all(axis=1))

    def path(self, code: Codes) -> list[Edge]:
        """Return the path of one row of codes."""
        node, path = self.constrained.graph.start, list[Edge]()
        for number in code.tolist():
            if number < 0 or number == len(node.edges):
                break
            path.append(node.edges[number])
            node = path[-1].target
        return path

    def code(self, path: list[Edge]) -> list[int]:
        """Return the edge numbers of a path, including that of its end."""
        node, numbers = self.constrained.graph.start, list[int]()
        for edge in path:
            numbers.append(next(i for i, other in enumerate(node.edges) if other is edge))
            node = edge.target
        return [*numbers, len(node.edges)]
