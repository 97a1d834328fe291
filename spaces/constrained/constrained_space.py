"""The sieve: a space seen through a budget. What fits, how many, which is cheapest, draw one, walk them all."""

import random
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..architectures.architecture import Architecture
from ..architectures.budget import LATENCY, Budget, spelled
from ..architectures.cost import DEFAULT_BATCH, STATES, Cost, cost
from ..blocks.layers import FLOAT_BYTES
from ..search_space.space import Space
from .graph import Clock, Edge, Graph, Node, Vector

if TYPE_CHECKING:
    from .cost_tables import Ints, Ledger, Outlook
    from .sampling import Count, Draw

COSTS = ("params", "macs", "activations", "memory_bytes")
_AXES = (*COSTS, LATENCY)  # the places of a vector; the last one only with a clock


class BudgetError(ValueError):
    """No architecture of the space lies inside the budget."""


class ConstrainedSpace:
    """The architectures of ``space`` that ``budget`` allows; memory is predicted at ``batch_size`` pictures.

    Every architecture of the space has a number, its ``index``, from 0 to ``size - 1``: its place in the walk over the
    space's graph. It is the same in every process and on every machine, and does not depend on the budget.

    The budget's ``latency_ms`` is sieved by what ``clock`` predicts, and not at all without a clock.
    """

    def __init__(
        self, space: Space, budget: Budget | None = None, batch_size: int = DEFAULT_BATCH, clock: Clock | None = None
    ) -> None:
        self.space = space
        self.budget = budget or Budget()
        self.batch_size = batch_size
        self.clock = clock
        self.graph = Graph(space, clock)
        timed = clock is not None and self.budget.latency_ms is not None
        # latency first: the tables of ways see to the first two limits
        self.limits = {**({LATENCY: (0, self.budget.latency_ns)} if timed else {}), **self.budget.limits()}
        self.limited = tuple(self.limits)
        self._draws: dict[str, Draw] = {}
        self._places = [_AXES.index(name) for name in self.limited]
        self._lows = [low for low, _ in self.limits.values()]
        self._highs = [float("inf") if high is None else high for _, high in self.limits.values()]

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures in the space, budget or not."""
        return self._below[self.graph.start]

    @cached_property
    def _below(self) -> dict[Node, int]:
        """Number of ways to go on from each node."""
        below: dict[Node, int] = {}
        for node in self.graph.order:
            below[node] = (node.last is not None) + sum(below[edge.target] for edge in node.edges)
        return below

    def below(self, node: Node) -> int:
        """Number of ways to finish from ``node``, budget or not."""
        return self._below[node]

    @cached_property
    def _least(self) -> dict[Node, Vector]:
        """The least of each cost, apart from the others, that it takes to finish from each node."""
        return self._extremes(min)

    @cached_property
    def _most(self) -> dict[Node, Vector]:
        return self._extremes(max)

    def _extremes(self, choose: Callable[..., int]) -> dict[Node, Vector]:
        found: dict[Node, Vector] = {}
        for node in self.graph.order:
            ways = [self._priced(node.last)] if node.last is not None else []
            ways += [_add(self._priced(edge.cost), found[edge.target]) for edge in node.edges]
            found[node] = tuple(map(choose, zip(*ways, strict=True)))
        return found

    def _priced(self, vector: Vector) -> Vector:
        """(params, macs, activations, kept bytes, ...) -> (params, macs, activations, memory bytes, ...)."""
        params, macs, activations, kept, *predicted = vector
        return params, macs, activations, STATES * FLOAT_BYTES * params + self.batch_size * kept, *predicted

    def cheapest(self, by: str = "params") -> tuple[Architecture, Cost]:
        """The architecture of the whole space with the least ``by``, budget or not."""
        return self._extreme(by, self._least, min)

    def dearest(self, by: str = "params") -> tuple[Architecture, Cost]:
        """The architecture of the whole space with the most ``by``, budget or not."""
        return self._extreme(by, self._most, max)

    def _extreme(self, by: str, table: dict[Node, Vector], choose: Callable[..., Any]) -> tuple[Architecture, Cost]:
        place = _AXES.index(by)
        node = self.graph.start
        path: list[Edge] = []
        while True:
            ways: list[tuple[int, Edge | None]] = [] if node.last is None else [(self._priced(node.last)[place], None)]
            ways += [(self._priced(e.cost)[place] + table[e.target][place], e) for e in node.edges]
            _, edge = choose(ways, key=lambda way: way[0])
            if edge is None:
                architecture = self.graph.architecture(path)
                return architecture, cost(architecture, self.batch_size)
            path.append(edge)
            node = edge.target

    def check(self) -> None:
        """Raise :class:`BudgetError` where nothing fits, with the cheapest architecture and the nearest budget."""
        first = self._priced(self.graph.first_cost)
        for name, (low, high) in self.limits.items():
            least, most = (
                first[_AXES.index(name)] + table[self.graph.start][_AXES.index(name)]
                for table in (self._least, self._most)
            )
            if high is not None and least > high:
                found, price = self.cheapest(name)
                raise BudgetError(
                    f"nothing in the space {self.space.name!r} fits {spelled(name, high, '<=')}: the cheapest "
                    f"architecture has {spelled(name, least)} ({found}; {self._spelled(price)}); {self._cure()}"
                )
            if most < low:
                raise BudgetError(
                    f"nothing in the space {self.space.name!r} fits {name} >= {low:,}: the dearest architecture has "
                    f"{name} {most:,} ({self.dearest(name)[0]}); lower min_{name} or add larger options"
                )
        from .feasibility import something_fits

        if not something_fits(self):
            raise BudgetError(
                f"nothing in the space {self.space.name!r} fits {self.budget}: each limit alone can be met, all "
                f"together cannot; the cheapest by params is {self._spelled(self.cheapest('params')[1])}, by macs "
                f"{self._spelled(self.cheapest('macs')[1])}; {self._cure()}"
            )

    def _cure(self) -> str:
        from .feasibility import nearest_budget

        nearest = " and ".join(spelled(name, value, "=", "d") for name, value in nearest_budget(self).items())
        return f"the nearest budget that something fits is {nearest}; raise the limits or add smaller options"

    @staticmethod
    def _spelled(price: Cost) -> str:
        return f"params {price.params:,}, macs {price.macs:,}"

    def allows(self, architecture: Architecture) -> bool:
        """Whether ``architecture`` lies inside the budget, its latency as predicted."""
        in_time = LATENCY not in self.limits or self.latency_ns(architecture) <= self._highs[0]
        return self.budget.allows(cost(architecture, self.batch_size)) and in_time

    def latency_ns(self, architecture: Architecture) -> int:
        """The predicted latency of ``architecture`` in nanoseconds; 0 without a clock."""
        if self.clock is None:
            return 0
        walked = architecture.walk()
        return self.clock.start_ns + sum(self.clock.nanoseconds(layers, shape) for _, shape, layers, _ in walked)

    def walk(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Architecture]]:
        """(index, architecture) of all that fits, in the order of the indices, from ``start`` to before ``stop``.

        Subtrees in which nothing can fit are cut off whole. Workers that share out the indices from 0 to ``size`` need
        no coordinator, and one that knows its last index goes on behind it.
        """
        for index, path in self._walk(start):
            if stop is not None and index >= stop:
                return
            yield index, self.graph.architecture(path)

    def _walk(self, first: int) -> Iterator[tuple[int, list[Edge]]]:
        spent = self._only(self.graph.first_cost)
        stack: list[tuple[Node, int, tuple[int, ...], list[Edge]]] = [(self.graph.start, 0, spent, [])]
        while stack:
            node, index, spent, path = stack.pop()
            if index + self._below[node] <= first or not self._may_fit(node, spent):
                continue
            if node.last is not None:
                if index >= first and self._fits(_add(spent, self._only(node.last))):
                    yield index, path
                index += 1
            ways = []
            for edge in node.edges:
                ways.append((edge.target, index, _add(spent, self._only(edge.cost)), [*path, edge]))
                index += self._below[edge.target]
            stack += reversed(ways)

    def _only(self, vector: Vector) -> tuple[int, ...]:
        """The limited costs of ``vector``."""
        priced = self._priced(vector)
        return tuple(priced[place] for place in self._places)

    def _may_fit(self, node: Node, spent: tuple[int, ...]) -> bool:
        least, most = self._least[node], self._most[node]
        return all(
            spent[i] + least[place] <= self._highs[i] and spent[i] + most[place] >= self._lows[i]
            for i, place in enumerate(self._places)
        ) and (self._outlook is None or self._outlook.may_fit(node, spent))

    @cached_property
    def _outlook(self) -> "Outlook | None":
        """Between lower and upper limits the extremes of each cost cut off too little: two hardly ever meet."""
        from .cost_tables import Outlook

        return Outlook(self.ledger(self.limited)) if any(self._lows) else None

    def _fits(self, spent: tuple[int, ...]) -> bool:
        return all(low <= s <= high for s, low, high in zip(spent, self._lows, self._highs, strict=True))

    def architecture(self, index: int) -> Architecture:
        """The architecture with that index in the space, whether it fits the budget or not."""
        return self.graph.architecture(self.path(index))

    def path(self, index: int) -> list[Edge]:
        """The path of the architecture with that index."""
        if not 0 <= index < self.size:
            raise ValueError(f"an index of this space lies in [0, {self.size - 1}], but got {index}")
        node = self.graph.start
        path: list[Edge] = []
        while True:
            if node.last is not None:
                if index == 0:
                    return path
                index -= 1
            for edge in node.edges:
                if index < self._below[edge.target]:
                    break
                index -= self._below[edge.target]
            path.append(edge)
            node = edge.target

    def fits_path(self, path: list[Edge]) -> bool:
        """Whether the architecture that ``path`` spells lies inside the budget."""
        end = path[-1].target if path else self.graph.start
        costs = [self.graph.first_cost, *(edge.cost for edge in path), end.last or ()]
        return self._fits(self._only(tuple(map(sum, zip(*costs, strict=True)))))

    def index(self, architecture: Architecture) -> int:
        """The index of ``architecture``; a ``ValueError`` where it is no point of the space."""
        path = self.graph.path(architecture)
        if path is None:
            raise ValueError(f"{architecture} is no point of the space {self.space.name!r}")
        node, index = self.graph.start, 0
        for step in path:
            index += node.last is not None
            for edge in node.edges:
                if edge is step:
                    break
                index += self._below[edge.target]
            node = step.target
        return index

    def count(self) -> "Count":
        """How many architectures fit; worked out once."""
        return self._count

    @cached_property
    def _count(self) -> "Count":
        from .sampling import count

        return count(self)

    def sample(self, rng: random.Random, by: str = "uniform") -> Architecture:
        """One architecture, uniform over all that fits, or even in "log-macs"; BudgetError where nothing does."""
        from .sampling import Draw

        if by not in self._draws:
            self._draws[by] = Draw(self, by)
        return self._draws[by].one(rng)

    def ledger(self, names: tuple[str, ...], *, bounded: bool = True) -> "Ledger":
        """The graph's costs as arrays, for the costs ``names``; without their limits where not ``bounded``."""
        import numpy as np

        from .cost_tables import Ledger

        places, limits = [_AXES.index(name) for name in names], self.limits if bounded else {}
        bounds = [limits.get(name, (0, None)) for name in names]

        def only(vector: Vector) -> "Ints":
            return np.array([self._priced(vector)[place] for place in places], dtype=np.int64)

        order = self.graph.order
        return Ledger(
            order,
            {node: np.array([only(edge.cost) for edge in node.edges]) for node in order},
            {node: None if node.last is None else only(node.last) for node in order},
            only(self.graph.first_cost),
            [low for low, _ in bounds],
            [float("inf") if high is None else high for _, high in bounds],
        )


def _add(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))
