"""The constrained space: a search space under a budget, with its graph, limits, size and feasibility test."""

from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..architectures.architecture import Architecture
from ..architectures.budget import FLASH, LATENCY, RAM, Budget
from ..architectures.device_cost import DeviceCost, device_cost, device_cost_or_none
from ..blocks.cost import DEFAULT_BATCH, FLOAT_BYTES, TENSORS_PER_PARAM, Cost
from ..search_space.space import Space
from .graph import Edge, Graph, LatencyModel, Node

COSTS = ("params", "macs", "activations", "memory_bytes")
# The axes of a cost vector: costs that are summed along a path. Latency is 0 without a latency model, flash without a
# limit on a device.
AXES = (*COSTS, LATENCY, FLASH)

Vector = tuple[int, ...]  # one number for each axis
MAX_COUNT_BITS = 960  # of a number of paths as a float; the sum of 2**63 such numbers is still finite

P = ParamSpec("P")
R = TypeVar("R")


class BudgetError(ValueError):
    """Raised if no architecture of the space is inside the budget."""


class ConstrainedSpace:
    """The architectures of ``space`` that ``budget`` allows; memory is predicted at ``batch_size`` images.

    Every architecture of the space has an index from 0 to ``size - 1``: its position in the walk over the graph of the
    space. The index is the same in every process and on every machine, and does not depend on the budget.

    ``latency_ms`` of the budget limits the latency that ``latency_model`` predicts; without a model it is ignored here.
    ``whole`` is the graph of the space, ``graph`` that of the networks within the limit of RAM; without that limit both
    are the same.
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
        self.whole = Graph(space, latency_model, self.budget.device_precision if self.budget.device_limits() else None)
        self.graph = self.whole if self.budget.ram is None else self.whole.within_ram(self.budget.ram)
        limits_latency = latency_model is not None and self.budget.latency_ms is not None
        # latency first: bucket tables use only the first two limits, and latency excludes the most architectures
        self.limits = {**({LATENCY: (0, self.budget.latency_ns)} if limits_latency else {}), **self.budget.limits()}
        if self.budget.flash is not None:  # last, because params exclude nearly the same architectures
            self.limits[FLASH] = (0, self.budget.flash)
        self.limited = tuple(self.limits)
        self.axes = [AXES.index(name) for name in self.limited]
        # with the limit of RAM, which is no sum along a path: ``graph`` keeps it
        ram = self.budget.ram
        self.all_limits = {**self.limits, **({} if ram is None else {RAM: (0, ram)})}
        self.lows = [low for low, _ in self.limits.values()]
        self.highs = [float("inf") if high is None else high for _, high in self.limits.values()]
        self._cache: dict[tuple[object, ...], Any] = {}

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures in the space, inside and outside the budget."""
        return self.completions[self.whole.start]

    @cached_property
    def within_ram(self) -> int:
        """Number of distinct architectures within the limit of RAM, inside and outside the other limits."""
        return self.completions[self.graph.start]

    @property
    def _nodes(self) -> list[Node]:
        """The nodes of both graphs, targets first."""
        return self.whole.order if self.graph is self.whole else [*self.whole.order, *self.graph.order]

    @cached_property
    def completions(self) -> dict[Node, int]:
        """Number of paths from each node of both graphs to an end, inside and outside the budget."""
        counts: dict[Node, int] = {}
        for node in self._nodes:  # targets come before, so their counts are known
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
        for node in self._nodes:
            rows = [self.end_vector(node)] if node.last is not None else []
            rows += [add(self.edge_vector(edge), extremes[edge.target]) for edge in node.edges]
            extremes[node] = tuple(map(choose, zip(*rows, strict=True)))
        return extremes

    @cached_property
    def base_vector(self) -> Vector:
        """The costs of every architecture in addition to its blocks and head, in the order of :data:`AXES`."""
        return self.cost_vector(self.graph.base_cost, self.graph.base_latency_ns, 0)

    def edge_vector(self, edge: Edge) -> Vector:
        """Return the costs of ``edge`` in the order of :data:`AXES`."""
        return self.cost_vector(edge.cost, edge.latency_ns, edge.device.flash_bytes)

    def end_vector(self, node: Node) -> Vector:
        """Return the costs of the head at ``node``, where a network may end, in the order of :data:`AXES`."""
        assert node.last is not None, "a network may end at the node"
        return self.cost_vector(node.last, node.head_latency_ns, node.head_device.flash_bytes)

    def cost_vector(self, cost: Cost, latency_ns: int, flash_bytes: int) -> Vector:
        """Return the costs in the order of :data:`AXES`; memory is predicted at the batch size of this space."""
        params, macs, activations, kept_bytes, _ = cost
        memory_bytes = TENSORS_PER_PARAM * FLOAT_BYTES * params + self.batch_size * kept_bytes
        return params, macs, activations, memory_bytes, latency_ns, flash_bytes

    def limited_costs(self, vector: Vector) -> Vector:
        """Return the costs of ``vector`` that the budget limits, in the order of ``limited``."""
        return tuple(vector[axis] for axis in self.axes)

    def fits(self, total: Vector) -> bool:
        """Return whether a complete path with the limited costs ``total`` is inside the budget."""
        return all(low <= value <= high for value, low, high in zip(total, self.lows, self.highs, strict=True))

    def fits_path(self, path: list[Edge]) -> bool:
        """Return whether the architecture of ``path`` is inside the budget."""
        end = path[-1].target if path else self.graph.start
        total = (self.base_vector, *map(self.edge_vector, path), self.end_vector(end))
        return self.fits(self.limited_costs(tuple(map(sum, zip(*total, strict=True)))))

    def allows(self, architecture: Architecture) -> bool:
        """Return whether ``architecture`` is inside the budget, predicted latency and costs on a device included."""
        return self.violated(architecture) == []

    def violated(self, architecture: Architecture) -> list[str]:
        """Return one text for each limit that ``architecture`` breaks, such as ``params 61,000 > 60,000``."""
        texts = self.budget.broken(architecture.cost.at(self.batch_size))
        texts += [
            f"{name} {value:,} > {self.budget.device_limits()[name]:,}"
            for name, value in self.device_costs(architecture).items()
            if value > self.budget.device_limits()[name]
        ]
        if LATENCY in self.limits and self.latency_ns(architecture) > self.highs[0]:  # always the first limit
            texts.append("its predicted latency is too long")
        return texts

    def device_costs(self, architecture: Architecture) -> dict[str, int]:
        """Return the costs on a device that the budget limits, by name."""
        limits = self.budget.device_limits()
        if not limits:
            return {}
        cost: DeviceCost = device_cost(architecture, self.budget.device_precision)
        return {name: value for name, value in zip((RAM, FLASH), cost, strict=True) if name in limits}

    def device_metrics(self, architecture: Architecture) -> dict[str, int]:
        """Return RAM and flash of ``architecture`` by name; empty without a device in the budget, or without a rule."""
        if not self.budget.names_device:
            return {}
        cost = device_cost_or_none(architecture, self.budget.device_precision)
        return {} if cost is None else cost._asdict()

    def limited_values(self, architecture: Architecture) -> dict[str, int]:
        """Return every cost of ``architecture`` that the budget limits, by name."""
        cost, device = architecture.cost.at(self.batch_size), self.device_costs(architecture)
        values = {name: getattr(cost, name) for name in self.limits if name in COSTS}
        latency = {LATENCY: self.latency_ns(architecture)} if LATENCY in self.limits else {}
        return {**latency, **values, **device}

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


def ratios(counts: Sequence[int]) -> NDArray[np.float64]:
    """Return ``counts`` as floats; divided by one power of two if they are too large for these."""
    shift = max(max(counts, default=0).bit_length() - MAX_COUNT_BITS, 0)
    return np.array([count >> shift for count in counts], dtype=float)


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
