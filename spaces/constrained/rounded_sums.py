"""Joint counts by rounded sums: certain bounds where there are too many different sums to be merged.

The network is cut into pieces: each path passes one node of every cut. The sums of all paths through a piece are exact,
and are rounded once, to a grid. The numbers of paths up to the next cut are the convolution of those up to the cut with
those of the piece, by a fast Fourier transform. The last two pieces are not rounded: for each of their sums the paths
before them that fit are looked up.

So a sum is wrong by half a step of the grid for each rounded piece, not for each block. Counting up to the limits minus
and plus this error gives an interval that certainly contains the count. The grid is finer along the cost whose limit
excludes more paths: a count on a coarse grid shows how many paths are near each limit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cost_tables import Ints
from .packed_network import Interval, Network, Pair, merge_equal

MAX_CELLS = 2_000_000  # of the grid
MAX_WORK = 60_000_000  # cells of all transforms together
MIN_GRID = 8  # times fewer cells than MAX_CELLS: below, a grid is too coarse to be useful
MAX_PIECE_SUMS = 400_000  # different sums of one piece
MAX_LOOK_UPS = 40_000_000  # pairs of sums of the last two pieces
CHUNK = 1_000_000  # pairs that are looked up at a time
COARSE = 16  # times fewer cells of the coarse grid
COARSE_SUMS = 300  # of each of the last two pieces that are looked up there
NEAR = 0.05  # of a limit: paths above the rest are near it
MAX_RATIO = 30.0  # of the steps of the two costs, relative to their limits
MAX_PATHS = 1e300  # that floats can hold
FLOAT_ERROR = 1e-7  # relative; the sums of floats have at most 1e8 terms, each with an error of 2**-53
FFT_ERROR = 64 * 2.0**-53  # for each level of a transform, relative to the norms of both factors


class TooManyTransforms(Exception):  # noqa: N818 - not an error: the caller rounds the sums of single nodes instead
    """Raised if transforms on a useful grid would need more than :data:`MAX_WORK`, or if numbers exceed a float."""


Sums = tuple[Ints, NDArray[np.float64]]  # packed sums, and the number of paths of each
Piece = dict[int, dict[int, Sums]]  # node of a cut -> node of the next cut -> the sums of the paths between them
Array = NDArray[np.float64]
Weights = tuple[float, float]  # of the two costs


def rounded_counts(
    network: Network, thresholds: list[int], max_cells: int = MAX_CELLS, max_piece_sums: int = MAX_PIECE_SUMS
) -> list[Interval]:
    """Return certain bounds of the number of paths for each of ``thresholds``, limits of the first cost.

    Raises :class:`TooManyTransforms` if a useful grid would need too many.
    """
    if network.n_paths[0][-1] >= MAX_PATHS:
        raise TooManyTransforms(f"more than {MAX_PATHS:.0e} paths")
    pieces, n_transforms = list[Piece](), 0
    for piece in _pieces(network, max_piece_sums):
        pieces.append(piece)
        # those of all pieces but the first and the last two
        n_transforms += _n_transforms(pieces[-3]) if len(pieces) > 3 else 0
        if min(max_cells, MAX_WORK // max(n_transforms, 1)) < max_cells // MIN_GRID:
            raise TooManyTransforms(f"more than {n_transforms:,} transforms")
    rounded, near, last = _split(pieces)
    coarse = _Grid.of(network, rounded, near, max_cells // COARSE, (1.0, 1.0))
    grid = coarse
    if coarse.steps != (1, 1):
        weights = coarse.weights(coarse.arrays(rounded), _thinned(near), _thinned(last))
        grid = _Grid.of(network, rounded, near, max_cells, weights)
    arrays = grid.arrays(rounded)
    return [grid.count(arrays, near, last, threshold) for threshold in thresholds]


def _thinned(piece: Piece) -> Piece:
    """Return ``piece`` with about :data:`COARSE_SUMS` sums for each pair of nodes; the others are left out."""
    return {
        node: {target: (sums[:: _every(sums)], counts[:: _every(sums)]) for target, (sums, counts) in targets.items()}
        for node, targets in piece.items()
    }


def _every(sums: Ints) -> int:
    return max(len(sums) // COARSE_SUMS, 1)


def _split(pieces: list[Piece]) -> tuple[list[Piece], Piece, Piece]:
    """Return the pieces that are rounded, and the last two, which are not; an empty piece has one sum of 0."""
    *rounded, last = pieces
    end = max(node for targets in last.values() for node in targets)
    if not rounded:
        return [], last, {end: {end: _unit()}}
    near = rounded[-1]
    n_pairs = sum(len(sums) * len(last[u][end][0]) for targets in near.values() for u, (sums, _) in targets.items())
    if n_pairs <= MAX_LOOK_UPS:
        return rounded[:-1], near, last
    return rounded, {node: {node: _unit()} for node in last}, last


def _n_transforms(piece: Piece) -> int:
    """Return the number of transforms of a convolution with ``piece``: one for each node, and for each pair of them."""
    return len(piece) + sum(len(targets) for targets in piece.values()) + len({t for ts in piece.values() for t in ts})


def _unit() -> Sums:
    return np.zeros(1, dtype=np.int64), np.ones(1)


def _pieces(network: Network, max_sums: int) -> Iterator[Piece]:
    """Yield pieces from the start to the end with at most ``max_sums`` different sums each, but at least one node.

    A cut before ``node`` is passed by the edges from lower to higher numbers. It should have few targets, because a
    piece has sums for each pair of targets of two cuts.
    """
    first_source = [min((source for source, _ in links), default=network.n_nodes) for links in network.links[0]]
    change = [0] * (network.n_nodes + 1)
    for target, source in enumerate(first_source):
        if source < target:  # the cuts before the nodes source + 1 to target have this target
            change[source + 1] += 1
            change[target + 1] -= 1
    n_targets = np.cumsum(change).tolist()
    cut, end = [0], network.n_nodes - 1
    while cut != [end]:
        growing = [_Paths(network, node) for node in cut]
        piece: Piece = {}
        for node in range(min(cut) + 1, network.n_nodes):
            for paths in growing:
                paths.advance(node)
            if piece and sum(paths.size for paths in growing) > max_sums:
                break
            if not piece or node == end or n_targets[node - 1] >= n_targets[node] < n_targets[node + 1]:
                piece = {paths.first: paths.targets() for paths in growing}
        yield piece
        cut = sorted({node for targets in piece.values() for node in targets})


class _Paths:
    """The sums of the partial paths from the node ``first``, by the node that they have reached.

    ``size`` is the number of sums, before equal ones are merged.
    """

    def __init__(self, network: Network, first: int) -> None:
        self.network, self.first, self.size = network, first, 1
        self._before = network.least[0][first]
        self._reached: dict[int, list[Sums]] = {first: [_unit()]}
        self._next = first  # the first node that is reached

    def advance(self, stop: int) -> None:
        """Extend all paths until they reach the node ``stop`` or a later one."""
        while self._next < stop:
            sums, counts = self._merged(self._next)
            del self._reached[self._next]
            links = self.network.links[1][self._next]
            self.size += len(sums) * (len(links) - 1)
            for target, cost in links:
                self._reached.setdefault(target, []).append((sums + cost, counts))
            if not links:  # no path inside the limits: the end without a sum, because every path must reach it
                self._reached.setdefault(self.network.n_nodes - 1, []).append((sums[:0], counts[:0]))
            self._next = min(self._reached)

    def targets(self) -> dict[int, Sums]:
        """Return the merged sums of all nodes that are reached."""
        return {node: self._merged(node) for node in self._reached}

    def _merged(self, node: int) -> Sums:
        """Merge the sums of a node, without those that no path inside the limits contains."""
        parts = self._reached[node]
        sums, counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        after = self.network.least[1][node]
        rooms = [m - x - y for m, x, y in zip(self.network.limit, self._before, after, strict=True)]
        a, b = self.network.unpacked(sums)
        keep = (a <= rooms[0]) & (b <= rooms[1])
        merged = merge_equal(sums[keep], counts[keep])
        self.size += len(merged[0]) - len(sums)
        self._reached[node] = [merged]
        return merged


@dataclass(frozen=True)
class _Rounded:
    """The number of paths to a node with each sum on the grid, and the largest error of a number."""

    cells: Array
    error: float


class _Grid:
    """The grid of rounded sums, and the operations on it.

    A sum of cell ``i`` is ``i * step``, apart from ``error``, for each of the two costs. ``shape`` is the number of
    cells.
    """

    def __init__(self, network: Network, steps: Pair, shape: Pair, error: Pair) -> None:
        self.network, self.steps, self.shape, self.error = network, steps, shape, error

    @classmethod
    def of(cls, network: Network, rounded: list[Piece], near: Piece, max_cells: int, weights: Weights) -> "_Grid":
        """Return the finest grid for these pieces with at most ``max_cells`` cells and :data:`MAX_WORK`.

        The steps of the two costs, relative to their limits, are as 1 / ``weights``.
        """
        cells = min(max_cells, MAX_WORK // max(sum(map(_n_transforms, rounded[1:])), 1))
        # sums of the paths up to the last cut, which are often far below the limits
        reached = [network.most[0][node] for node in near]
        extent = [
            min(limit, max(parts)) for limit, parts in zip(network.limit, zip(*reached, strict=True), strict=True)
        ]
        steps = [1, 1]
        while math.prod(size // step + 1 for size, step in zip(extent, steps, strict=True)) > cells:
            axis = min((0, 1), key=lambda i: weights[i] * steps[i] / max(network.limit[i], 1))
            steps[axis] += 1 + steps[axis] // 20
        error = (len(rounded) * (steps[0] // 2), len(rounded) * (steps[1] // 2))
        n_rows, n_columns = ((size + e) // step + 1 for size, step, e in zip(extent, steps, error, strict=True))
        return cls(network, (steps[0], steps[1]), (n_rows, n_columns), error)

    def arrays(self, rounded: list[Piece]) -> dict[int, _Rounded]:
        """Return the rounded sums at the last nodes of ``rounded``."""
        arrays = {0: _Rounded(np.ones((1, 1)), 0.0)}
        for number, piece in enumerate(rounded):
            arrays = self.first(piece[0]) if number == 0 else self.convolved(arrays, piece)
        return arrays

    def weights(self, arrays: dict[int, _Rounded], near: Piece, last: Piece) -> Weights:
        """Return, for each cost, the approximate share of the paths inside the limits that is near its limit.

        The number of paths that a step makes uncertain is in proportion to it.
        """
        limit = self.network.limit
        inside, *below = (
            self._count(arrays, near, last, (round(limit[0] * first), round(limit[1] * second)), 0)
            for first, second in ((1.0, 1.0), (1 - NEAR, 1.0), (1.0, 1 - NEAR))
        )
        shares = [max(inside - part, 0.0) / max(inside, 1.0) for part in below]
        largest = max(*shares, 1e-9)
        return (max(shares[0], largest / MAX_RATIO), max(shares[1], largest / MAX_RATIO))

    def first(self, targets: dict[int, Sums]) -> dict[int, _Rounded]:
        """Return the rounded sums of the paths from the start."""
        return {node: _Rounded(self._array(sums, self.shape), 0.0) for node, sums in targets.items()}

    def _array(self, sums: Sums, shape: Pair) -> Array:
        rows, columns = self._cells(sums[0])
        inside = (rows < shape[0]) & (columns < shape[1])
        flat = np.bincount((rows * shape[1] + columns)[inside], sums[1][inside], minlength=shape[0] * shape[1])
        return flat.astype(float).reshape(shape)

    def _cells(self, sums: Ints) -> tuple[Ints, Ints]:
        rows, columns = (
            (cost + step // 2) // step for cost, step in zip(self.network.unpacked(sums), self.steps, strict=True)
        )
        return rows, columns

    def convolved(self, arrays: dict[int, _Rounded], piece: Piece) -> dict[int, _Rounded]:
        """Return the rounded sums at the targets of ``piece``, from those at its first nodes."""
        from scipy import fft  # here, because most spaces are counted without it

        cells = [self._cells(sums) for targets in piece.values() for sums, _ in targets.values()]
        ends = [max(int(part[axis].max(initial=0)) for part in cells) + 1 for axis in (0, 1)]
        extent = min(ends[0], self.shape[0]), min(ends[1], self.shape[1])
        # large enough that sums beyond the end do not come back at the start
        size = [fft.next_fast_len(n + m - 1, real=True) for n, m in zip(self.shape, extent, strict=True)]
        level_error = FFT_ERROR * math.log2(math.prod(size) + 1)
        spectra: dict[int, NDArray[np.complex128]] = {}
        errors: dict[int, float] = {}
        for node, targets in piece.items():
            before = arrays.pop(node)
            spectrum, norm = fft.rfft2(before.cells, size), float(np.linalg.norm(before.cells))
            for target, sums in targets.items():
                kernel = self._array(sums, extent)
                part = fft.rfft2(kernel, size)
                part *= spectrum
                spectra[target] = spectra[target] + part if target in spectra else part
                error = level_error * norm * float(np.linalg.norm(kernel)) + before.error * float(kernel.sum())
                errors[target] = errors.get(target, 0.0) + error
        rows, columns = self.shape
        result = {}
        for target in list(spectra):
            cells_of_target = fft.irfft2(spectra.pop(target), size)[:rows, :columns]
            result[target] = _Rounded(np.maximum(cells_of_target, 0.0), errors[target])
        return result

    def count(self, arrays: dict[int, _Rounded], near: Piece, last: Piece, threshold: int) -> Interval:
        """Return bounds of the number of paths: those in ``arrays``, then ``near``, then ``last``."""
        slack = 0.0
        limit = (threshold, self.network.limit[1])
        for node, targets in near.items():
            before = arrays[node]
            for target, sums in targets.items():
                (following,) = last[target].values()
                slack += before.error * before.cells.size * float(sums[1].sum()) * float(following[1].sum())
        low, high = (self._count(arrays, near, last, limit, sign) for sign in (-1, 1))
        if self.error == (0, 0) and slack == 0 and high < 2**53:
            return Interval(round(low), round(low), round(low))
        low, high = max(low - slack, 0) * (1 - FLOAT_ERROR), (high + slack) * (1 + FLOAT_ERROR)
        return Interval(math.floor(low), round((low + high) / 2), math.ceil(high))

    def _count(self, arrays: dict[int, _Rounded], near: Piece, last: Piece, limit: Pair, sign: int) -> float:
        """Return the number of paths within ``limit``, minus (``sign`` -1) or plus the error of the grid."""
        total = 0.0
        for node, targets in near.items():
            below = np.pad(arrays[node].cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
            for target, sums in targets.items():
                (following,) = last[target].values()
                total += self._below(below, limit, sums, following, sign)
        return total

    def _below(self, below: Array, limit: Pair, sums: Sums, following: Sums, sign: int) -> float:
        """Return the number of paths within the limits minus (``sign`` -1) or plus the error of the grid."""
        steps, errors, unpacked = self.steps, self.error, self.network.unpacked
        total, n_following = 0.0, max(len(following[0]), 1)
        rooms = [m + sign * e - part for m, e, part in zip(limit, errors, unpacked(sums[0]), strict=True)]
        costs = unpacked(following[0])
        for first in range(0, len(sums[0]), max(CHUNK // n_following, 1)):
            chunk = slice(first, first + max(CHUNK // n_following, 1))
            rows, columns = (
                np.clip((room[chunk, None] - cost) // step + 1, 0, n - 1)
                for room, cost, step, n in zip(rooms, costs, steps, below.shape, strict=True)
            )
            total += float(sums[1][chunk] @ (below[rows, columns] @ following[1]))
        return total
