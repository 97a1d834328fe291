"""Batches: thousands of architectures at a time, as rows of edge numbers, priced and sieved by array look-ups."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .graph import Edge

if TYPE_CHECKING:
    from .constrained_space import ConstrainedSpace

Codes = NDArray[np.int32]  # a row an architecture, a column a step: the number of the edge taken, -1 behind the end


class Batch:
    """A sieve's graph as flat arrays.

    An edge has the place ``first[node] + number``; the way out of a node, where there is one, is numbered behind its
    edges and leads to no node (-1). ``costs`` has a row for each place and a column for each limited cost.
    """

    def __init__(self, sieve: "ConstrainedSpace") -> None:
        self.sieve = sieve
        order = list(reversed(sieve.graph.order))
        number = {node: i for i, node in enumerate(order)}
        ledger = sieve.ledger(sieve.limited) if sieve.limited else None
        first, targets, weights, costs = [], list[int](), list[float](), list[NDArray[np.int64]]()
        for node in order:
            first.append(len(targets))
            ways = [sieve.below(edge.target) for edge in node.edges] + ([1] if node.last is not None else [])
            weights += (np.array(ways, dtype=object) / sieve.below(node)).astype(float).tolist()
            targets += [number[edge.target] for edge in node.edges] + ([-1] if node.last is not None else [])
            if ledger is not None:
                last = ledger.last[node]
                costs += [*(row for row in ledger.costs[node] if len(node.edges)), *([] if last is None else [last])]
        self.first = np.array(first, dtype=np.int64)
        self.targets = np.array(targets, dtype=np.int64)
        self.costs = np.array(costs, dtype=np.int64).reshape(len(targets), len(sieve.limited))
        self.spent = ledger.first if ledger is not None else np.zeros(0, dtype=np.int64)
        self.lows, self.highs = (ledger.lows, ledger.highs) if ledger is not None else (self.spent, self.spent)
        self._heaped = self._heap(np.array(weights))

    def _heap(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights heaped up inside each node, each node's heap one above the last: one array to search in."""
        heaped = np.cumsum(weights)
        before = np.concatenate([[0.0], heaped])[self.first]
        node = np.repeat(np.arange(len(self.first)), np.diff([*self.first, len(weights)]))
        inside = np.minimum(heaped - before[node], 1.0)
        inside[np.concatenate([self.first[1:], [len(weights)]]) - 1] = 1.0
        return np.asarray(node + inside)

    def draw(self, n: int, rng: np.random.Generator) -> Codes:
        """``n`` architectures of the whole space, each equally likely (to the rounding of double precision)."""
        node = np.zeros(n, dtype=np.int64)
        columns = []
        while (on := node >= 0).any():
            place = np.searchsorted(self._heaped, node[on] + rng.random(int(on.sum())), side="right")
            column = np.full(n, -1, dtype=np.int32)
            column[on] = place - self.first[node[on]]
            columns.append(column)
            node[on] = self.targets[place]
        return np.stack(columns, axis=1)

    def price(self, codes: Codes) -> NDArray[np.int64]:
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
        total = self.price(codes)
        return np.asarray(((total >= self.lows) & (total <= self.highs)).all(axis=1))

    def path(self, code: Codes) -> list[Edge]:
        """The path that one row stands for."""
        node, path = self.sieve.graph.start, list[Edge]()
        for number in code.tolist():
            if number < 0 or number == len(node.edges):
                break
            path.append(node.edges[number])
            node = path[-1].target
        return path

    def code(self, path: list[Edge]) -> list[int]:
        """The edge numbers of a path, the way out included."""
        node, numbers = self.sieve.graph.start, list[int]()
        for edge in path:
            numbers.append(next(i for i, other in enumerate(node.edges) if other is edge))
            node = edge.target
        return [*numbers, len(node.edges)]
