"""Counting and sampling: how many architectures fit a budget, and draws from them, each equally likely."""

import bisect
import itertools
import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..architectures.architecture import Architecture
from ..architectures.cost import cost
from .constrained_space import ConstrainedSpace, cached_per_space
from .cost_tables import BucketCountTable, CountTable, ExactCountTable, Ints, TooManyCosts, cost_arrays
from .feasibility import check_feasible
from .graph import Edge
from .indexing import architecture_at, walk
from .vectorized import Batch

MAX_EXACT_COSTS = 300_000  # different costs up to which a table is exact
N_SHARE_DRAWS = 4_000  # plain draws that estimate how much of the space fits
MIN_REJECTION_SHARE = 0.003  # share of the space above which plain rejection is cheaper than a table
N_COUNT_DRAWS = 2_000  # draws behind an estimated count
N_HISTOGRAM_DRAWS = 2_000  # draws behind a histogram that no exact table gives
N_LOG_BINS = 32  # of the logarithm of the MACs
MAX_REJECTED_DRAWS = 100_000  # draws without a hit before the space is walked instead


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

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        if self.exact:
            return f"{self.value:,}"
        return (
            f"about {self.value:.3g} (standard error {self.standard_error:.1g}; from {self.low:.3g} to {self.high:.3g})"
        )


@cached_per_space
def count(constrained: ConstrainedSpace) -> Count:
    """How many architectures fit: exact where their costs can be told apart in a table, else estimated."""
    if not constrained.limited:
        return Count(constrained.size, constrained.size, constrained.size)
    table = count_table(constrained)
    if isinstance(table, ExactCountTable):
        return Count(table.count, table.count, table.count)
    assert isinstance(table, BucketCountTable)
    low, high = table.bounds
    draw = TableDraw(constrained, table)
    hits = sum(draw.attempt(rng) is not None for rng in [random.Random(0)] for _ in range(N_COUNT_DRAWS)) if high else 0
    share = hits / N_COUNT_DRAWS
    # where none or all of the draws fit the share is still not certain, so the error keeps a floor
    error = high * max(share * (1 - share) / N_COUNT_DRAWS, N_COUNT_DRAWS**-2.0) ** 0.5
    return Count(round(min(max(high * share, low), high)), int(low), int(high), error)


def count_table(constrained: ConstrainedSpace, names: tuple[str, ...] | None = None) -> CountTable:
    """The exact table of the costs ``names`` (default: all limited ones) where it is small enough, else in buckets."""
    arrays = cost_arrays(constrained, names or constrained.limited)
    try:
        return ExactCountTable(arrays, MAX_EXACT_COSTS)
    except TooManyCosts:
        return BucketCountTable(arrays)


def sample(constrained: ConstrainedSpace, n: int, rng: random.Random, by: str = "uniform") -> list[Architecture]:
    """Draw ``n`` architectures that fit, independently of each other.

    ``by`` is "uniform" or "log-macs", see :class:`Draw`. Raises :class:`BudgetError` where nothing fits.
    """
    check_feasible(constrained)
    return draws(constrained, by).many(n, rng)


def sample_one(constrained: ConstrainedSpace, rng: random.Random, by: str = "uniform") -> Architecture:
    """Draw one architecture that fits; :class:`BudgetError` where nothing does."""
    return draws(constrained, by).one(rng)


def histogram(constrained: ConstrainedSpace, by: str = "macs", bins: int = 12) -> list[tuple[int, int, int | float]]:
    """(from, to, how many) of the architectures that fit, in even steps of the logarithm of the cost ``by``.

    Whole numbers are exact. Where costs cannot be told apart in a table the numbers are floats: shares of draws.
    """
    costs, counts = _weighted_costs(constrained, by)
    if not len(costs):
        return []
    edges = np.geomspace(max(costs.min(), 1), costs.max() + 1, bins + 1)
    which = np.clip(np.searchsorted(edges, costs, side="right") - 1, 0, bins - 1)
    sums: list[int | float] = [sum(counts[which == place].tolist()) for place in range(bins)]
    return [(int(low), int(high), n) for low, high, n in zip(edges, edges[1:], sums, strict=False)]


