"""Features of architectures and recipes for the Gaussian process, for thousands of codes at a time.

For each choice which option was taken, how often each option was taken anywhere in the network, the logarithms of
parameters and multiply-accumulates, and the number of layers. All are sums over the edges of a path through the
space's graph, so two encodings of one network have the same features.
"""

import random
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...spaces.blocks.base import Block
from ...spaces.constrained.graph import Graph
from ...spaces.constrained.vectorized import Batch, Codes
from ...spaces.parameters.domains import Choice, Range, Repeat, rising
from ...spaces.recipes.recipe import RecipeSpace
from ...spaces.search_space.space import label
from .candidate_pool import CandidatePool
from .recipe_sampling import Values

Floats = NDArray[np.float64]
Columns = list[tuple[int, Floats]]  # the number of a group, and the value of one of its columns for each option
Positions = dict[tuple[str, int], int]  # (path of a choice, index of an option) -> its position among all options

COSTS = ("params", "macs", "layers")
COUNT_SCALE = 0.5  # of one more use of an option, where a step from one option to another is 1
COST_SAMPLES = 1024  # draws that estimate the range of a cost
RANGE_SCALE = 2.0  # the range of a cost, where a step from one option to another is 1
ONE_HOT = 0.5**0.5  # of the option taken: two options without order are one step apart


class ScaledFeatures:
    """Features of architectures with recipes, scaled so that a step from one option to another is 1.

    ``groups[column]`` is the number of the column's group: those of :class:`Features`, then one for each free
    parameter of the recipe.
    """

    def __init__(self, pool: CandidatePool, recipes: RecipeSpace) -> None:
        self._features = Features(pool.batch)
        parameters = recipes.holes
        self._encoders = {name: _encoder(parameter) for name, parameter in parameters.items()}
        widths = [len(self._encoders[name](_any_value(parameter))) for name, parameter in parameters.items()]
        first = int(self._features.groups.max()) + 1
        self.groups = np.concatenate([self._features.groups, np.repeat(np.arange(len(widths)) + first, widths)])
        logs = self._features.of(pool.draw(COST_SAMPLES, random.Random(0)))[:, -len(COSTS) :]
        self._low, high = logs.min(axis=0), logs.max(axis=0)
        self._scale = RANGE_SCALE / np.where(high > self._low, high - self._low, np.inf)
        limited = [column for column, name in enumerate(COSTS) if name in pool.sieve.limited]
        self._limited = limited or [COSTS.index("params"), COSTS.index("macs")]

    def of(self, codes: Codes, recipes: Sequence[Values]) -> Floats:
        """Return one row for each code with its recipe; the recipes are repeated where there are fewer than codes."""
        encoded = [[part for name, encode in self._encoders.items() for part in encode(one[name])] for one in recipes]
        rows = np.array(encoded, dtype=float).reshape(len(recipes), -1)
        return np.concatenate([self._scaled(codes), rows[np.arange(len(codes)) % len(recipes)]], axis=1)

    def size(self, codes: Codes) -> Floats:
        """Return how large each is: the mean of its scaled log costs, only of the limited ones where any is limited."""
        return np.asarray(self._scaled(codes)[:, -len(COSTS) :][:, self._limited].mean(axis=1))

    def _scaled(self, codes: Codes) -> Floats:
        rows = self._features.of(codes)
        rows[:, -len(COSTS) :] = (rows[:, -len(COSTS) :] - self._low) * self._scale
        return rows


def _any_value(parameter: Choice | Range) -> Any:
    return parameter.low if isinstance(parameter, Range) else parameter.options[0]


def _encoder(parameter: Choice | Range) -> Callable[[Any], list[float]]:
    """Return the function that encodes a value: its position on the range or among rising options, else one-hot."""
    if isinstance(parameter, Range):
        return lambda value: [RANGE_SCALE * parameter.fraction(value)]
    options = parameter.options
    if rising(options):
        positions = {option: position / max(len(options) - 1, 1) for position, option in enumerate(options)}
        return lambda value: [positions[value]]
    one_hot = {option: [ONE_HOT * (option == other) for other in options] for option in options}
    return lambda value: one_hot[value]


