"""Indices: every architecture of a space has a number, and those inside the budget are walked in its order."""

from collections.abc import Iterator

from ..architectures.architecture import Architecture
from .constrained_space import ConstrainedSpace, Vector, add, cached_per_space
from .cost_tables import LowerBounds, cost_arrays
from .graph import Edge, Node


def walk(constrained: ConstrainedSpace, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Architecture]]:
    """(index, architecture) of all that fits, in the order of the indices, from ``start`` to before ``stop``.

    Subtrees in which nothing can fit are skipped. Workers that split the indices from 0 to ``size`` need no
    coordinator, and a walk can be resumed behind its last index.
    """
    for index, path in _paths(constrained, start):
        if stop is not None and index >= stop:
            return
        yield index, constrained.graph.architecture(path)


def _paths(constrained: ConstrainedSpace, first: int) -> Iterator[tuple[int, list[Edge]]]:
    graph, limited_costs, completions = constrained.graph, constrained.limited_costs, constrained.completions
    bounds = _lower_bounds(constrained)
    stack: list[tuple[Node, int, Vector, list[Edge]]] = [
        (graph.start, 0, limited_costs(graph.first_cost, graph.first_latency_ns), [])
    ]
    while stack:
        node, index, spent, path = stack.pop()
        if index + completions[node] <= first or not _may_fit(constrained, bounds, node, spent):
            continue
        if node.last is not None:
            if index >= first and constrained.fits(add(spent, limited_costs(node.last, node.last_latency_ns))):
                yield index, path
            index += 1
        following = []
        for edge in node.edges:
            following.append((edge.target, index, add(spent, limited_costs(edge.cost, edge.latency_ns)), [*path, edge]))
            index += completions[edge.target]
        stack += reversed(following)


def _may_fit(constrained: ConstrainedSpace, bounds: LowerBounds | None, node: Node, spent: Vector) -> bool:
    least, most = constrained.least[node], constrained.most[node]
    if not all(
        spent[i] + least[axis] <= constrained.highs[i] and spent[i] + most[axis] >= constrained.lows[i]
        for i, axis in enumerate(constrained.axes)
    ):
        return False
    return bounds is None or bounds.may_fit(node, spent)


@cached_per_space
def _lower_bounds(constrained: ConstrainedSpace) -> LowerBounds | None:
    """Only between lower and upper limits, where the extremes of each cost taken separately cut off too little."""
    return LowerBounds(cost_arrays(constrained, constrained.limited)) if any(constrained.lows) else None


def architecture_at(constrained: ConstrainedSpace, index: int) -> Architecture:
    """The architecture with that index in the space, whether it fits the budget or not."""
    return constrained.graph.architecture(path_at(constrained, index))


def path_at(constrained: ConstrainedSpace, index: int) -> list[Edge]:
    """The path of the architecture with that index; ``ValueError`` where there is none."""
    if not 0 <= index < constrained.size:
        raise ValueError(f"an index of this space lies in [0, {constrained.size - 1}], but got {index}")
    node, completions = constrained.graph.start, constrained.completions
    path: list[Edge] = []
    while True:
        if node.last is not None:
            if index == 0:
                return path
            index -= 1
        for edge in node.edges:
            if index < completions[edge.target]:
                break
            index -= completions[edge.target]
        path.append(edge)
        node = edge.target


def index_of(constrained: ConstrainedSpace, architecture: Architecture) -> int:
    """The index of ``architecture``; ``ValueError`` where it is not in the space."""
    path = constrained.graph.path(architecture)
    if path is None:
        raise ValueError(f"{architecture} is no point of the space {constrained.space.name!r}")
    node, index = constrained.graph.start, 0
    for step in path:
        index += node.last is not None
        for edge in node.edges:
            if edge is step:
                break
            index += constrained.completions[edge.target]
        node = step.target
    return index
