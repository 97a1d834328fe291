"""Batches: thousands of architectures at a time, as rows of edge numbers, with costs by array look-ups."""

import numpy as np
from numpy.typing import NDArray

from .constrained_space import ConstrainedSpace
from .cost_tables import cost_arrays
from .graph import Edge

Codes = NDArray[np.int32]  # a row an architecture, a column a step: the number of the edge taken, -1 behind the end


class Batch:
    """The graph of a constrained space as flat arrays.

    An edge has the place ``first[node] + number``; the way out of a node, where there is one, is numbered behind its
    edges and leads to no node (-1). ``costs`` has a row for each place and a column for each limited cost.
    """

    def __init__(self, constrained: ConstrainedSpace) -> None:
        self.constrained = constrained
        order, completions = list(reversed(constrained.graph.order)), constrained.completions
        number = {node: i for i, node in enumerate(order)}
        arrays = cost_arrays(constrained, constrained.limited) if constrained.limited else None
        first, targets, weights, costs = [], list[int](), list[float](), list[NDArray[np.int64]]()
        for node in order:
            first.append(len(targets))
            counts = [completions[edge.target] for edge in node.edges] + ([1] if node.last is not None else [])
            weights += (np.array(counts, dtype=object) / completions[node]).astype(float).tolist()
            targets += [number[edge.target] for edge in node.edges] + ([-1] if node.last is not None else [])
            if arrays is not None:
                last = arrays.last[node]
                costs += [*(row for row in arrays.costs[node] if len(node.edges)), *([] if last is None else [last])]
        self.first = np.array(first, dtype=np.int64)
        self.targets = np.array(targets, dtype=np.int64)
        self.costs = np.array(costs, dtype=np.int64).reshape(len(targets), len(constrained.limited))
        self.spent = arrays.first if arrays is not None else np.zeros(0, dtype=np.int64)
        self.lows, self.highs = (arrays.lows, arrays.highs) if arrays is not None else (self.spent, self.spent)
        self._cumulated = self._cumulate(np.array(weights))

    def _cumulate(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights cumulated inside each node, offset by the node's number: one sorted array to search in."""
        cumulated = np.cumsum(weights)
        before = np.concatenate([[0.0], cumulated])[self.first]
        node = np.repeat(np.arange(len(self.first)), np.diff([*self.first, len(weights)]))
        inside = np.minimum(cumulated - before[node], 1.0)
        inside[np.concatenate([self.first[1:], [len(weights)]]) - 1] = 1.0
        return np.asarray(node + inside)

    def draw(self, n: int, rng: np.random.Generator) -> Codes:
        """``n`` architectures of the whole space, each equally likely (to the rounding of double precision)."""
        node = np.zeros(n, dtype=np.int64)
        columns = []
        while (on := node >= 0).any():
            place = np.searchsorted(self._cumulated, node[on] + rng.random(int(on.sum())), side="right")
            column = np.full(n, -1, dtype=np.int32)
            column[on] = place - self.first[node[on]]
            columns.append(column)
            node[on] = self.targets[place]
        return np.stack(columns, axis=1)

    def costs_of(self, codes: Codes) -> NDArray[np.int64]:
        """The limited costs of each architecture: (n, number of limits), exact."""
        node = np.zeros(len(codes), dtype=np.int64)
        total = np.tile(self.spent, (len(codes), 1))
        on = np.arange(len(codes))
        for column in codes.T:
            place = self.first[node] + column[on]
            total[on] += self.costs[place]
            node = self.targets[place]
            going = node >= 0
            on, node = on[going], node[going]
        return total

    def fits(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether each architecture lies inside the budget."""
        total = self.costs_of(codes)
        return np.asarray(((total >= self.lows) & (total <= self.highs)).all(axis=1))

    def path(self, code: Codes) -> list[Edge]:
        """The path that one row stands for."""
        node, path = self.constrained.graph.start, list[Edge]()
        for number in code.tolist():
            if number < 0 or number == len(node.edges):
                break
            path.append(node.edges[number])
            node = path[-1].target
        return path

    def code(self, path: list[Edge]) -> list[int]:
        """The edge numbers of a path, the way out included."""
        node, numbers = self.constrained.graph.start, list[int]()
        for edge in path:
            numbers.append(next(i for i, other in enumerate(node.edges) if other is edge))
            node = edge.target
        return [*numbers, len(node.edges)]
