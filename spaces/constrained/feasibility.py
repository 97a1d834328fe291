"""The verdict on a budget: whether anything fits, what would, and which choices never do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..blocks.base import Block
from ..parameters.domains import Choice, Repeat
from ..search_space.space import child_path, label
from .cost_tables import Ints, Ledger
from .graph import Node

if TYPE_CHECKING:
    from .constrained_space import ConstrainedSpace

WIDEST = 4096  # points of a front; a wider one is thinned by merging neighbours into what is cheaper than both


def something_fits(sieve: "ConstrainedSpace") -> bool:
    """Whether anything lies inside all limits together; what is cheapest is tried first."""
    if any(sieve.allows(sieve.cheapest(name)[0]) for name in sieve.limited) or not sieve.limited:
        return True
    if not any(low for low, _ in sieve.limits.values()):
        return all(value <= (sieve.limits[name][1] or 0) for name, value in nearest_budget(sieve).items())
    return next(sieve.walk(), None) is not None


def nearest_budget(sieve: "ConstrainedSpace") -> dict[str, int]:
    """The upper limits, each as low as it can be, that something fits and that stretch the given ones least.

    Of the cheapest totals (those that no other one undercuts in every limited cost) the one whose largest ratio to its
    limit is least: below 1 where something fits the budget's upper limits as they are.
    """
    names = tuple(name for name, (_, high) in sieve.limits.items() if high is not None)
    ledger = sieve.ledger(names, bounded=False)
    rows = fronts(ledger)[ledger.start] + ledger.first
    highs = np.array([max(sieve.limits[name][1] or 0, 1) for name in names])
    best = rows[(rows / highs).max(axis=1).argmin()]
    return dict(zip(names, best.tolist(), strict=True))


def dead_choices(sieve: "ConstrainedSpace") -> list[tuple[str, object]]:
    """Options that no architecture inside the upper limits takes: (path of the choice, the option).

    What is named is dead for certain; an option that shares all its blocks with a living one is not named.
    """
    names = tuple(name for name, (_, high) in sieve.limits.items() if high is not None)
    graph = sieve.graph
    every = {choice for node in graph.order for edge in node.edges for choice in edge.choices}
    dead = every - (_living(sieve.ledger(names)) if names else every)
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


def _living(ledger: Ledger) -> set[tuple[str, int]]:
    """The choices on edges from a node that can be reached to one that can be finished inside the limits."""
    ahead, behind = fronts(ledger), _fronts_before(ledger)
    alive: set[tuple[str, int]] = set()
    for node in ledger.order:
        if node not in behind:
            continue
        for edge, cost in zip(node.edges, ledger.costs[node], strict=True):
            if not edge.choices <= alive and _fit_together(behind[node] + cost, ahead[edge.target], ledger.highs):
                alive |= edge.choices
    return alive


def _fit_together(spent: Ints, rest: Ints, highs: Ints) -> bool:
    return any(bool((row + rest <= highs).all(axis=1).any()) for row in spent)


def fronts(ledger: Ledger) -> dict[Node, Ints]:
    """For each node the cheapest ways to finish: no row undercuts another in every cost."""
    found: dict[Node, Ints] = {}
    for node in ledger.order:
        last = ledger.last[node]
        rows = [] if last is None else [last[None]]
        rows += [found[edge.target] + cost for edge, cost in zip(node.edges, ledger.costs[node], strict=True)]
        found[node] = cheapest(np.concatenate(rows))
    return found


def _fronts_before(ledger: Ledger) -> dict[Node, Ints]:
    """For each node the cheapest ways to get there."""
    heaped: dict[Node, list[Ints]] = {ledger.start: [ledger.first[None]]}
    found: dict[Node, Ints] = {}
    for node in reversed(ledger.order):
        if node in heaped:
            found[node] = cheapest(np.concatenate(heaped[node]))
            for edge, cost in zip(node.edges, ledger.costs[node], strict=True):
                heaped.setdefault(edge.target, []).append(found[node] + cost)
    return found


def cheapest(rows: Ints) -> Ints:
    """The rows that no other row undercuts or equals in every column; at most :data:`WIDEST`, thinned downwards."""
    rows = np.unique(rows, axis=0)
    if rows.shape[1] == 1:
        return rows[:1]
    if rows.shape[1] == 2:
        best = np.minimum.accumulate(rows[:, 1])
        keep = np.concatenate([[True], rows[1:, 1] < best[:-1]])
        return _thin(rows[keep])
    return _thin(_undercut_by_none(rows))


def _undercut_by_none(rows: Ints) -> Ints:
    kept: list[Ints] = []
    for row in rows:  # in lexicographic order a row is undercut by one before it or by none
        if not kept or not (np.array(kept) <= row).all(axis=1).any():
            kept.append(row)
    return np.array(kept)


def _thin(rows: Ints) -> Ints:
    if len(rows) <= WIDEST:
        return rows
    parts: Sequence[Ints] = np.array_split(rows, WIDEST // 2)
    return np.array([part.min(axis=0) for part in parts])
