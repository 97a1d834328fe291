"""A graph whose first edges lead to separate parts, such as networks at several image sizes: one graph for each part.

Every path has one first edge, so the number of paths is the sum over the parts. A part alone has smaller costs and far
fewer different sums than all parts together, and its bounds are closer.
"""

from dataclasses import replace

import numpy as np

from .cost_tables import CostArrays
from .graph import Node

MAX_PARTS = 16  # the time of a count is in proportion to them
MIN_SHARED = 0.5  # of the nodes of the smaller part: from here on, two first edges are in one part


def separate_parts(arrays: CostArrays) -> list[CostArrays]:
    """Return the graphs that begin with different first edges; ``arrays`` alone if they share most of their nodes."""
    start = arrays.start
    if arrays.head_costs[start] is not None or len(start.edges) < 2:
        return [arrays]
    # groups of first edges, each with the numbers of its nodes
    number = {node: position for position, node in enumerate(arrays.order)}
    groups: list[tuple[list[int], set[int]]] = []
    for edge_number, edge in enumerate(start.edges):
        edges, nodes = [edge_number], _reached(edge.target, number)
        for group in [group for group in groups if _overlap(group[1], nodes) >= MIN_SHARED]:
            groups.remove(group)
            edges, nodes = group[0] + edges, group[1] | nodes
        groups.append((edges, nodes))
        if len(groups) > MAX_PARTS:
            return [arrays]
    return [arrays] if len(groups) == 1 else [_part(arrays, sorted(edges), nodes) for edges, nodes in groups]


def _reached(first: Node, number: dict[Node, int]) -> set[int]:
    reached, waiting = {number[first]}, [first]
    while waiting:
        for edge in waiting.pop().edges:
            if number[edge.target] not in reached:
                reached.add(number[edge.target])
                waiting.append(edge.target)
    return reached


def _overlap(nodes: set[int], others: set[int]) -> float:
    return len(nodes & others) / min(len(nodes), len(others))


def _part(arrays: CostArrays, edges: list[int], nodes: set[int]) -> CostArrays:
    """Return the graph of the paths that begin with one of ``edges``, and go on through ``nodes``."""
    start = replace(arrays.start, edges=[arrays.start.edges[edge] for edge in edges])
    order = [*(arrays.order[position] for position in sorted(nodes)), start]
    costs = {node: arrays.costs[node] for node in order[:-1]} | {start: arrays.costs[arrays.start][np.array(edges)]}
    heads = {node: arrays.head_costs[node] for node in order[:-1]} | {start: None}
    return CostArrays(order, costs, heads, arrays.base, arrays.lows.tolist(), arrays.highs.tolist())
