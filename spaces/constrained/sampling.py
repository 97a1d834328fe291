"""Counting and drawing: how many architectures fit a budget, and one of them at random, each equally likely."""

import bisect
import itertools
import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..architectures.architecture import Architecture
from ..architectures.cost import cost
from .cost_tables import BucketWays, ExactWays, Ints, TooMany, Ways
from .graph import Edge
from .vectorized import Batch

if TYPE_CHECKING:
    from .constrained_space import ConstrainedSpace

EXACT_ROWS = 300_000  # different costs up to which a table is exact
PROBES = 4_000  # plain draws that tell how much of the space fits
COMMON = 0.003  # share of the space above which plain rejection is cheaper than a table
CHECKS = 2_000  # draws behind an estimated count
BARRED = 2_000  # draws behind a histogram that no exact table gives
BINS = 32  # of the logarithm of the MACs
PATIENCE = 100_000  # draws without a hit before what cannot be found is walked for


@dataclass(frozen=True)
class Count:
    """How many architectures fit: ``low <= true <= high`` for certain, ``value`` the best estimate.

    ``standard_error`` is that of the estimate; where the count is exact it is 0 and all three are the same.
    """

    value: int
    low: int
    high: int
    standard_error: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether the count is exact."""
        return self.low == self.high

    def __str__(self) -> str:
        if self.exact:
            return f"{self.value:,}"
        return (
            f"about {self.value:.3g} (standard error {self.standard_error:.1g}; from {self.low:.3g} to {self.high:.3g})"
        )


def count(sieve: "ConstrainedSpace") -> Count:
    """How many architectures fit: exact where their costs can be told apart in a table, else estimated."""
    if not sieve.limited:
        return Count(sieve.size, sieve.size, sieve.size)
    ways = table(sieve)
    if isinstance(ways, ExactWays):
        return Count(ways.count, ways.count, ways.count)
    assert isinstance(ways, BucketWays)
    low, high = ways.bounds
    draw = TableDraw(sieve, ways)
    hits = sum(draw.attempt(rng) is not None for rng in [random.Random(0)] for _ in range(CHECKS)) if high else 0
    share = hits / CHECKS
    error = high * max(share * (1 - share) / CHECKS, CHECKS**-2.0) ** 0.5  # none or all of the draws fit: not sure
    return Count(round(min(max(high * share, low), high)), int(low), int(high), error)


def table(sieve: "ConstrainedSpace", names: tuple[str, ...] | None = None) -> Ways:
    """The exact table where it is small enough, else the one in buckets."""
    ledger = sieve.ledger(names or sieve.limited)
    try:
        return ExactWays(ledger, EXACT_ROWS)
    except TooMany:
        return BucketWays(ledger)


def histogram(sieve: "ConstrainedSpace", by: str = "macs", bins: int = 12) -> list[tuple[int, int, int | float]]:
    """(from, to, how many) of the architectures that fit, in even steps of the logarithm of the cost ``by``.

    Whole numbers are exact. Where costs cannot be told apart in a table the numbers are floats: shares of draws.
    """
    costs, counts = _heaps(sieve, by)
    if not len(costs):
        return []
    edges = np.geomspace(max(costs.min(), 1), costs.max() + 1, bins + 1)
    which = np.clip(np.searchsorted(edges, costs, side="right") - 1, 0, bins - 1)
    told: list[int | float] = [sum(counts[which == place].tolist()) for place in range(bins)]
    return [(int(low), int(high), n) for low, high, n in zip(edges, edges[1:], told, strict=False)]


def _heaps(sieve: "ConstrainedSpace", by: str) -> tuple[Ints, NDArray[Any]]:
    """Costs ``by`` of what fits, and how many architectures stand for each: by an exact table, or of draws."""
    ways = table(sieve, (by, *(name for name in sieve.limited if name != by)))
    if isinstance(ways, ExactWays):
        rows, numbers = ways.inside
        return ways.costs(rows)[:, 0], np.array(numbers, dtype=object)
    total = sieve.count().value
    drawn = Draw(sieve).many(BARRED, random.Random(0)) if total else []
    costs = np.array([getattr(cost(one, sieve.batch_size), by) for one in drawn], dtype=np.int64)
    return costs, np.full(len(costs), total / BARRED)


class TableDraw:
    """Draws from a table of ways; in buckets a draw may overshoot, and then it is thrown away."""

    def __init__(self, sieve: "ConstrainedSpace", ways: Ways) -> None:
        self.sieve, self.ways = sieve, ways
        rows, counts = ways.totals
        self.totals = [tuple(row) for row in rows.tolist()]
        self.weights = counts.tolist()
        self.heaped = list(itertools.accumulate(self.weights))

    def attempt(self, rng: random.Random) -> list[Edge] | None:
        """A path, uniform over those that fit, or None where the draw overshot."""
        if not self.heaped:
            return None
        place = bisect.bisect_right(self.heaped, rng.random() * self.heaped[-1], hi=len(self.heaped) - 1)
        return self._at(place, rng)

    def _at(self, place: int, rng: random.Random) -> list[Edge] | None:
        path = self.ways.draw(self.totals[place], rng)
        return path if self.sieve.fits_path(path) else None

    @cached_property
    def _bins(self) -> list[list[int]]:
        """Places of the totals by the logarithm of their MACs (the first axis), empty bins left out."""
        logs = np.log(self.ways.costs(self.ways.totals[0])[:, 0] + 1)
        edges = np.linspace(logs.min(), logs.max(), BINS + 1)
        which = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, BINS - 1)
        return [found.tolist() for b in range(BINS) if len(found := np.flatnonzero(which == b))]

    def attempt_log(self, rng: random.Random) -> list[Edge] | None:
        """As :meth:`attempt`, but even in the logarithm of the first axis, bin by bin."""
        if not self.totals:
            return None
        places = rng.choice(self._bins)
        weights = [self.weights[place] for place in places]
        for _ in range(20):
            path = self._at(rng.choices(places, weights)[0], rng)
            if path is not None:
                return path
        return None


class Draw:
    """One architecture after another from inside a budget: by rejection where much of the space fits, else by table.

    ``by`` is "uniform", every architecture that fits equally likely, or "log-macs", spread over the logarithm of the
    MACs: uniform draws pile up at the upper limit, where most architectures are. The spread is even where MACs can be
    told apart in a table, else as even as its buckets are narrow.
    """

    def __init__(self, sieve: "ConstrainedSpace", by: str = "uniform") -> None:
        if by not in ("uniform", "log-macs"):
            raise ValueError(f"a draw is by 'uniform' or 'log-macs', but got {by!r}")
        self.sieve, self.by = sieve, by

    @cached_property
    def plain(self) -> bool:
        """Whether plain rejection is cheap enough."""
        return self.by == "uniform" and self.share >= COMMON

    @cached_property
    def share(self) -> float:
        """About how much of the space fits, by plain draws."""
        return float(self.batch.fits(self.batch.draw(PROBES, np.random.default_rng(0))).mean())

    @cached_property
    def batch(self) -> Batch:
        """The whole space, drawn from many at a time."""
        return Batch(self.sieve)

    @cached_property
    def from_table(self) -> TableDraw:
        """The table that is drawn from otherwise."""
        others = tuple(name for name in self.sieve.limited if name != "macs")
        names = self.sieve.limited if self.by == "uniform" else ("macs", *others)
        return TableDraw(self.sieve, table(self.sieve, names))

    def many(self, n: int, rng: random.Random) -> list[Architecture]:
        """``n`` architectures, drawn apart from each other; :class:`BudgetError` where nothing fits."""
        return (self._rejected if self.plain else self._tabled)(n, rng)

    def one(self, rng: random.Random) -> Architecture:
        """One architecture."""
        return self.many(1, rng)[0]

    def _rejected(self, n: int, rng: random.Random) -> list[Architecture]:
        generator, found = np.random.default_rng(rng.getrandbits(64)), list[Architecture]()
        while len(found) < n:
            codes = self.batch.draw(int(min(100_000, 2 * (n - len(found)) / self.share + 10)), generator)
            codes = codes[self.batch.fits(codes)][: n - len(found)]
            found += [self.sieve.graph.architecture(self.batch.path(code)) for code in codes]
        return found

    def _tabled(self, n: int, rng: random.Random) -> list[Architecture]:
        draw = self.from_table
        attempt = draw.attempt if self.by == "uniform" else draw.attempt_log
        found: list[Architecture] = []
        for _ in range(PATIENCE * n if draw.heaped else 0):
            path = attempt(rng)
            found += [self.sieve.graph.architecture(path)] if path is not None else []
            if len(found) == n:
                return found
        self.sieve.check()
        return [self.sieve.architecture(rng.choice([index for index, _ in self.sieve.walk()])) for _ in range(n)]
