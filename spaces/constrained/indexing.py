"""Indices of architectures: each architecture of a space has a number, which defines the order of walks."""

from collections.abc import Iterator

from ..architectures.architecture import Architecture
from .constrained_space import ConstrainedSpace, Vector, add, cached_per_space
from .cost_tables import LowerBounds, cost_arrays
from .graph import Edge, Node


def walk(constrained: ConstrainedSpace, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Architecture]]:
    """Yield (index, architecture) for all that fit the budget, by ascending index from ``start`` to ``stop`` - 1.

    Subtrees in which no architecture can fit are skipped. Workers can split the range from 0 to ``size`` without a
    coordinator, and a walk can be resumed after its last index.
    """
    for index, path in _paths(constrained, start):
        if stop is not None and index >= stop:
            return
        yield index, constrained.graph.architecture(path)


def _paths(constrained: ConstrainedSpace, first: int) -> Iterator[tuple[int, list[Edge]]]:
    """Yield (index, path) for all paths that fit, from the index ``first`` on, by depth-first search."""
    if not constrained.within_ram:
        return
    limited_costs, n_following = constrained.limited_costs, constrained.completions
    bounds = _lower_bounds(constrained)
    offsets = _offsets(constrained)
    start = constrained.graph.start
    stack: list[tuple[Node, int, Vector, list[Edge]]] = [(start, 0, limited_costs(constrained.base_vector), [])]
    while stack:
        node, index, spent, path = stack.pop()
        # skip a subtree that ends before the first index, or in which nothing fits
        n_whole = n_following[node.origin or node]  # an index counts the networks above the limit of RAM, too
        if index + n_whole <= first or not _may_fit(constrained, bounds, node, spent):
            continue
        # the network that ends here has the first index of the subtree
        ends = node.last is not None and index >= first
        if ends and constrained.fits(add(spent, limited_costs(constrained.end_vector(node)))):
            yield index, path
        children = [
            (edge.target, index + offset, add(spent, limited_costs(constrained.edge_vector(edge))), [*path, edge])
            for edge, offset in zip(node.edges, offsets[node], strict=True)
        ]
        stack += reversed(children)  # the first child is popped first, so that indices ascend


@cached_per_space
def _offsets(constrained: ConstrainedSpace) -> dict[Node, list[int]]:
    """Return for each edge of each node the index of its first architecture, relative to the subtree of the node."""
    offsets: dict[Node, list[int]] = {}
    for node in constrained.graph.order:
        whole = node.origin or node
        first, of_edge = int(whole.last is not None), dict[Edge, int]()  # the network that ends here comes first
        for edge in whole.edges:
            of_edge[edge] = first
            first += constrained.completions[edge.target]
        offsets[node] = [of_edge[edge.origin or edge] for edge in node.edges]
    return offsets


def _may_fit(constrained: ConstrainedSpace, bounds: LowerBounds | None, node: Node, spent: Vector) -> bool:
    """Return whether some path through ``node`` that costs ``spent`` before it may fit; never False if one fits."""
    min_costs, max_costs = constrained.min_costs[node], constrained.max_costs[node]
    if not all(
        spent[i] + min_costs[axis] <= constrained.highs[i] and spent[i] + max_costs[axis] >= constrained.lows[i]
        for i, axis in enumerate(constrained.axes)
    ):
        return False
    return bounds is None or bounds.may_fit(node, spent)


@cached_per_space
def _lower_bounds(constrained: ConstrainedSpace) -> LowerBounds | None:
    """Return lower bounds if the budget has lower limits, else None.

    With upper limits only, the minimum of each cost is enough to skip subtrees. Between lower and upper limits it is
    not: there the minimum and maximum, each taken separately, exclude too little.
    """
    return LowerBounds(cost_arrays(constrained, constrained.limited)) if any(constrained.lows) else None


def architecture_at(constrained: ConstrainedSpace, index: int) -> Architecture:
    """Return the architecture with this index in the space; it may be outside the budget."""
    return constrained.graph.architecture(path_at(constrained, index))


def path_at(constrained: ConstrainedSpace, index: int) -> list[Edge]:
    """Return the path of the architecture with this index; raise ``ValueError`` if the index is out of range."""
    if not 0 <= index < constrained.size:
        raise ValueError(
            f"an index must be in [0, {constrained.size - 1}], because the space {constrained.space.name!r} has "
            f"{constrained.size:,} architectures, but got {index}; use an index in this range"
        )
    node, completions = constrained.whole.start, constrained.completions
    path: list[Edge] = []
    while True:
        # ``index`` is relative to the subtree of ``node``
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
    """Return the index of ``architecture``; raise ``ValueError`` if the space does not contain it."""
    path = constrained.whole.path(architecture)
    if path is None:
        raise ValueError(
            f"an architecture must be in the space {constrained.space.name!r} to have an index, but the space does not "
            f"contain {architecture} with input {architecture.input_shape} and {architecture.classes} classes; add its "
            "options to the space"
        )
    node, index = constrained.whole.start, 0
    for path_edge in path:
        index += node.last is not None
        for edge in node.edges:
            if edge is path_edge:
                break
            index += constrained.completions[edge.target]
        node = path_edge.target
    return index
