"""The candidate pool: thousands of architectures inside a budget, as codes.

A code is a row of edge numbers: the path of one architecture through the graph of the space (see ``Codes``).
"""

import itertools
import random
from functools import cached_property

import numpy as np

from ...results.database.records import History
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.graph import Edge, Node
from ...spaces.constrained.indexing import walk
from ...spaces.constrained.sampling import Sampler
from ...spaces.constrained.vectorized import Codes, GraphArrays
from ...spaces.search_space.space import Decisions

MAX_REJECTION_DRAWS = 500_000  # draws from the whole space, before those outside the budget are rejected
POOL_SIZE = 20_000  # feasible codes in the pool
SMALL_POOL_SIZE = 2_000  # feasible codes in the pool if draws from the whole space almost never fit
MAX_TABLE_DRAWS = 20  # attempts for each code of the small pool: a bucket count table also draws infeasible paths


class CandidatePool:
    """Codes of feasible architectures: random ones, or the neighbours of one. Rows are as long as the longest path."""

    def __init__(self, constrained: ConstrainedSpace) -> None:
        self.constrained = constrained
        self._draws = Sampler(constrained)
        # bytes, because arrays cannot be keys of a dictionary
        self._code_of: dict[str, bytes] = {}  # fingerprint -> code
        self._fingerprint_of: dict[bytes, str] = {}  # code -> fingerprint

    @property
    def batch(self) -> GraphArrays:
        """The vectorized space that the codes belong to."""
        return self._draws.batch

    def draw(self, n: int, rng: random.Random) -> Codes:
        """Draw up to ``n`` different codes from the pool, in random order; returns (n, steps)."""
        return self._pool[rng.sample(range(len(self._pool)), min(n, len(self._pool)))]

    def neighbours(self, code: Codes, rng: random.Random) -> Codes:
        """Return all feasible codes that differ from ``code`` (steps,) in one edge; returns (n, steps).

        The edges after the changed one stay the same where they still exist; the others are drawn by ``rng``.
        """
        rows, node, row = list[list[int]](), 0, code.tolist()
        for step, current_edge in enumerate(code[code >= 0].tolist()):
            prefix = row[:step]
            rows += [
                self._complete([*prefix, edge], self._targets[self._starts[node] + edge], row, rng)
                for edge in range(self._n_edges[node])
                if edge != current_edge
            ]
            node = self._targets[self._starts[node] + current_edge]
        codes = np.array(rows, dtype=np.int32).reshape(len(rows), self._n_steps)
        return _unique(codes[self.batch.fits(codes)]) if rows else codes

    def code(self, fingerprint: str, choices: Decisions) -> Codes:
        """Return the code of the architecture with these decisions."""
        return np.frombuffer(self._bytes(fingerprint, choices), dtype=np.int32)

    def unexplored(self, codes: Codes, history: History) -> Codes:
        """Return the ``codes`` (n, steps) that have no trial in ``history``."""
        explored = history.fingerprints
        # the code of a trial is computed once; later calls only look it up
        if not explored <= self._code_of.keys():
            for trial in history:
                self._bytes(trial.fingerprint, trial.choices)
        return codes[[self._fingerprint_of.get(code.tobytes()) not in explored for code in codes]]

    def _bytes(self, fingerprint: str, choices: Decisions) -> bytes:
        if fingerprint not in self._code_of:
            path = self._path(self.constrained.space.architecture(choices))
            code = self._code_of[fingerprint] = self._row(self.batch.code(path)).tobytes()
            self._fingerprint_of[code] = fingerprint
        return self._code_of[fingerprint]

    def _path(self, architecture: Architecture) -> list[Edge]:
        path = self.constrained.graph.path(architecture)
        assert path is not None, "a trial of this run is a point of its space, within the limit of RAM"
        return path

    def has(self, architecture: Architecture) -> bool:
        """Return whether ``architecture`` has a code: it is in the space, and within the limit of RAM."""
        return self.constrained.graph.path(architecture) is not None

    def architecture(self, code: Codes) -> Architecture:
        """Return the architecture of a code."""
        return self.constrained.graph.architecture(self.batch.path(code))

    @cached_property
    def _pool(self) -> Codes:
        """The codes of the pool: a uniform sample of the feasible ones, or the first of a walk if draws find none.

        The seed is fixed, so that every process, and a resumed run, has the same pool.
        """
        if self._draws.plain:
            # 10 % more draws than needed on average, because the feasible share is an estimate
            n = int(min(MAX_REJECTION_DRAWS, 1.1 * POOL_SIZE / self._draws.share))
            codes = self.batch.draw(n, np.random.default_rng(0))
            return _unique(self._padded(codes[self.batch.fits(codes)][:POOL_SIZE]))
        rng, table = random.Random(0), self._draws.from_table
        # the table is empty if no architecture is inside its limits: then no attempt can succeed
        attempts = (
            table.attempt(rng) for _ in range(MAX_TABLE_DRAWS * SMALL_POOL_SIZE if table.cumulative_weights else 0)
        )
        paths = list(itertools.islice((path for path in attempts if path is not None), SMALL_POOL_SIZE))
        if not paths:
            paths = [
                self._path(architecture)
                for _, architecture in itertools.islice(walk(self.constrained), SMALL_POOL_SIZE)
            ]
        return _unique(np.stack([self._row(self.batch.code(path)) for path in paths]))

    def _complete(self, numbers: list[int], node: int, row: list[int], rng: random.Random) -> list[int]:
        """Extend ``numbers``, a path to ``node``, to a complete path: with the edges of ``row``, else random ones."""
        starts, n_edges, targets = self._starts, self._n_edges, self._targets
        while node >= 0:
            number, count = row[len(numbers)], n_edges[node]
            if not 0 <= number < count:
                number = rng.randrange(count)
            numbers.append(number)
            node = targets[starts[node] + number]
        return numbers + [-1] * (self._n_steps - len(numbers))

    @cached_property
    def _starts(self) -> list[int]:
        """The position of each node's first edge among all edges; a list, because single look-ups are faster in it."""
        starts: list[int] = self.batch.first.tolist()
        return starts

    @cached_property
    def _n_edges(self) -> list[int]:
        """The number of edges of each node, including the one that ends the path."""
        return [end - start for start, end in zip(self._starts, [*self._starts[1:], len(self._targets)], strict=True)]

    @cached_property
    def _targets(self) -> list[int]:
        """The node that each edge leads to; -1 if the edge ends the path."""
        targets: list[int] = self.batch.targets.tolist()
        return targets

    @cached_property
    def _n_steps(self) -> int:
        """The number of edges of the longest path, including the one that ends it."""
        longest: dict[Node, int] = {}
        for node in self.constrained.graph.order:  # the targets of a node come before it
            longest[node] = 1 + max((longest[edge.target] for edge in node.edges), default=0)
        return longest[self.constrained.graph.start]

    def _row(self, numbers: list[int]) -> Codes:
        return np.array(numbers + [-1] * (self._n_steps - len(numbers)), dtype=np.int32)

    def _padded(self, codes: Codes) -> Codes:
        return np.pad(codes, ((0, 0), (0, self._n_steps - codes.shape[1])), constant_values=-1)


def _unique(codes: Codes) -> Codes:
    """Drop repeated codes and keep the order: the pool is truncated, and sorted codes would favour the first options.

    ``np.unique`` alone would sort the codes.
    """
    _, first = np.unique(codes, axis=0, return_index=True)
    return codes[np.sort(first)]