def _weighted_costs(constrained: ConstrainedSpace, by: str) -> tuple[Ints, NDArray[Any]]:
    """Costs ``by`` of what fits, and how many architectures each stands for: from an exact table, or from draws."""
    table = count_table(constrained, (by, *(name for name in constrained.limited if name != by)))
    if isinstance(table, ExactCountTable):
        rows, numbers = table.inside
        return table.costs(rows)[:, 0], np.array(numbers, dtype=object)
    total = count(constrained).value
    drawn = Draw(constrained).many(N_HISTOGRAM_DRAWS, random.Random(0)) if total else []
    costs = np.array([getattr(cost(one, constrained.batch_size), by) for one in drawn], dtype=np.int64)
    return costs, np.full(len(costs), total / N_HISTOGRAM_DRAWS)


class TableDraw:
    """Draws from a count table; in buckets a draw may overshoot a limit, and then it is rejected."""

    def __init__(self, constrained: ConstrainedSpace, table: CountTable) -> None:
        self.constrained, self.table = constrained, table
        rows, counts = table.totals
        self.totals = [tuple(row) for row in rows.tolist()]
        self.weights = counts.tolist()
        self.cumulated = list(itertools.accumulate(self.weights))

    def attempt(self, rng: random.Random) -> list[Edge] | None:
        """A path, uniform over those that fit, or None where the draw overshot."""
        if not self.cumulated:
            return None
        place = bisect.bisect_right(self.cumulated, rng.random() * self.cumulated[-1], hi=len(self.cumulated) - 1)
        return self._at(place, rng)

    def _at(self, place: int, rng: random.Random) -> list[Edge] | None:
        path = self.table.draw(self.totals[place], rng)
        return path if self.constrained.fits_path(path) else None

    @cached_property
    def _bins(self) -> list[list[int]]:
        """Places of the totals by the logarithm of their MACs (the first axis), empty bins left out."""
        logs = np.log(self.table.costs(self.table.totals[0])[:, 0] + 1)
        edges = np.linspace(logs.min(), logs.max(), N_LOG_BINS + 1)
        which = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, N_LOG_BINS - 1)
        return [found.tolist() for b in range(N_LOG_BINS) if len(found := np.flatnonzero(which == b))]

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

    def __init__(self, constrained: ConstrainedSpace, by: str = "uniform") -> None:
        if by not in ("uniform", "log-macs"):
            raise ValueError(f"a draw is by 'uniform' or 'log-macs', but got {by!r}")
        self.constrained, self.by = constrained, by

    @cached_property
    def plain(self) -> bool:
        """Whether plain rejection is cheap enough."""
        return self.by == "uniform" and self.share >= MIN_REJECTION_SHARE

    @cached_property
    def share(self) -> float:
        """About how much of the space fits, by plain draws."""
        return float(self.batch.fits(self.batch.draw(N_SHARE_DRAWS, np.random.default_rng(0))).mean())

    @cached_property
    def batch(self) -> Batch:
        """The whole space, drawn from many at a time."""
        return Batch(self.constrained)

    @cached_property
    def from_table(self) -> TableDraw:
        """The table that is drawn from otherwise."""
        others = tuple(name for name in self.constrained.limited if name != "macs")
        names = self.constrained.limited if self.by == "uniform" else ("macs", *others)
        return TableDraw(self.constrained, count_table(self.constrained, names))

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
            found += [self.constrained.graph.architecture(self.batch.path(code)) for code in codes]
        return found

    def _tabled(self, n: int, rng: random.Random) -> list[Architecture]:
        draw = self.from_table
        attempt = draw.attempt if self.by == "uniform" else draw.attempt_log
        found: list[Architecture] = []
        for _ in range(MAX_REJECTED_DRAWS * n if draw.cumulated else 0):
            path = attempt(rng)
            found += [self.constrained.graph.architecture(path)] if path is not None else []
            if len(found) == n:
                return found
        check_feasible(self.constrained)
        indices = [index for index, _ in walk(self.constrained)]
        return [architecture_at(self.constrained, rng.choice(indices)) for _ in range(n)]


@cached_per_space
def draws(constrained: ConstrainedSpace, by: str = "uniform") -> Draw:
    """The sampler of a constrained space; its share and tables are computed once."""
    return Draw(constrained, by)
