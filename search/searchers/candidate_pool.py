"""Candidates: architectures inside a budget by the thousand, as codes."""

import itertools
import random
from functools import cached_property

import numpy as np

from ...results.database.records import History
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.graph import Node
from ...spaces.constrained.indexing import path_at, walk
from ...spaces.constrained.sampling import Draw
from ...spaces.constrained.vectorized import Batch, Codes
from ...spaces.search_space.space import Decisions

PLAIN = 500_000  # plain draws from the whole space, at most
POOL = 20_000  # codes kept of those that fit
FEW = 2_000  # codes kept where plain draws hardly ever fit
ATTEMPTS = 20  # draws from the table for each code of the pool; in buckets some overshoot


class Candidates:
    """Codes of what fits ``sieve``: drawn, or varied from one that is good. Rows are as long as the longest path."""

    def __init__(self, sieve: ConstrainedSpace) -> None:
        self.sieve = sieve
        self._draws = Draw(sieve)
        self._known: dict[str, bytes] = {}  # fingerprint -> code
        self._named: dict[bytes, str] = {}  # and back

    @property
    def batch(self) -> Batch:
        """What reads the codes."""
        return self._draws.batch

    def draw(self, n: int, rng: random.Random) -> Codes:
        """Up to ``n`` different codes of what fits, in an order of chance."""
        return self._pool[rng.sample(range(len(self._pool)), min(n, len(self._pool)))]

    def around(self, code: Codes, rng: random.Random) -> Codes:
        """All that fits and differs from ``code`` in one edge; what follows stays where it still can."""
        found, node, row = list[list[int]](), 0, code.tolist()
        for step, taken in enumerate(code[code >= 0].tolist()):
            begun = row[:step]
            found += [
                self._completed([*begun, way], self._targets[self._starts[node] + way], row, rng)
                for way in range(self._ways[node])
                if way != taken
            ]
            node = self._targets[self._starts[node] + taken]
        codes = np.array(found, dtype=np.int32).reshape(len(found), self._steps)
        return _different(codes[self.batch.fits(codes)]) if found else codes

    def code(self, fingerprint: str, choices: Decisions) -> Codes:
        """The code of an architecture that is given by its decisions."""
        return np.frombuffer(self._bytes(fingerprint, choices), dtype=np.int32)

    def untried(self, codes: Codes, history: History) -> Codes:
        """The codes of which ``history`` has no trial."""
        tried = history.fingerprints
        if not tried <= self._known.keys():
            for trial in history:
                self._bytes(trial.fingerprint, trial.choices)
        return codes[[self._named.get(code.tobytes()) not in tried for code in codes]]

    def _bytes(self, fingerprint: str, choices: Decisions) -> bytes:
        if fingerprint not in self._known:
            path = self.sieve.graph.path(self.sieve.space.architecture(choices))
            assert path is not None, "a trial of this run is a point of its space"
            found = self._known[fingerprint] = self._row(self.batch.code(path)).tobytes()
            self._named[found] = fingerprint
        return self._known[fingerprint]

    def architecture(self, code: Codes) -> Architecture:
        """The architecture that a code stands for."""
        return self.sieve.graph.architecture(self.batch.path(code))

    @cached_property
    def _pool(self) -> Codes:
        """Codes drawn once, the same in every process: uniform over what fits, or where draws find nothing walked."""
        if self._draws.plain:
            codes = self.batch.draw(int(min(PLAIN, 1.1 * POOL / self._draws.share)), np.random.default_rng(0))
            return _different(self._wide(codes[self.batch.fits(codes)][:POOL]))
        rng, table = random.Random(0), self._draws.from_table
        attempts = (table.attempt(rng) for _ in range(ATTEMPTS * FEW if table.cumulated else 0))
        paths = list(itertools.islice((path for path in attempts if path is not None), FEW))
        if not paths:
            paths = [path_at(self.sieve, index) for index, _ in itertools.islice(walk(self.sieve), FEW)]
        return _different(np.stack([self._row(self.batch.code(path)) for path in paths]))

    def _completed(self, numbers: list[int], node: int, row: list[int], rng: random.Random) -> list[int]:
        """``numbers``, which lead to ``node``, carried on to an end as ``row`` goes, and by chance where it cannot."""
        starts, ways, targets = self._starts, self._ways, self._targets
        while node >= 0:
            number, count = row[len(numbers)], ways[node]
            if not 0 <= number < count:
                number = rng.randrange(count)
            numbers.append(number)
            node = targets[starts[node] + number]
        return numbers + [-1] * (self._steps - len(numbers))

    @cached_property
    def _starts(self) -> list[int]:
        """Where the ways that lead on from each node begin among all of them."""
        found: list[int] = self.batch.first.tolist()
        return found

    @cached_property
    def _ways(self) -> list[int]:
        """How many ways lead on from each node, the way out included."""
        return [end - start for start, end in zip(self._starts, [*self._starts[1:], len(self._targets)], strict=True)]

    @cached_property
    def _targets(self) -> list[int]:
        found: list[int] = self.batch.targets.tolist()
        return found

    @cached_property
    def _steps(self) -> int:
        """Steps of the longest path, the way out included."""
        longest: dict[Node, int] = {}
        for node in self.sieve.graph.order:
            longest[node] = 1 + max((longest[edge.target] for edge in node.edges), default=0)
        return longest[self.sieve.graph.start]

    def _row(self, numbers: list[int]) -> Codes:
        return np.array(numbers + [-1] * (self._steps - len(numbers)), dtype=np.int32)

    def _wide(self, codes: Codes) -> Codes:
        return np.pad(codes, ((0, 0), (0, self._steps - codes.shape[1])), constant_values=-1)


def _different(codes: Codes) -> Codes:
    """The codes that differ, in the order in which they first occur: sorted, equals would favour the first options."""
    _, first = np.unique(codes, axis=0, return_index=True)
    return codes[np.sort(first)]
