"""Counting and sampling: the number of architectures that fit a budget, and uniform draws from them."""

import bisect
import itertools
import math
import random
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..architectures.architecture import Architecture
from ..architectures.cost import cost
from .constrained_space import AXES, ConstrainedSpace, cached_per_space
from .cost_tables import BucketCountTable, CostArrays, CountTable, ExactCountTable, Ints, TooManyCosts, cost_arrays
from .feasibility import check_feasible
from .graph import Edge
from .indexing import architecture_at, walk
from .merged_states import joint_count, joint_counts
from .packed_network import Interval, TooManyStates
from .state_draws import StateDraws, choose_by
from .vectorized import GraphArrays

MAX_EXACT_COSTS = 300_000  # maximum number of different costs of an exact table; above, a table has buckets
N_SHARE_DRAWS = 4_000  # unrestricted draws that estimate the share of the space that fits
MIN_REJECTION_SHARE = 0.003  # share of the space above which rejection sampling is cheaper than a table
N_COUNT_DRAWS = 2_000  # draws from a table for an estimated count
N_COUNT_HITS = 10_000  # draws from the whole space that fit, for an estimated count
MAX_SPACE_DRAWS = 400_000  # of which fewer may fit
MAX_SAMPLE_CELLS = 16_000_000  # buckets of a table outside a search, of all nodes together: 130 MB
N_HISTOGRAM_DRAWS = 2_000  # draws for a histogram if no exact table is possible
N_LOG_BINS = 32  # bins of the logarithm of the MACs
METHODS = (
    *("size", "graph", "merged states", "rounded states"),
    *("exact table", "draws from the space", "draws from a table"),
)
MAX_MERGED_LIMITS = 2  # limits that merged states can count together
MAX_WIDTH = Fraction(
    1, 100
)  # of the interval of rounded states, relative to its lower end; above, draws give the value
MAX_REJECTED_DRAWS = 100_000  # failed draws per architecture, after which the space is walked instead


@dataclass(frozen=True)
class Count:
    """The number of architectures that fit: the best estimate ``value``, and certain bounds ``low`` and ``high``.

    ``method`` is one of :data:`METHODS`. ``standard_error`` is the standard error of an estimate from draws, else 0.
    For an exact count ``value``, ``low`` and ``high`` are equal.
    """

    value: int
    low: int
    high: int
    standard_error: float = 0.0
    method: str = "size"

    @property
    def exact(self) -> bool:
        """Whether the count is exact."""
        return self.low == self.high

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        if self.exact:
            return f"{self.value:,}"
        error = f"standard error {self.standard_error:.1g}; " if self.standard_error else ""
        # all digits that differ: bounds of 5.57e+06 and 5.58e+06 are closer than three digits show
        return f"about {self.value:.4g} ({error}from {self.low:.4g} to {self.high:.4g})"


@cached_per_space
def count(constrained: ConstrainedSpace) -> Count:
    """Count the architectures that fit: exactly if a table or merged states can hold all different costs.

    Otherwise the result has certain bounds. If these are further apart than :data:`MAX_WIDTH`, the value is estimated
    from draws.
    """
    limits = binding_limits(constrained) if constrained.within_ram else {}
    if not limits:
        fitting = constrained.within_ram
        return Count(fitting, fitting, fitting, method="size" if fitting == constrained.size else "graph")
    interval = _merged_count(constrained, limits) if len(limits) <= MAX_MERGED_LIMITS else None
    if interval is not None and interval.high - interval.low <= MAX_WIDTH * interval.low:
        exact = interval.low == interval.high
        return Count(interval.value, interval.low, interval.high, method="merged states" if exact else "rounded states")
    if interval is not None and sampler(constrained).plain:
        return _space_count(constrained, interval)
    return _table_count(constrained, interval)


def binding_limits(constrained: ConstrainedSpace) -> dict[str, tuple[int, int | None]]:
    """Return the limits of the budget that exclude some architecture: cost name -> (low, high), None if not binding."""
    start, base = constrained.graph.start, constrained.base_vector
    binding: dict[str, tuple[int, int | None]] = {}
    for name, (low, high) in constrained.limits.items():
        axis = AXES.index(name)
        minimum, maximum = (base[axis] + costs[start][axis] for costs in (constrained.min_costs, constrained.max_costs))
        used_low, used_high = low if low > minimum else 0, high if high is not None and high < maximum else None
        if used_low or used_high is not None:
            binding[name] = used_low, used_high
    return binding


