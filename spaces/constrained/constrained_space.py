"""A space under a budget: its graph, its limits, its size, and whether an architecture fits."""

from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..architectures.architecture import Architecture
from ..architectures.budget import LATENCY, Budget
from ..blocks.cost import DEFAULT_BATCH, FLOAT_BYTES, STATES, Cost
from ..search_space.space import Space
from .graph import Edge, Graph, LatencyModel, Node

COSTS = ("params", "macs", "activations", "memory_bytes")
AXES = (*COSTS, LATENCY)  # the axes of a cost vector; latency is 0 without a latency model

Vector = tuple[int, ...]  # one number for each axis

P = ParamSpec("P")
R = TypeVar("R")


class BudgetError(ValueError):
    """No architecture of the space lies inside the budget."""


class ConstrainedSpace:
    """The architectures of ``space`` that ``budget`` allows; memory is predicted at ``batch_size`` images.

    Every architecture of the space has an index from 0 to ``size - 1``: its position in the walk over the space's
    graph. It is the same in every process and on every machine, and does not depend on the budget.

    The budget's ``latency_ms`` limits what ``latency_model`` predicts; without a model it is ignored here.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget | None = None,
        batch_size: int = DEFAULT_BATCH,
        latency_model: LatencyModel | None = None,
    ) -> None:
        self.space = space
        self.budget = budget or Budget()
        self.batch_size = batch_size
        self.latency_model = latency_model
        self.graph = Graph(space, latency_model)
        predicted = latency_model is not None and self.budget.latency_ms is not None
        # latency first: count tables hold the first two limits alone, and latency cuts off the most
        self.limits = {**({LATENCY: (0, self.budget.latency_ns)} if predicted else {}), **self.budget.limits()}
        self.limited = tuple(self.limits)
        self.axes = [AXES.index(name) for name in self.limited]
        self.lows = [low for low, _ in self.limits.values()]
        self.highs = [float("inf") if high is None else high for _, high in self.limits.values()]
        self._cache: dict[tuple[object, ...], Any] = {}

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures in the space, whatever the budget."""
        return self.completions[self.graph.start]

    @cached_property
    def completions(self) -> dict[Node, int]:
        """Number of paths from each node to an end, whatever the budget."""
        found: dict[Node, int] = {}
        for node in self.graph.order:
            found[node] = (node.last is not None) + sum(found[edge.target] for edge in node.edges)
        return found

    @cached_property
    def least(self) -> dict[Node, Vector]:
        """The least of each cost, taken separately, from each node to an end."""
        return self._extremes(min)

    @cached_property
    def most(self) -> dict[Node, Vector]:
        """The most of each cost, taken separately, from each node to an end."""
        return self._extremes(max)

    def _extremes(self, choose: Callable[..., int]) -> dict[Node, Vector]:
        found: dict[Node, Vector] = {}
        for node in self.graph.order:
            rows = [self.cost_vector(node.last, node.last_latency_ns)] if node.last is not None else []
            rows += [add(self.cost_vector(edge.cost, edge.latency_ns), found[edge.target]) for edge in node.edges]
            found[node] = tuple(map(choose, zip(*rows, strict=True)))
        return found

    def cost_vector(self, cost: Cost, latency_ns: int) -> Vector:
        """The numbers of a cost in the order of :data:`AXES`, its memory at the batch size of this space."""
        params, macs, activations, kept_bytes, _ = cost
        memory_bytes = STATES * FLOAT_BYTES * params + self.batch_size * kept_bytes
        return params, macs, activations, memory_bytes, latency_ns

    def limited_costs(self, cost: Cost, latency_ns: int) -> Vector:
        """The numbers of a cost that the budget limits, in the order of ``limited``."""
        vector = self.cost_vector(cost, latency_ns)
        return tuple(vector[axis] for axis in self.axes)

    def fits(self, total: Vector) -> bool:
        """Whether a whole path with the limited costs ``total`` lies inside the budget."""
        return all(low <= value <= high for value, low, high in zip(total, self.lows, self.highs, strict=True))

    def fits_path(self, path: list[Edge]) -> bool:
        """Whether the architecture of ``path`` lies inside the budget."""
        end = path[-1].target if path else self.graph.start
        assert end.last is not None, "a path ends where a network may end"
        costs = (self.graph.first_cost, *(edge.cost for edge in path), end.last)
        params, macs, activations, kept_bytes, _ = map(sum, zip(*costs, strict=True))
        latency_ns = self.graph.first_latency_ns + sum(edge.latency_ns for edge in path) + end.last_latency_ns
        return self.fits(self.limited_costs(Cost(params, macs, activations, kept_bytes), latency_ns))

    def allows(self, architecture: Architecture) -> bool:
        """Whether ``architecture`` lies inside the budget, with its predicted latency."""
        in_time = LATENCY not in self.limits or self.latency_ns(architecture) <= self.highs[0]
        return self.budget.allows(architecture.cost.at(self.batch_size)) and in_time

    def latency_ns(self, architecture: Architecture) -> int:
        """The predicted latency of ``architecture`` in nanoseconds; 0 without a latency model."""
        model = self.latency_model
        if model is None:
            return 0
        return model.start_ns + sum(model.nanoseconds(placed.layers, placed.in_shape) for placed in architecture.walk())


def add(a: Vector, b: Vector) -> Vector:
    """The sum of two cost vectors."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def cached_per_space(
    function: Callable[Concatenate[ConstrainedSpace, P], R],
) -> Callable[Concatenate[ConstrainedSpace, P], R]:
    """Compute ``function`` once for each constrained space and further arguments, and keep the result on the space."""
    name = (function.__module__, function.__qualname__)

    @wraps(function)
    def cached(constrained: ConstrainedSpace, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (*name, *args, *kwargs.items())
        if key not in constrained._cache:
            constrained._cache[key] = function(constrained, *args, **kwargs)
        result: R = constrained._cache[key]
        return result

    return cached
