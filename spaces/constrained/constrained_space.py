"""The constrained space: a search space under a budget, with its graph, limits, size and feasibility test."""

from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..architectures.architecture import Architecture
from ..architectures.budget import LATENCY, Budget
from ..blocks.cost import DEFAULT_BATCH, FLOAT_BYTES, TENSORS_PER_PARAM, Cost
from ..search_space.space import Space
from .graph import Edge, Graph, LatencyModel, Node

COSTS = ("params", "macs", "activations", "memory_bytes")
AXES = (*COSTS, LATENCY)  # the axes of a cost vector; latency is 0 without a latency model

Vector = tuple[int, ...]  # one number for each axis

P = ParamSpec("P")
R = TypeVar("R")


class BudgetError(ValueError):
    """Raised if no architecture of the space is inside the budget."""


class ConstrainedSpace:
    """The architectures of ``space`` that ``budget`` allows; memory is predicted at ``batch_size`` images.

    Every architecture of the space has an index from 0 to ``size - 1``: its position in the walk over the graph of the
    space. The index is the same in every process and on every machine, and does not depend on the budget.

    ``latency_ms`` of the budget limits the latency that ``latency_model`` predicts; without a model it is ignored here.
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
        limits_latency = latency_model is not None and self.budget.latency_ms is not None
        # latency first: bucket tables use only the first two limits, and latency excludes the most architectures
        self.limits = {**({LATENCY: (0, self.budget.latency_ns)} if limits_latency else {}), **self.budget.limits()}
        self.limited = tuple(self.limits)
        self.axes = [AXES.index(name) for name in self.limited]
        self.lows = [low for low, _ in self.limits.values()]
        self.highs = [float("inf") if high is None else high for _, high in self.limits.values()]
        self._cache: dict[tuple[object, ...], Any] = {}

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures in the space, inside and outside the budget."""
        return self.completions[self.graph.start]

    @cached_property
    def completions(self) -> dict[Node, int]:
        """Number of paths from each node to an end, inside and outside the budget."""
        counts: dict[Node, int] = {}
        for node in self.graph.order:  # targets come before, so their counts are known
            counts[node] = (node.last is not None) + sum(counts[edge.target] for edge in node.edges)
        return counts

    @cached_property
    def min_costs(self) -> dict[Node, Vector]:
        """The minimum of each cost, taken separately, over all paths from each node to an end."""
        return self._extreme_costs(min)

    @cached_property
    def max_costs(self) -> dict[Node, Vector]:
        """The maximum of each cost, taken separately, over all paths from each node to an end."""
        return self._extreme_costs(max)

    def _extreme_costs(self, choose: Callable[..., int]) -> dict[Node, Vector]:
        extremes: dict[Node, Vector] = {}
        for node in self.graph.order:
            rows = [self.cost_vector(node.last, node.head_latency_ns)] if node.last is not None else []
            rows += [add(self.cost_vector(edge.cost, edge.latency_ns), extremes[edge.target]) for edge in node.edges]
            extremes[node] = tuple(map(choose, zip(*rows, strict=True)))
        return extremes

    def cost_vector(self, cost: Cost, latency_ns: int) -> Vector:
        """Return the costs in the order of :data:`AXES`; memory is predicted at the batch size of this space."""
        params, macs, activations, kept_bytes, _ = cost
        memory_bytes = TENSORS_PER_PARAM * FLOAT_BYTES * params + self.batch_size * kept_bytes
        return params, macs, activations, memory_bytes, latency_ns

    def limited_costs(self, cost: Cost, latency_ns: int) -> Vector:
        """Return only the costs that the budget limits, in the order of ``limited``."""
        vector = self.cost_vector(cost, latency_ns)
        return tuple(vector[axis] for axis in self.axes)

    def fits(self, total: Vector) -> bool:
        """Return whether a complete path with the limited costs ``total`` is inside the budget."""
        return all(low <= value <= high for value, low, high in zip(total, self.lows, self.highs, strict=True))

    def fits_path(self, path: list[Edge]) -> bool:
        """Return whether the architecture of ``path`` is inside the budget."""
        end = path[-1].target if path else self.graph.start
        assert end.last is not None, "a path ends at a node where the network may end"
        costs = (self.graph.base_cost, *(edge.cost for edge in path), end.last)
        params, macs, activations, kept_bytes, _ = map(sum, zip(*costs, strict=True))
        latency_ns = self.graph.base_latency_ns + sum(edge.latency_ns for edge in path) + end.head_latency_ns
        return self.fits(self.limited_costs(Cost(params, macs, activations, kept_bytes), latency_ns))

    def allows(self, architecture: Architecture) -> bool:
        """Return whether ``architecture`` is inside the budget, predicted latency included."""
        # latency is always the first limit
        fast_enough = LATENCY not in self.limits or self.latency_ns(architecture) <= self.highs[0]
        return self.budget.allows(architecture.cost.at(self.batch_size)) and fast_enough

    def latency_ns(self, architecture: Architecture) -> int:
        """Return the predicted latency of ``architecture`` in nanoseconds; 0 without a latency model."""
        model = self.latency_model
        if model is None:
            return 0
        return model.base_latency_ns + sum(
            model.nanoseconds(placed.layers, placed.in_shape) for placed in architecture.walk()
        )


def add(a: Vector, b: Vector) -> Vector:
    """Return the sum of two cost vectors."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def cached_per_space(
    function: Callable[Concatenate[ConstrainedSpace, P], R],
) -> Callable[Concatenate[ConstrainedSpace, P], R]:
    """Decorate ``function`` so that its result is stored in the constrained space for each set of arguments.

    Unlike ``functools.cache`` this frees the results together with the space.
    """
    name = (function.__module__, function.__qualname__)

    @wraps(function)
    def cached(constrained: ConstrainedSpace, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # with the module, because functions of different modules may have the same name
        key = (*name, *args, *kwargs.items())
        if key not in constrained._cache:
            constrained._cache[key] = function(constrained, *args, **kwargs)
        result: R = constrained._cache[key]
        return result

    return cached
