"""Feasibility: extreme architectures, whether any fits the budget, the nearest feasible budget, dead choices."""

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..architectures.architecture import Architecture
from ..architectures.budget import RAM, format_cost
from ..architectures.device_cost import input_bytes
from ..blocks.base import Block
from ..blocks.cost import Cost
from ..parameters.domains import Choice, Repeat
from ..search_space.space import child_path, label
from .constrained_space import AXES, BudgetError, ConstrainedSpace, Vector, cached_per_space
from .cost_tables import CostArrays, Ints, arrays_of, cost_arrays
from .graph import Edge, Graph, Node
from .indexing import walk

# Maximum number of points of a Pareto front. A longer front is thinned: neighbouring points are replaced by their
# minimum in every cost. Thus a thinned front may make something look feasible that is not, but never the reverse.
MAX_FRONT_POINTS = 4096


def cheapest(constrained: ConstrainedSpace, by: str = "params") -> tuple[Architecture, Cost]:
    """Return the architecture of the whole space with the lowest cost ``by``, ignoring the budget, and its cost."""
    return _extreme(constrained, by, constrained.min_costs, min)


def most_expensive(constrained: ConstrainedSpace, by: str = "params") -> tuple[Architecture, Cost]:
    """Return the architecture of the whole space with the highest cost ``by``, ignoring the budget, and its cost."""
    return _extreme(constrained, by, constrained.max_costs, max)


def _extreme(
    constrained: ConstrainedSpace, by: str, extremes: dict[Node, Vector], choose: Callable[..., Any]
) -> tuple[Architecture, Cost]:
    """Follow from the start, at each node, the edge or end with the extreme cost ``by``."""
    axis = AXES.index(by)
    node = constrained.whole.start
    path: list[Edge] = []
    while True:
        options: list[tuple[int, Edge | None]] = [
            (constrained.edge_vector(edge)[axis] + extremes[edge.target][axis], edge) for edge in node.edges
        ]
        if node.last is not None:
            options.insert(0, (constrained.end_vector(node)[axis], None))
        _, edge = choose(options, key=lambda option: option[0])
        if edge is None:
            architecture = constrained.graph.architecture(path)
            return architecture, architecture.cost.at(constrained.batch_size)
        path.append(edge)
        node = edge.target


@cached_per_space
def check_feasible(constrained: ConstrainedSpace) -> None:
    """Raise :class:`BudgetError` if no architecture fits; it names the cheapest one and the nearest feasible budget."""
    _check_image(constrained)
    for name in constrained.limits:
        _check_limit(constrained, name)
    if not constrained.within_ram:
        limit, smallest = constrained.budget.ram or 0, nearest_budget(constrained, (RAM,))[RAM]
        raise BudgetError(
            f"no architecture in the space {constrained.space.name!r} fits {format_cost(RAM, limit, '<=')} in "
            f"{constrained.budget.device_precision}: the smallest peak of an architecture is "
            f"{format_cost(RAM, smallest)}; {_remedy(constrained)}"
        )
    if not is_feasible(constrained):
        raise BudgetError(
            f"no architecture in the space {constrained.space.name!r} fits {constrained.budget}: each limit alone can "
            f"be met, but not all together; the cheapest by params has {_params_and_macs(constrained, 'params')}, the "
            f"cheapest by macs has {_params_and_macs(constrained, 'macs')}; {_remedy(constrained)}"
        )


def _check_image(constrained: ConstrainedSpace) -> None:
    """Raise :class:`BudgetError` if the RAM is too small for the image alone."""
    budget, shape = constrained.budget, constrained.space.input_shape
    n_bytes = input_bytes(shape, budget.device_precision)
    if budget.ram is not None and budget.ram < n_bytes:
        image = "x".join(map(str, shape))
        smaller = ', or set precision = "int8"' if budget.device_precision == "float32" else ""
        raise BudgetError(
            f"budget.ram must hold the input image, but the limit is {budget.ram:,} bytes and an image of {image} has "
            f"{n_bytes:,} bytes in {budget.device_precision}; raise the limit, or use smaller images{smaller}"
        )


def _check_limit(constrained: ConstrainedSpace, name: str) -> None:
    """Raise :class:`BudgetError` if even the extreme architecture breaks the limit ``name``."""
    axis, (low, high), space = AXES.index(name), constrained.limits[name], constrained.space.name
    start, base = constrained.whole.start, constrained.base_vector[axis]
    minimum, maximum = base + constrained.min_costs[start][axis], base + constrained.max_costs[start][axis]
    if high is not None and minimum > high:
        raise BudgetError(
            f"no architecture in the space {space!r} fits {format_cost(name, high, '<=')}: the cheapest architecture "
            f"has {format_cost(name, minimum)} ({cheapest(constrained, name)[0]}; "
            f"{_params_and_macs(constrained, name)}); {_remedy(constrained)}"
        )
    if maximum < low:
        raise BudgetError(
            f"no architecture in the space {space!r} fits {name} >= {low:,}: the most expensive architecture has "
            f"{name} {maximum:,} ({most_expensive(constrained, name)[0]}); lower min_{name} or add larger options"
        )


