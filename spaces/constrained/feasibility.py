"""Feasibility: the extreme architectures of a space, whether anything fits, what would, and which options never do."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..architectures.architecture import Architecture
from ..architectures.budget import spelled
from ..blocks.base import Block
from ..blocks.cost import Cost
from ..parameters.domains import Choice, Repeat
from ..search_space.space import child_path, label
from .constrained_space import AXES, BudgetError, ConstrainedSpace, Vector, cached_per_space
from .cost_tables import CostArrays, Ints, cost_arrays
from .graph import Edge, Node
from .indexing import walk

MAX_FRONT = 4096  # points of a front; a longer one is thinned by merging neighbours into what is cheaper than both


def cheapest(constrained: ConstrainedSpace, by: str = "params") -> tuple[Architecture, Cost]:
    """The architecture of the whole space with the least ``by``, whatever the budget."""
    return _extreme(constrained, by, constrained.least, min)


def most_expensive(constrained: ConstrainedSpace, by: str = "params") -> tuple[Architecture, Cost]:
    """The architecture of the whole space with the most ``by``, whatever the budget."""
    return _extreme(constrained, by, constrained.most, max)


def _extreme(
    constrained: ConstrainedSpace, by: str, table: dict[Node, Vector], choose: Callable[..., Any]
) -> tuple[Architecture, Cost]:
    axis, vector = AXES.index(by), constrained.cost_vector
    node = constrained.graph.start
    path: list[Edge] = []
    while True:
        options: list[tuple[int, Edge | None]] = [
            (vector(edge.cost, edge.latency_ns)[axis] + table[edge.target][axis], edge) for edge in node.edges
        ]
        if node.last is not None:
            options.insert(0, (vector(node.last, node.last_latency_ns)[axis], None))
        _, edge = choose(options, key=lambda option: option[0])
        if edge is None:
            architecture = constrained.graph.architecture(path)
            return architecture, architecture.cost.at(constrained.batch_size)
        path.append(edge)
        node = edge.target


@cached_per_space
def check_feasible(constrained: ConstrainedSpace) -> None:
    """Raise :class:`BudgetError` where nothing fits, with the cheapest architecture and the nearest budget."""
    for name in constrained.limits:
        _check_limit(constrained, name)
    if not something_fits(constrained):
        raise BudgetError(
            f"nothing in the space {constrained.space.name!r} fits {constrained.budget}: each limit alone can be met, "
            f"all together cannot; the cheapest by params is {_in_words(cheapest(constrained, 'params')[1])}, by macs "
            f"{_in_words(cheapest(constrained, 'macs')[1])}; {_remedy(constrained)}"
        )


def _check_limit(constrained: ConstrainedSpace, name: str) -> None:
    """Raise where even the extreme architecture breaks the limit ``name`` alone."""
    axis, (low, high), space = AXES.index(name), constrained.limits[name], constrained.space.name
    graph, start = constrained.graph, constrained.graph.start
    base = constrained.cost_vector(graph.first_cost, graph.first_latency_ns)[axis]
    least, most = base + constrained.least[start][axis], base + constrained.most[start][axis]
    if high is not None and least > high:
        found, its_cost = cheapest(constrained, name)
        raise BudgetError(
            f"nothing in the space {space!r} fits {spelled(name, high, '<=')}: the cheapest architecture has "
            f"{spelled(name, least)} ({found}; {_in_words(its_cost)}); {_remedy(constrained)}"
        )
    if most < low:
        raise BudgetError(
            f"nothing in the space {space!r} fits {name} >= {low:,}: the dearest architecture has {name} {most:,} "
            f"({most_expensive(constrained, name)[0]}); lower min_{name} or add larger options"
        )


def _remedy(constrained: ConstrainedSpace) -> str:
    nearest = " and ".join(spelled(name, value, "=", "d") for name, value in nearest_budget(constrained).items())
    return f"the nearest budget that something fits is {nearest}; raise the limits or add smaller options"


def _in_words(found: Cost) -> str:
    return f"params {found.params:,}, macs {found.macs:,}"


def something_fits(constrained: ConstrainedSpace) -> bool:
    """Whether anything lies inside all limits together; the cheapest architectures are tried first."""
    names, limits = constrained.limited, constrained.limits
    if not names or any(constrained.allows(cheapest(constrained, name)[0]) for name in names):
        return True
    if not any(low for low, _ in limits.values()):
        return all(value <= (limits[name][1] or 0) for name, value in nearest_budget(constrained).items())
    return next(walk(constrained), None) is not None


def nearest_budget(constrained: ConstrainedSpace) -> dict[str, int]:
    """The upper limits, each as low as possible, that something fits and that stretch the given ones least.

    Of the non-dominated totals, the one whose largest ratio to its limit is least: at most 1 where something fits the
    budget's upper limits as they are.
    """
    names = tuple(name for name, (_, high) in constrained.limits.items() if high is not None)
    arrays = cost_arrays(constrained, names, bounded=False)
    rows = fronts(arrays)[arrays.start] + arrays.first
    highs = np.array([max(constrained.limits[name][1] or 0, 1) for name in names])
    best = rows[(rows / highs).max(axis=1).argmin()]
    return dict(zip(names, best.tolist(), strict=True))


def dead_choices(constrained: ConstrainedSpace) -> list[tuple[str, object]]:
    """Options that no architecture inside the upper limits takes: (path of the choice, the option).

    What is named is dead for certain; an option that shares all its blocks with a living one is not named.
    """
    names = tuple(name for name, (_, high) in constrained.limits.items() if high is not None)
    graph = constrained.graph
    every = {choice for node in graph.order for edge in node.edges for choice in edge.choices}
    dead = every - (_living(cost_arrays(constrained, names)) if names else every)
    below = tuple(
        _below(path, graph.options[path], index) for path, index in dead if _holds_blocks(graph.options[path][index])
    )
    named = [choice for choice in sorted(dead) if not choice[0].startswith(below)]
    return [(path, _spelled(graph.options[path][index])) for path, index in named]


def _below(path: str, options: tuple[Any, ...], index: int) -> str:
    """How the paths of the choices inside an option begin: they die with it, and need no mention."""
    option = options[index]
    return f"{child_path(path, options, index)}.{option.kind + '.' if isinstance(option, Block) else ''}"


def _spelled(option: object) -> object:
    """A value as it is, blocks in a word."""
    return label(option) if _holds_blocks(option) else option


def _holds_blocks(option: object) -> bool:
    """Whether ``option`` is made of blocks; an empty sequence is a way to have none."""
    if isinstance(option, tuple | list):
        return all(map(_holds_blocks, option))
    return isinstance(option, Block | Choice | Repeat)


def _living(arrays: CostArrays) -> set[tuple[str, int]]:
    """The choices on edges from a node that can be reached to one that can be finished inside the limits."""
    ahead, behind = fronts(arrays), _fronts_before(arrays)
    alive: set[tuple[str, int]] = set()
    for node in arrays.order:
        if node not in behind:
            continue
        for edge, spent in zip(node.edges, arrays.costs[node], strict=True):
            if not edge.choices <= alive and _fit_together(behind[node] + spent, ahead[edge.target], arrays.highs):
                alive |= edge.choices
    return alive


def _fit_together(spent: Ints, rest: Ints, highs: Ints) -> bool:
    return any(bool((row + rest <= highs).all(axis=1).any()) for row in spent)


def fronts(arrays: CostArrays) -> dict[Node, Ints]:
    """For each node the cheapest ways to finish: no row undercuts another in every cost."""
    found: dict[Node, Ints] = {}
    for node in arrays.order:
        last = arrays.last[node]
        rows = [] if last is None else [last[None]]
        rows += [found[edge.target] + cost for edge, cost in zip(node.edges, arrays.costs[node], strict=True)]
        found[node] = non_dominated(np.concatenate(rows))
    return found


def _fronts_before(arrays: CostArrays) -> dict[Node, Ints]:
    """For each node the cheapest ways to get there."""
    heaped: dict[Node, list[Ints]] = {arrays.start: [arrays.first[None]]}
    found: dict[Node, Ints] = {}
    for node in reversed(arrays.order):
        if node in heaped:
            found[node] = non_dominated(np.concatenate(heaped[node]))
            for edge, cost in zip(node.edges, arrays.costs[node], strict=True):
                heaped.setdefault(edge.target, []).append(found[node] + cost)
    return found


def non_dominated(rows: Ints) -> Ints:
    """The rows that no other row undercuts or equals in every column; at most :data:`MAX_FRONT`, thinned downwards."""
    rows = np.unique(rows, axis=0)
    if rows.shape[1] == 1:
        return rows[:1]
    if rows.shape[1] == 2:
        best = np.minimum.accumulate(rows[:, 1])
        keep = np.concatenate([[True], rows[1:, 1] < best[:-1]])
        return _thin(rows[keep])
    return _thin(_sweep(rows))


def _sweep(rows: Ints) -> Ints:
    kept: list[Ints] = []
    for row in rows:  # in lexicographic order a row is undercut by one before it or by none
        if not kept or not (np.array(kept) <= row).all(axis=1).any():
            kept.append(row)
    return np.array(kept)


def _thin(rows: Ints) -> Ints:
    if len(rows) <= MAX_FRONT:
        return rows
    parts: Sequence[Ints] = np.array_split(rows, MAX_FRONT // 2)
    return np.array([part.min(axis=0) for part in parts])
