"""Counting and sampling: the number of architectures that fit a budget, and uniform draws from them."""

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
from .vectorized import GraphArrays

MAX_EXACT_COSTS = 300_000  # maximum number of different costs of an exact table; above, a table has buckets
N_SHARE_DRAWS = 4_000  # unrestricted draws that estimate the share of the space that fits
MIN_REJECTION_SHARE = 0.003  # share of the space above which rejection sampling is cheaper than a table
N_COUNT_DRAWS = 2_000  # draws for an estimated count
N_HISTOGRAM_DRAWS = 2_000  # draws for a histogram if no exact table is possible
N_LOG_BINS = 32  # bins of the logarithm of the MACs
MAX_REJECTED_DRAWS = 100_000  # failed draws per architecture, after which the space is walked instead


@dataclass(frozen=True)
class Count:
    """The number of architectures that fit: the best estimate ``value``, and certain bounds ``low`` and ``high``.

    ``standard_error`` is the standard error of the estimate. For an exact count it is 0, and the other three are equal.
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
    """Count the architectures that fit: exactly if an exact count table is possible, else by an estimate."""
    if not constrained.limited:
        return Count(constrained.size, constrained.size, constrained.size)
    table = count_table(constrained)
    if isinstance(table, ExactCountTable):
        return Count(table.count, table.count, table.count)
    assert isinstance(table, BucketCountTable)  # for the type checker
    low, high = table.bounds
    # the estimate is the upper bound times the share of draws from the table that fit exactly
    draw = TableSampler(constrained, table)
    hits = sum(draw.attempt(rng) is not None for rng in [random.Random(0)] for _ in range(N_COUNT_DRAWS)) if high else 0
    share = hits / N_COUNT_DRAWS
    # if no draw or every draw fits, the share is still uncertain; therefore the variance has a minimum
    error = high * max(share * (1 - share) / N_COUNT_DRAWS, N_COUNT_DRAWS**-2.0) ** 0.5
    return Count(round(min(max(high * share, low), high)), int(low), int(high), error)


def count_table(constrained: ConstrainedSpace, names: tuple[str, ...] | None = None) -> CountTable:
    """Return the count table of the costs ``names`` (default: all limited costs).

    It is exact if there are at most :data:`MAX_EXACT_COSTS` different costs, else it has buckets.
    """
    arrays = cost_arrays(constrained, names or constrained.limited)
    try:
        return ExactCountTable(arrays, MAX_EXACT_COSTS)
    except TooManyCosts:
        return BucketCountTable(arrays)


def sample(constrained: ConstrainedSpace, n: int, rng: random.Random, by: str = "uniform") -> list[Architecture]:
    """Draw ``n`` architectures that fit, independently and with replacement.

    ``by`` is "uniform" or "log-macs", see :class:`Draw`. Raises :class:`BudgetError` if no architecture fits.
    """
    check_feasible(constrained)
    return sampler(constrained, by).many(n, rng)


def sample_one(constrained: ConstrainedSpace, rng: random.Random, by: str = "uniform") -> Architecture:
    """Draw one architecture that fits; raise :class:`BudgetError` if none does."""
    return sampler(constrained, by).one(rng)


def histogram(constrained: ConstrainedSpace, by: str = "macs", bins: int = 12) -> list[tuple[int, int, int | float]]:
    """Return (low, high, number of architectures that fit) for ``bins`` bins of the cost ``by``.

    The bins have equal width in the logarithm of the cost. Integer numbers are exact. If no exact count table is
    possible, the numbers are floats, estimated from draws.
    """
    costs, counts = _weighted_costs(constrained, by)
    if not len(costs):
        return []
    # at least 1, because the logarithm of 0 does not exist; + 1, because bins exclude their upper end
    edges = np.geomspace(max(costs.min(), 1), costs.max() + 1, bins + 1)
    bin_of = np.clip(np.searchsorted(edges, costs, side="right") - 1, 0, bins - 1)
    sums: list[int | float] = [sum(counts[bin_of == number].tolist()) for number in range(bins)]
    return [(int(low), int(high), n) for low, high, n in zip(edges, edges[1:], sums, strict=False)]


def _weighted_costs(constrained: ConstrainedSpace, by: str) -> tuple[Ints, NDArray[Any]]:
    """Return costs ``by`` of architectures that fit, and the number of architectures that each represents."""
    table = count_table(constrained, (by, *(name for name in constrained.limited if name != by)))
    if isinstance(table, ExactCountTable):
        rows, counts = table.inside
        return table.costs(rows)[:, 0], np.array(counts, dtype=object)
    # from draws, not from buckets, which are too coarse for this
    total = count(constrained).value
    drawn = Sampler(constrained).many(N_HISTOGRAM_DRAWS, random.Random(0)) if total else []
    costs = np.array([getattr(cost(one, constrained.batch_size), by) for one in drawn], dtype=np.int64)
    return costs, np.full(len(costs), total / N_HISTOGRAM_DRAWS)


class TableSampler:
    """Draws from a count table. With buckets a drawn path may exceed a limit; then the draw is rejected."""

    def __init__(self, constrained: ConstrainedSpace, table: CountTable) -> None:
        self.constrained, self.table = constrained, table
        rows, counts = table.totals
        self.totals = [tuple(row) for row in rows.tolist()]
        self.weights = counts.tolist()
        self.cumulative_weights = list(itertools.accumulate(self.weights))

    def attempt(self, rng: random.Random) -> list[Edge] | None:
        """Draw a path, uniform over those that fit; return None if the drawn path exceeds a limit."""
        if not self.cumulative_weights:
            return None
        # hi: a random number near 1 may be rounded up to the total weight, which is after the last index
        index = bisect.bisect_right(
            self.cumulative_weights, rng.random() * self.cumulative_weights[-1], hi=len(self.cumulative_weights) - 1
        )
        return self._draw_with_total(index, rng)

    def _draw_with_total(self, index: int, rng: random.Random) -> list[Edge] | None:
        path = self.table.draw(self.totals[index], rng)
        return path if self.constrained.fits_path(path) else None

    @cached_property
    def _bins(self) -> list[list[int]]:
        """Indices of the totals in bins of the logarithm of their MACs (the first axis), without empty bins."""
        logs = np.log(self.table.costs(self.table.totals[0])[:, 0] + 1)
        edges = np.linspace(logs.min(), logs.max(), N_LOG_BINS + 1)
        bin_of = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, N_LOG_BINS - 1)
        return [indices.tolist() for b in range(N_LOG_BINS) if len(indices := np.flatnonzero(bin_of == b))]

    def attempt_log(self, rng: random.Random) -> list[Edge] | None:
        """Draw as :meth:`attempt`, but uniformly in the logarithm of the first axis: first a bin, then a path in it."""
        if not self.totals:
            return None
        indices = rng.choice(self._bins)
        weights = [self.weights[index] for index in indices]
        # several draws from the same bin, or bins with many rejections would be drawn too rarely
        for _ in range(20):
            path = self._draw_with_total(rng.choices(indices, weights)[0], rng)
            if path is not None:
                return path
        return None


class Sampler:
    """A sampler of the architectures inside a budget.

    ``by`` is "uniform" (every architecture that fits is equally likely) or "log-macs" (uniform in the logarithm of the
    MACs). Uniform draws concentrate near the upper limit, where most architectures are; "log-macs" also covers small
    ones. It is exact with an exact count table, else approximate within the width of its buckets.

    Uniform draws use rejection from the whole space if enough of the space fits, otherwise a count table.
    """

    def __init__(self, constrained: ConstrainedSpace, by: str = "uniform") -> None:
        if by not in ("uniform", "log-macs"):
            raise ValueError(f"`by` must be 'uniform' or 'log-macs', but got {by!r}; use one of them")
        self.constrained, self.by = constrained, by

    @cached_property
    def plain(self) -> bool:
        """Whether draws use plain rejection from the whole space, without a table."""
        return self.by == "uniform" and self.share >= MIN_REJECTION_SHARE

    @cached_property
    def share(self) -> float:
        """The approximate share of the space that fits, estimated from draws of the whole space."""
        # a fixed seed, so that the same space always chooses the same method and reproduces its draws
        return float(self.batch.fits(self.batch.draw(N_SHARE_DRAWS, np.random.default_rng(0))).mean())

    @cached_property
    def batch(self) -> GraphArrays:
        """The whole space as arrays, for drawing many architectures at a time."""
        return GraphArrays(self.constrained)

    @cached_property
    def from_table(self) -> TableSampler:
        """Draws from the count table, used instead of plain rejection; for "log-macs" its first axis are the MACs."""
        others = tuple(name for name in self.constrained.limited if name != "macs")
        names = self.constrained.limited if self.by == "uniform" else ("macs", *others)
        return TableSampler(self.constrained, count_table(self.constrained, names))

    def many(self, n: int, rng: random.Random) -> list[Architecture]:
        """Draw ``n`` architectures independently; raise :class:`BudgetError` if no architecture fits."""
        return (self._rejected if self.plain else self._tabled)(n, rng)

    def one(self, rng: random.Random) -> Architecture:
        """Draw one architecture."""
        return self.many(1, rng)[0]

    def _rejected(self, n: int, rng: random.Random) -> list[Architecture]:
        """Draw by rejection: many architectures of the whole space at a time, of which those that fit are kept."""
        generator, accepted = np.random.default_rng(rng.getrandbits(64)), list[Architecture]()
        while len(accepted) < n:
            # twice the expected number of draws, but at most 100,000 at a time
            codes = self.batch.draw(int(min(100_000, 2 * (n - len(accepted)) / self.share + 10)), generator)
            codes = codes[self.batch.fits(codes)][: n - len(accepted)]
            accepted += [self.constrained.graph.architecture(self.batch.path(code)) for code in codes]
        return accepted

    def _tabled(self, n: int, rng: random.Random) -> list[Architecture]:
        """Draw from the count table; if nearly all draws are rejected, list what fits and draw from the list."""
        draw = self.from_table
        attempt = draw.attempt if self.by == "uniform" else draw.attempt_log
        accepted: list[Architecture] = []
        for _ in range(MAX_REJECTED_DRAWS * n if draw.cumulative_weights else 0):
            path = attempt(rng)
            accepted += [self.constrained.graph.architecture(path)] if path is not None else []
            if len(accepted) == n:
                return accepted
        check_feasible(self.constrained)
        indices = [index for index, _ in walk(self.constrained)]
        return [architecture_at(self.constrained, rng.choice(indices)) for _ in range(n)]


@cached_per_space
def sampler(constrained: ConstrainedSpace, by: str = "uniform") -> Sampler:
    """Return the sampler of a constrained space, whose share and tables are computed only once."""
    return Sampler(constrained, by)