def _remedy(constrained: ConstrainedSpace) -> str:
    limits, nearest = constrained.all_limits, nearest_budget(constrained)
    text = " and ".join(format_cost(name, value, "=", "d") for name, value in nearest.items())
    lows = " and ".join(f"min_{name}" for name, (low, _) in limits.items() if low)
    if not lows:
        return f"the nearest budget that can be met is {text}; raise the limits or add smaller options"
    if all(value <= (limits[name][1] or 0) for name, value in nearest.items()):
        return f"without {lows}, the other limits can be met; lower {lows}, raise the others, or add other options"
    return (
        f"the nearest budget that can be met without {lows} is {text}; raise the limits or add smaller options, and "
        f"lower {lows} if that is not enough"
    )


def _params_and_macs(constrained: ConstrainedSpace, by: str) -> str:
    """Return the params and macs of the cheapest architecture by the cost ``by`` as text."""
    _, cost = cheapest(constrained, by)
    return f"params {cost.params:,}, macs {cost.macs:,}"


@cached_per_space
def is_feasible(constrained: ConstrainedSpace) -> bool:
    """Return whether any architecture keeps all limits together."""
    names, limits = constrained.limited, constrained.all_limits
    if not constrained.within_ram:
        return False
    # the cheapest architectures first: with generous budgets they fit, and the search below is not needed
    if not names or any(constrained.allows(cheapest(constrained, name)[0]) for name in names):
        return True
    # without lower limits the Pareto front decides; with them a walk must search for an architecture
    if not any(low for low, _ in limits.values()):
        return all(value <= (limits[name][1] or 0) for name, value in nearest_budget(constrained).items())
    return next(walk(constrained), None) is not None


def nearest_budget(constrained: ConstrainedSpace, names: tuple[str, ...] | None = None) -> dict[str, int]:
    """Return the feasible upper limits that are nearest to those of the budget, by cost name.

    Among the non-dominated total costs it is the one with the smallest maximum ratio of cost to limit. That ratio is at
    most 1 if an architecture fits the upper limits of the budget. Lower limits are ignored: an architecture of these
    costs may break them. ``names`` are the limits to consider, by default all.
    """
    highs = {name: max(high, 1) for name, (_, high) in constrained.all_limits.items() if high is not None}
    summed = tuple(name for name in names or highs if name != RAM)
    if constrained.budget.ram is None:
        return _nearest(constrained, constrained.whole, summed, highs)[1]
    sizes = sorted({size for node in constrained.whole.order for size in node.ram_bytes})

    def ratio(ram: int) -> float:
        """Return the ratio of the other costs; it is smaller where more RAM leaves more architectures."""
        return _nearest(constrained, constrained.whole.within_ram(ram), summed, highs)[0]

    def least(reaches: Callable[[int], bool]) -> int:
        return bisect.bisect_left(sizes, True, key=reaches)

    # where the ratio of the RAM overtakes that of the other costs
    crossing = least(lambda ram: ratio(ram) <= ram / highs[RAM])
    best = min(max(ratio(ram), ram / highs[RAM]) for ram in sizes[max(crossing - 1, 0) : crossing + 1])
    ram = sizes[least(lambda ram: ratio(ram) <= best)]
    return {**_nearest(constrained, constrained.whole.within_ram(ram), summed, highs)[1], RAM: ram}


def _nearest(
    constrained: ConstrainedSpace, graph: Graph, names: tuple[str, ...], highs: Mapping[str, int]
) -> tuple[float, dict[str, int]]:
    """Return the smallest maximum ratio of a cost of ``names`` to its limit in ``graph``, and these costs."""
    if graph.empty or not names:
        return float("inf") if graph.empty else 0.0, {}
    arrays = arrays_of(constrained, graph, names, bounded=False)
    rows = fronts(arrays)[arrays.start] + arrays.base
    ratios = (rows / np.array([highs[name] for name in names])).max(axis=1)
    best = ratios.argmin()
    return float(ratios[best]), dict(zip(names, rows[best].tolist(), strict=True))