class Features:
    """The features of a batch's codes. ``groups[column]`` is the number of the column's group, from 0 on.

    Each choice is a group, all counts are one, and so is each cost. Options that are rising numbers lie on a line,
    others all lie one step apart.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        graph = batch.constrained.graph
        self._positions = {pair: position for position, pair in enumerate(_pairs(graph))}
        columns = _choice_columns(graph.options, self._positions)
        columns += _count_columns(len(graph.options), graph.options, self._positions)
        self._columns = np.stack([column for _, column in columns], axis=1) if columns else np.zeros((0, 0))
        kinds = [group for group, _ in columns]
        first = max(kinds, default=-1) + 1
        self.groups = np.array([*kinds, *range(first, first + len(COSTS))])

    def of(self, codes: Codes) -> Floats:
        """Return one row for each code; costs as logarithms."""
        taken, costs = self._sums(codes)
        return np.concatenate([np.minimum(taken, 1.0) @ self._columns, np.log(np.maximum(costs, 1.0))], axis=1)

    def _sums(self, codes: Codes) -> tuple[Floats, Floats]:
        taken = np.zeros((len(codes), len(self._positions)))
        costs = np.tile(self._first_cost, (len(codes), 1))
        rows, node = np.arange(len(codes)), np.zeros(len(codes), dtype=np.int64)
        for column in codes.T:
            edge = self.batch.first[node] + column[rows]
            taken[rows] += self._edge_table[0][edge]
            costs[rows] += self._edge_table[1][edge]
            node = self.batch.targets[edge]
            rows, node = rows[node >= 0], node[node >= 0]
        return taken, costs

    @property
    def _first_cost(self) -> Floats:
        params, macs = self.batch.constrained.graph.first_cost[:2]
        return np.array([params, macs, 0], dtype=float)

    @cached_property
    def _edge_table(self) -> tuple[Floats, Floats]:
        """For each edge of the batch, which options it takes (1 or 0), and its costs."""
        nodes = list(reversed(self.batch.constrained.graph.order))
        taken = np.zeros((len(self.batch.targets), len(self._positions)))
        costs = np.zeros((len(self.batch.targets), len(COSTS)))
        for first, node in zip(self.batch.first, nodes, strict=True):
            for position, edge in enumerate(node.edges, start=int(first)):
                taken[position, [self._positions[pair] for pair in edge.choices if pair in self._positions]] = 1
                costs[position] = [*edge.cost[:2], len(edge.layers)]
            if node.last is not None:
                costs[int(first) + len(node.edges)] = [*node.last[:2], 0]
        return taken, costs


def _pairs(graph: Graph) -> list[tuple[str, int]]:
    return [(path, index) for path, options in sorted(graph.options.items()) for index in range(len(options))]


def _choice_columns(options_at: dict[str, tuple[Any, ...]], positions: Positions) -> Columns:
    """Return for rising numbers a mark that there is a choice and a line, for other options a mark each."""
    columns: Columns = []
    for group, (path, options) in enumerate(sorted(options_at.items())):
        own = [positions[path, index] for index in range(len(options))]
        if rising(options):
            columns.append((group, _column(positions, own, [1.0] * len(own))))
            columns.append((group, _column(positions, own, np.linspace(0, 1, len(own)).tolist())))
        else:
            columns += [(group, _column(positions, [position], [ONE_HOT])) for position in own]
    return columns


def _count_columns(group: int, options_at: dict[str, tuple[Any, ...]], positions: Positions) -> Columns:
    """Return how often each option is taken at any choice of its name; an option of a single choice adds nothing."""
    alike: dict[tuple[str, str], list[int]] = {}
    for path, options in sorted(options_at.items()):
        field = path.rpartition(".")[2].rstrip("'0123456789")
        for index, option in enumerate(options):
            alike.setdefault((field, _text(option)), []).append(positions[path, index])
    return [(group, _column(positions, own, [COUNT_SCALE] * len(own))) for own in alike.values() if len(own) > 1]


def _text(option: Any) -> str:
    """Return an option as text: a block, or a sequence of blocks, by its kind, a value as it is."""
    block = isinstance(option, Block | Repeat | Choice) or (isinstance(option, tuple) and not _plain(option))
    return label(option) if block else repr(option)


def _plain(values: tuple[Any, ...]) -> bool:
    """Return whether a sequence holds values, as the widths of an inception block's branches do."""
    return bool(values) and not any(isinstance(value, Block | Repeat | Choice | tuple) for value in values)


def _column(positions: Positions, own: Sequence[int], values: Sequence[float]) -> Floats:
    column = np.zeros(len(positions))
    column[list(own)] = values
    return column