def _merged_count(constrained: ConstrainedSpace, limits: dict[str, tuple[int, int | None]]) -> Interval | None:
    """Return the count by merged states, or None if they cannot count inside these limits.

    The count between lower and upper limits is a sum of counts below limits, by inclusion and exclusion. Only exact
    counts are used for that, because the errors of large numbers may exceed a small difference.
    """
    arrays = cost_arrays(constrained, tuple(limits), bounded=False)
    corners = itertools.product(*([(high, 1), (low - 1, -1)] if low else [(high, 1)] for low, high in limits.values()))
    total, exact = Interval(0, 0, 0), any(low for low, _ in limits.values())
    try:
        for corner in corners:
            highs = [math.inf if high is None else high for high, _ in corner]
            part = joint_count(arrays, highs, exact=exact)
            total += part if math.prod(sign for _, sign in corner) > 0 else -part
    except TooManyStates:
        return None
    return total


def _space_count(constrained: ConstrainedSpace, interval: Interval) -> Count:
    """Estimate the count inside ``interval`` from the share of draws from the whole space that fit."""
    batch, rng, hits, n_draws = sampler(constrained).batch, np.random.default_rng(1), 0, 0
    while hits < N_COUNT_HITS and n_draws < MAX_SPACE_DRAWS:
        hits += int(batch.fits(batch.draw(N_SHARE_DRAWS, rng)).sum())
        n_draws += N_SHARE_DRAWS
    share = hits / n_draws
    error = constrained.size * max(share * (1 - share) / n_draws, n_draws**-2.0) ** 0.5
    value = min(max(constrained.size * hits // n_draws, interval.low), interval.high)
    return Count(value, interval.low, interval.high, error, method="draws from the space")


def _table_count(constrained: ConstrainedSpace, interval: Interval | None) -> Count:
    """Count with a count table: exactly, or by draws with the bounds of the table and of ``interval``."""
    draw = sampler(constrained, "uniform", MAX_SAMPLE_CELLS).from_table
    table = draw.table
    if isinstance(table, ExactCountTable):
        return Count(table.count, table.count, table.count, method="exact table")
    assert isinstance(table, BucketCountTable)  # for the type checker
    low, high = table.bounds
    # the estimate is the upper bound times the share of draws from the table that fit exactly
    hits = sum(draw.attempt(rng) is not None for rng in [random.Random(0)] for _ in range(N_COUNT_DRAWS)) if high else 0
    share = hits / N_COUNT_DRAWS
    # if no draw or every draw fits, the share is still uncertain; therefore the variance has a minimum
    error = high * max(share * (1 - share) / N_COUNT_DRAWS, N_COUNT_DRAWS**-2.0) ** 0.5
    bounds = max(int(low), interval.low if interval else 0), min(int(high), interval.high if interval else int(high))
    return Count(round(min(max(high * share, bounds[0]), bounds[1])), *bounds, error, method="draws from a table")


def count_table(constrained: ConstrainedSpace, names: tuple[str, ...] | None = None, max_cells: int = 0) -> CountTable:
    """Return the count table of the costs ``names`` (default: all limited costs).

    It is exact if there are at most :data:`MAX_EXACT_COSTS` different costs, else it has buckets, at most ``max_cells``
    if that is not 0.
    """
    arrays = cost_arrays(constrained, names or constrained.limited)
    return _exact_table(arrays) or BucketCountTable(arrays, max_cells)


def _exact_table(arrays: CostArrays) -> ExactCountTable | None:
    try:
        return ExactCountTable(arrays, MAX_EXACT_COSTS)
    except TooManyCosts:
        return None


def sample(constrained: ConstrainedSpace, n: int, rng: random.Random, by: str = "uniform") -> list[Architecture]:
    """Draw ``n`` architectures that fit, independently and with replacement.

    ``by`` is "uniform" or "log-macs", see :class:`Sampler`. Uniform draws from a small share of the space come from
    merged states, where these can count the share exactly. Raises :class:`BudgetError` if no architecture fits.
    """
    check_feasible(constrained)
    drawing = sampler(constrained, by, MAX_SAMPLE_CELLS)
    draws = state_draws(constrained) if by == "uniform" and not drawing.plain else None
    if draws is None:
        return drawing.many(n, rng)
    choose = choose_by(rng)
    return [constrained.graph.architecture(draws.draw(choose)) for _ in range(n)]


@cached_per_space
def state_draws(constrained: ConstrainedSpace) -> StateDraws | None:
    """Return draws from merged states, or None if these cannot hold all sums or the binding limits."""
    limits = binding_limits(constrained)
    if not 1 <= len(limits) <= MAX_MERGED_LIMITS or any(low for low, _ in limits.values()):
        return None
    arrays = cost_arrays(constrained, tuple(limits), bounded=False)
    try:
        return StateDraws(arrays, [math.inf if high is None else high for _, high in limits.values()])
    except TooManyStates:
        return None


def sample_one(constrained: ConstrainedSpace, rng: random.Random, by: str = "uniform") -> Architecture:
    """Draw one architecture that fits; raise :class:`BudgetError` if none does.

    A search draws with this function. It never uses merged states, so that resumed runs keep the draws of their seed.
    """
    return sampler(constrained, by).one(rng)


def histogram(constrained: ConstrainedSpace, by: str = "macs", bins: int = 12) -> list[tuple[int, int, int | float]]:
    """Return (low, high, number of architectures that fit) for ``bins`` bins of the cost ``by``.

    The bins have equal width in the logarithm of the cost. Integer numbers are exact. If neither a count table nor
    merged states can be exact, the numbers are floats, estimated from draws.
    """
    if not constrained.within_ram:
        return []
    table = _exact_table(cost_arrays(constrained, (by, *(name for name in constrained.limited if name != by))))
    if table is None and (rows := _merged_histogram(constrained, by, bins)):
        return rows
    costs, counts = _weighted_costs(constrained, by, table)
    if not len(costs):
        return []
    edges = _log_edges(int(costs.min()), int(costs.max()), bins)
    bin_of = np.clip(np.searchsorted(edges, costs, side="right") - 1, 0, bins - 1)
    sums: list[int | float] = [sum(counts[bin_of == number].tolist()) for number in range(bins)]
    return [(int(low), int(high), n) for low, high, n in zip(edges, edges[1:], sums, strict=False)]


def _log_edges(low: int, high: int, bins: int) -> NDArray[np.float64]:
    """Return the edges of ``bins`` bins of equal width in the logarithm, for costs from ``low`` to ``high``."""
    # at least 1, because the logarithm of 0 does not exist; + 1, because bins exclude their upper end
    return np.geomspace(max(low, 1), high + 1, bins + 1)


def _merged_histogram(constrained: ConstrainedSpace, by: str, bins: int) -> list[tuple[int, int, int | float]] | None:
    """Return the histogram by merged states, or None if it would not be exact, or a lower limit or two others bind."""
    limits = binding_limits(constrained)
    others = [(name, high) for name, (_, high) in limits.items() if name != by and high is not None]
    if len(others) >= MAX_MERGED_LIMITS or any(low for low, _ in limits.values()):
        return None
    arrays = cost_arrays(constrained, (by, *(name for name, _ in others)), bounded=False)
    start, axis = constrained.graph.start, 0
    smallest = int((arrays.min_costs[start] + arrays.base)[axis])
    largest = int((arrays.max_costs[start] + arrays.base)[axis])
    high = limits.get(by, (0, None))[1]
    edges = _log_edges(smallest, largest if high is None else high, bins).round().astype(np.int64).tolist()
    try:
        counted = joint_counts(arrays, [edge - 1 for edge in edges[1:]], [high for _, high in others], exact=True)
    except TooManyStates:
        return None
    below = [0, *(interval.value for interval in counted)]
    return [(edges[i], edges[i + 1], below[i + 1] - below[i]) for i in range(bins)]


def _weighted_costs(constrained: ConstrainedSpace, by: str, table: ExactCountTable | None) -> tuple[Ints, NDArray[Any]]:
    """Return costs ``by`` of architectures that fit, and the number of architectures that each represents."""
    if table is not None:
        rows, counts = table.inside
        return table.costs(rows)[:, 0], np.array(counts, dtype=object)
    # from draws, not from buckets, which are too coarse for this
    total = count(constrained).value
    drawn = sample(constrained, N_HISTOGRAM_DRAWS, random.Random(0)) if total else []
    costs = np.array([getattr(cost(one, constrained.batch_size), by) for one in drawn], dtype=np.int64)
    return costs, np.full(len(costs), total / N_HISTOGRAM_DRAWS)


class TableSampler:
    """Draws from a count table. With buckets a drawn path may exceed a limit; then the draw is rejected."""

    def __init__(self, constrained: ConstrainedSpace, table: CountTable) -> None:
        self.constrained, self.table = constrained, table
        rows, counts = table.totals
        if not np.isfinite(counts).all():
            raise ValueError(
                "at most 1e308 architectures must fit the budget, but more do; use fewer choices or blocks"
            )
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

    Uniform draws use rejection from the whole space if enough of the space fits, otherwise a count table, with at most
    ``max_cells`` buckets. A search leaves these at 0, so that a resumed run keeps the draws of its seed.
    """

    def __init__(self, constrained: ConstrainedSpace, by: str = "uniform", max_cells: int = 0) -> None:
        if by not in ("uniform", "log-macs"):
            raise ValueError(f"`by` must be 'uniform' or 'log-macs', but got {by!r}; use one of them")
        self.constrained, self.by, self.max_cells = constrained, by, max_cells

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
        return TableSampler(self.constrained, count_table(self.constrained, names, self.max_cells))

    def many(self, n: int, rng: random.Random) -> list[Architecture]:
        """Draw ``n`` architectures independently; raise :class:`BudgetError` if no architecture fits."""
        if not self.constrained.within_ram:
            check_feasible(self.constrained)
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
def sampler(constrained: ConstrainedSpace, by: str = "uniform", max_cells: int = 0) -> Sampler:
    """Return the sampler of a constrained space, whose share and tables are computed only once."""
    return Sampler(constrained, by, max_cells)
