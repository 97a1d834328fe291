"""The outlook: whether two limits can still be met together from a node of the graph on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .cost_tables import BucketWays, Ledger
from .graph import Node


class Outlook:
    """Whether the first two limits can still be met together from a node on: never a wrong no.

    A table of ways in buckets tells it. Each edge on the way to the end may have been rounded down by almost a bucket,
    so what is asked of is a rectangle of buckets that is wider by as many; sums over the table answer at once.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ways = BucketWays(ledger)
        self._axes = self._ways.axes
        self._width = self._ways.width.tolist()
        self._lows, self._highs = (limits[: self._axes].tolist() for limits in (ledger.lows, ledger.highs))
        self._least = {node: least[: self._axes].tolist() for node, least in ledger.least.items()}
        self._sums: dict[Node, NDArray[np.int32]] = {}

    def may_fit(self, node: Node, spent: Sequence[int]) -> bool:
        """Whether a path that has ``spent`` so much, of each limited cost, before ``node`` may end inside."""
        lost, spans = self._ways.ledger.ahead[node], list[tuple[int, int]]()
        for axis, width in enumerate(self._width):
            base = spent[axis] + self._least[node][axis]
            low = -((base + lost * (width - 1) - self._lows[axis]) // width)
            high = min((self._highs[axis] - base) // width, self._ways.n - 1)
            spans.append((max(low, 0), high + 1))
        if any(low >= high for low, high in spans):
            return False
        sums, (low, high) = self._sums_at(node), spans[0]
        if self._axes == 1:
            return bool(sums[high] > sums[low])
        left, right = spans[1]
        return bool(sums[high, right] - sums[low, right] - sums[high, left] + sums[low, left] > 0)

    def _sums_at(self, node: Node) -> NDArray[np.int32]:
        """How many buckets before each place, on each axis, are some path's."""
        if node not in self._sums:
            sums = np.pad(self._ways.rest(node), [(1, 0)] * self._axes).astype(np.int32)
            for axis in range(self._axes):
                sums = sums.cumsum(axis=axis, dtype=np.int32)
            self._sums[node] = sums
        return self._sums[node]