def dead_choices(constrained: ConstrainedSpace) -> list[tuple[str, object]]:
    """Return the options that no architecture inside the upper limits uses: (path of the choice, the option).

    Every listed option is certainly dead. An option whose blocks are all shared with a usable option is not listed.
    """
    names = tuple(name for name, (_, high) in constrained.limits.items() if high is not None)
    graph = constrained.whole
    within_ram = _choices(constrained.graph)
    usable = _usable_choices(cost_arrays(constrained, names)) if names and within_ram else within_ram
    dead = _choices(graph) - usable
    # the choices inside a dead option are dead with it and are not listed separately
    inner_paths = tuple(
        _inner_path(path, graph.options[path], index) for path, index in dead if _is_blocks(graph.options[path][index])
    )
    listed = [choice for choice in sorted(dead) if not choice[0].startswith(inner_paths)]
    return [(path, _value_or_label(graph.options[path][index])) for path, index in listed]


def _choices(graph: Graph) -> set[tuple[str, int]]:
    return {choice for node in graph.order for edge in node.edges for choice in edge.choices}


def _inner_path(path: str, options: tuple[Any, ...], index: int) -> str:
    """Return the prefix of the paths of all choices inside an option."""
    option = options[index]
    return f"{child_path(path, options, index)}.{option.kind + '.' if isinstance(option, Block) else ''}"


def _value_or_label(option: object) -> object:
    """Return a value unchanged, and the label of an option that consists of blocks."""
    return label(option) if _is_blocks(option) else option


def _is_blocks(option: object) -> bool:
    """Return whether ``option`` consists of blocks; an empty sequence counts, because it means no block."""
    if isinstance(option, tuple | list):
        return all(map(_is_blocks, option))
    return isinstance(option, Block | Choice | Repeat)


def _usable_choices(arrays: CostArrays) -> set[tuple[str, int]]:
    """Return the choices on those edges that some path inside the upper limits contains."""
    fronts_after, fronts_before = fronts(arrays), _fronts_before(arrays)
    usable: set[tuple[str, int]] = set()
    for node in arrays.order:
        if node not in fronts_before:
            continue
        for edge, cost in zip(node.edges, arrays.costs[node], strict=True):
            if not edge.choices <= usable and _fit_together(
                fronts_before[node] + cost, fronts_after[edge.target], arrays.highs
            ):
                usable |= edge.choices
    return usable


def _fit_together(spent: Ints, rest: Ints, highs: Ints) -> bool:
    """Return whether any row of ``spent`` plus any row of ``rest`` is within ``highs``."""
    return any(bool((row + rest <= highs).all(axis=1).any()) for row in spent)


def fronts(arrays: CostArrays) -> dict[Node, Ints]:
    """Return for each node the non-dominated costs of the paths from it to an end, as rows."""
    fronts_after: dict[Node, Ints] = {}
    for node in arrays.order:
        head_cost = arrays.head_costs[node]
        rows = [] if head_cost is None else [head_cost[None]]
        rows += [fronts_after[edge.target] + cost for edge, cost in zip(node.edges, arrays.costs[node], strict=True)]
        fronts_after[node] = non_dominated(np.concatenate(rows))
    return fronts_after


def _fronts_before(arrays: CostArrays) -> dict[Node, Ints]:
    """Return for each reachable node the non-dominated costs of the paths from the start to it, as rows."""
    incoming: dict[Node, list[Ints]] = {arrays.start: [arrays.base[None]]}
    fronts_before: dict[Node, Ints] = {}
    for node in reversed(arrays.order):  # every node after all nodes with an edge to it
        if node in incoming:
            fronts_before[node] = non_dominated(np.concatenate(incoming[node]))
            for edge, cost in zip(node.edges, arrays.costs[node], strict=True):
                incoming.setdefault(edge.target, []).append(fronts_before[node] + cost)
    return fronts_before


def non_dominated(rows: Ints) -> Ints:
    """Return the rows that no other row dominates (is at most equal in every column): the Pareto front.

    The result has at most :data:`MAX_FRONT_POINTS` rows; a longer front is thinned.
    """
    rows = np.unique(rows, axis=0)  # sorted lexicographically
    if rows.shape[1] == 1:
        return rows[:1]
    if rows.shape[1] == 2:
        # sorted by the first cost, a row is on the front if its second cost is lower than all before
        lowest = np.minimum.accumulate(rows[:, 1])
        on_front = np.concatenate([[True], rows[1:, 1] < lowest[:-1]])
        return _thin(rows[on_front])
    return _thin(_sweep(rows))


def _sweep(rows: Ints) -> Ints:
    """Return the non-dominated rows among ``rows`` in lexicographic order, for three or more columns."""
    front: list[Ints] = []
    for row in rows:  # in lexicographic order only an earlier row can dominate a row
        if not front or not (np.array(front) <= row).all(axis=1).any():
            front.append(row)
    return np.array(front)


def _thin(rows: Ints) -> Ints:
    if len(rows) <= MAX_FRONT_POINTS:
        return rows
    parts: Sequence[Ints] = np.array_split(rows, MAX_FRONT_POINTS // 2)
    return np.array([part.min(axis=0) for part in parts])
