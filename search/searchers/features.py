"""Features: what a model of architectures looks at, read off a table for thousands of codes at a time.

For each choice which option was taken, how often each option was taken anywhere in the network, the logarithms of
parameters and multiply-accumulates, and the number of layers. All are worked out from sums over the edges of a path
through the space's graph, so two encodings of one network have the same features.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...spaces.blocks.base import Block
from ...spaces.constrained.graph import Graph
from ...spaces.constrained.vectorized import Batch, Codes
from ...spaces.parameters.domains import Choice, Repeat, rising
from ...spaces.search_space.space import label

Floats = NDArray[np.float64]
Columns = list[tuple[int, Floats]]  # the number of a group, and what one of its columns makes of each option
Places = dict[tuple[str, int], int]  # (path of a choice, index of an option) -> its place among all options

COSTS = ("params", "macs", "layers")
COUNT = 0.5  # what one option more counts, where a step from one option to another counts 1


class Features:
    """The features of a batch's codes. ``groups[column]`` numbers what belongs together, from 0 on.

    Each choice is a group, all counts are one, and so is each cost. Options that are rising numbers lie on a line,
    others all lie one step apart.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        graph = batch.constrained.graph
        self._places = {pair: place for place, pair in enumerate(_pairs(graph))}
        columns = _choice_columns(graph.options, self._places)
        columns += _count_columns(len(graph.options), graph.options, self._places)
        self._read = np.stack([column for _, column in columns], axis=1) if columns else np.zeros((0, 0))
        kinds = [group for group, _ in columns]
        first = max(kinds, default=-1) + 1
        self.groups = np.array([*kinds, *range(first, first + len(COSTS))])

    def of(self, codes: Codes) -> Floats:
        """One row for each code; costs as logarithms."""
        taken, costs = self._sums(codes)
        return np.concatenate([np.minimum(taken, 1.0) @ self._read, np.log(np.maximum(costs, 1.0))], axis=1)

    def _sums(self, codes: Codes) -> tuple[Floats, Floats]:
        taken = np.zeros((len(codes), len(self._places)))
        costs = np.tile(self._first, (len(codes), 1))
        on, node = np.arange(len(codes)), np.zeros(len(codes), dtype=np.int64)
        for column in codes.T:
            place = self.batch.first[node] + column[on]
            taken[on] += self._table[0][place]
            costs[on] += self._table[1][place]
            node = self.batch.targets[place]
            on, node = on[node >= 0], node[node >= 0]
        return taken, costs

    @property
    def _first(self) -> Floats:
        params, macs = self.batch.constrained.graph.first_cost[:2]
        return np.array([params, macs, 0], dtype=float)

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        """For each place of the batch, the options that lead along there (1 or 0) and its costs."""
        nodes = list(reversed(self.batch.constrained.graph.order))
        taken = np.zeros((len(self.batch.targets), len(self._places)))
        costs = np.zeros((len(self.batch.targets), len(COSTS)))
        for first, node in zip(self.batch.first, nodes, strict=True):
            for place, edge in enumerate(node.edges, start=int(first)):
                taken[place, [self._places[pair] for pair in edge.choices if pair in self._places]] = 1
                costs[place] = [*edge.cost[:2], len(edge.layers)]
            if node.last is not None:
                costs[int(first) + len(node.edges)] = [*node.last[:2], 0]
        return taken, costs


def _pairs(graph: Graph) -> list[tuple[str, int]]:
    return [(path, index) for path, options in sorted(graph.options.items()) for index in range(len(options))]


def _choice_columns(options_at: dict[str, tuple[Any, ...]], places: Places) -> Columns:
    """A mark that there is a choice and a line for rising numbers; a mark for each option otherwise."""
    columns: Columns = []
    for group, (path, options) in enumerate(sorted(options_at.items())):
        mine = [places[path, index] for index in range(len(options))]
        if rising(options):
            columns.append((group, _column(places, mine, [1.0] * len(mine))))
            columns.append((group, _column(places, mine, np.linspace(0, 1, len(mine)).tolist())))
        else:
            columns += [(group, _column(places, [place], [0.5**0.5])) for place in mine]
    return columns


def _count_columns(group: int, options_at: dict[str, tuple[Any, ...]], places: Places) -> Columns:
    """How often each option is taken, whichever choice of its name it is taken at; those of one choice say no more."""
    alike: dict[tuple[str, str], list[int]] = {}
    for path, options in sorted(options_at.items()):
        field = path.rpartition(".")[2].rstrip("'0123456789")
        for index, option in enumerate(options):
            alike.setdefault((field, _said(option)), []).append(places[path, index])
    return [(group, _column(places, mine, [COUNT] * len(mine))) for mine in alike.values() if len(mine) > 1]


def _said(option: Any) -> str:
    """An option in words: a block, or a sequence of blocks, by its kind, a value as it is."""
    block = isinstance(option, Block | Repeat | Choice) or (isinstance(option, tuple) and not _plain(option))
    return label(option) if block else repr(option)


def _plain(values: tuple[Any, ...]) -> bool:
    """Whether a sequence holds values, as the widths of an inception block's branches do."""
    return bool(values) and not any(isinstance(value, Block | Repeat | Choice | tuple) for value in values)


def _column(places: Places, mine: Sequence[int], values: Sequence[float]) -> Floats:
    column = np.zeros(len(places))
    column[list(mine)] = values
    return column
