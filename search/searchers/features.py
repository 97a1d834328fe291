"""Features of architectures and recipes for the Gaussian process, computed for thousands of codes together.

The features of an architecture are: the option selected at each choice, how often each option is selected anywhere in
the network, and the logarithms of its parameters, multiply-accumulates and number of layers. All are sums over the
edges of a path through the graph of the space, so two encodings of one network have the same features.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...results.database.records import COSTS as TRIAL_COSTS
from ...spaces.blocks.base import Block
from ...spaces.blocks.cost import Cost
from ...spaces.constrained.graph import Edge, Graph, Node
from ...spaces.constrained.vectorized import Codes, GraphArrays
from ...spaces.parameters.domains import Choice, Range, Repeat, is_ascending
from ...spaces.recipes.recipe import RecipeSpace
from ...spaces.search_space.space import label
from .candidate_pool import CandidatePool
from .network_features import fact_columns, is_within_family
from .recipe_sampling import Values

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]  # (d,): the group of each feature
Columns = list[tuple[int, Floats]]  # (group number, value of the column for each option (n_options,))
Positions = dict[tuple[str, int], int]  # (path of a choice, index of an option) -> its position among all options

COSTS = ("params", "macs", "layers")
# the unit of all scales is the distance between two options of one choice
COUNT_SCALE = 0.5  # distance of one more use of an option
COST_SAMPLES = 1024  # draws that estimate the range of a cost
RANGE_SCALE = 2.0  # length of the range of a cost or of a recipe's range
ONE_HOT = 0.5**0.5  # value of the selected option in one-hot columns: the distance of two options is then 1


class ScaledFeatures:
    """Scaled features of architectures with recipes: the distance of two options of one choice is 1.

    ``groups`` (d,) is the group number of each column: first the groups of :class:`Features`, then one group for each
    free parameter of the recipe.
    """

    def __init__(self, pool: CandidatePool, recipes: RecipeSpace) -> None:
        self.unscaled = Features(pool.batch)
        self.network_groups = self.unscaled.groups
        self.n_network = len(self.network_groups)  # the first columns describe the network, the others its recipe
        parameters = recipes.free_parameters
        self._encoders = {name: _encoder(parameter) for name, parameter in parameters.items()}
        self._widths = [len(self._encoders[name](_any_value(parameter))) for name, parameter in parameters.items()]
        first = int(self.network_groups.max()) + 1
        numbers = np.repeat(np.arange(len(parameters)) + first, self._widths)
        self.groups: Groups = np.concatenate([self.network_groups, numbers]).astype(np.int64)
        logs = self.unscaled.of(pool.draw(COST_SAMPLES, random.Random(0)))[:, -len(COSTS) :]
        self._low, high = logs.min(axis=0), logs.max(axis=0)
        # dividing by infinity sets the scale of a cost that never varies to 0
        self._scale = RANGE_SCALE / np.where(high > self._low, high - self._low, np.inf)
        limited = [column for column, name in enumerate(COSTS) if name in pool.constrained.limited]
        self._limited = limited or [COSTS.index("params"), COSTS.index("macs")]

    def of(self, codes: Codes, recipes: Sequence[Values]) -> Floats:
        """Return the features (n, d) of ``codes`` (n, steps) with ``recipes``, repeated if they are fewer than n."""
        rows = self.of_recipes(recipes, tuple(self._encoders))
        return np.concatenate([self.of_networks(codes), rows[np.arange(len(codes)) % len(recipes)]], axis=1)

    def of_networks(self, codes: Codes) -> Floats:
        """Return the first ``n_network`` columns of :meth:`of`, which describe the networks."""
        rows = self.unscaled.of(codes)
        rows[:, -len(COSTS) :] = (rows[:, -len(COSTS) :] - self._low) * self._scale
        return rows

    def of_recipes(self, recipes: Sequence[Values], names: Sequence[str]) -> Floats:
        """Return the columns (n, d) of the free parameters ``names`` for ``recipes`` (n,)."""
        encoded = [[part for name in names for part in self._encoders[name](one[name])] for one in recipes]
        return np.array(encoded, dtype=float).reshape(len(recipes), -1)

    def recipe_columns(self, names: Sequence[str]) -> Groups:
        """Return the positions of the columns of the free parameters ``names`` in :meth:`of`."""
        owner = np.repeat(np.arange(len(self._widths)), self._widths)
        chosen = [number for number, name in enumerate(self._encoders) if name in names]
        return self.n_network + np.flatnonzero(np.isin(owner, chosen))

    def size(self, codes: Codes) -> Floats:
        """Return the size (n,) of each architecture: the mean of its scaled log costs.

        Only limited costs count; without a limited one, parameters and multiply-accumulates do.
        """
        return np.asarray(self.of_networks(codes)[:, -len(COSTS) :][:, self._limited].mean(axis=1))


def _any_value(parameter: Choice | Range) -> Any:
    return parameter.low if isinstance(parameter, Range) else parameter.options[0]


def _encoder(parameter: Choice | Range) -> Callable[[Any], list[float]]:
    """Return a function that encodes a value: its position in the range or among rising options, else one-hot."""
    if isinstance(parameter, Range):
        return lambda value: [RANGE_SCALE * parameter.fraction(value)]
    options = parameter.options
    if is_ascending(options):
        # the rank, not the value: options such as 8, 16, 64 are evenly spaced
        positions = {option: position / max(len(options) - 1, 1) for position, option in enumerate(options)}
        return lambda value: [positions[value]]
    one_hot = {option: [ONE_HOT * (option == other) for other in options] for option in options}
    return lambda value: one_hot[value]


class Features:
    """Unscaled features of the codes of a batch; ``groups`` (d,) is the group number of each column, from 0.

    Each choice is one group, all counts together are one group, and each cost is one group. The Gaussian process has
    one weight for each group. Options that are rising numbers share one column; any two other options of a choice have
    the same distance. Networks of timm and torchvision of one family are described by their image size, depth and
    published accuracy instead, each of which is a group.
    """

    def __init__(self, batch: GraphArrays) -> None:
        self.batch = batch
        graph = batch.constrained.graph
        self._positions = {pair: position for position, pair in enumerate(_pairs(graph))}
        columns = _choice_columns(graph.options, self._positions)
        columns += _count_columns(len(graph.options), graph.options, self._positions)
        first = len(graph.options) + 1
        facts = fact_columns(graph.options, self._positions, RANGE_SCALE)
        columns += [(first + number, column) for number, column in enumerate(facts)]
        self._columns = np.stack([column for _, column in columns], axis=1) if columns else np.zeros((0, 0))
        # numbered without gaps, because the Gaussian process has a weight for each number
        used = {group: number for number, group in enumerate(sorted({group for group, _ in columns}))}
        kinds = [used[group] for group, _ in columns]
        first = max(kinds, default=-1) + 1
        self.groups = np.array([*kinds, *range(first, first + len(COSTS))])

    def of(self, codes: Codes) -> Floats:
        """Return the features (n, d) of ``codes`` (n, steps); the last columns are the logarithms of the costs."""
        sums = path_sums(self.batch, codes, self._edge_table)
        selected, costs = sums[:, : -len(COSTS)], sums[:, -len(COSTS) :] + self._first_cost
        # a repeated block selects an option several times, which still counts as selected once
        return np.concatenate([np.minimum(selected, 1.0) @ self._columns, np.log(np.maximum(costs, 1.0))], axis=1)

    def log_costs(self, codes: Codes) -> Floats:
        """Return the logarithms of parameters, multiply-accumulates and number of layers (n, 3)."""
        sums = path_sums(self.batch, codes, self._edge_table[:, -len(COSTS) :])
        return np.log(np.maximum(sums + self._first_cost, 1.0))

    @property
    def _first_cost(self) -> Floats:
        params, macs = self.batch.constrained.graph.base_cost[:2]
        return np.array([params, macs, 0], dtype=float)

    @cached_property
    def _edge_table(self) -> Floats:
        """For each edge of the batch: the options that it selects (1 or 0), then its costs."""
        selected = np.zeros((len(self.batch.targets), len(self._positions)))
        costs = np.zeros((len(self.batch.targets), len(COSTS)))
        for position, edge in numbered_edges(self.batch):
            selected[position, [self._positions[pair] for pair in edge.choices if pair in self._positions]] = 1
            costs[position] = [*edge.cost[:2], len(edge.layers)]
        for first, node in numbered_nodes(self.batch):
            if node.last is not None:
                costs[first + len(node.edges)] = [*node.last[:2], 0]
        return np.concatenate([selected, costs], axis=1)


class KnownCosts:
    """The exact costs of codes: the columns are those of ``COSTS`` of the records, in this order."""

    def __init__(self, batch: GraphArrays) -> None:
        self._batch = batch
        self._edge_table = np.zeros((len(batch.targets), len(TRIAL_COSTS)))
        for position, edge in numbered_edges(batch):
            self._edge_table[position] = self._row(edge.cost)
        for first, node in numbered_nodes(batch):
            if node.last is not None:
                self._edge_table[first + len(node.edges)] = self._row(node.last)

    def of(self, codes: Codes) -> Floats:
        """Return the costs (n, ``len(COSTS)``) of ``codes`` (n, steps)."""
        return path_sums(self._batch, codes, self._edge_table) + self._row(self._batch.constrained.graph.base_cost)

    def _row(self, cost: Cost) -> Floats:
        at_batch = cost.at(self._batch.constrained.batch_size)
        return np.array([getattr(at_batch, name) for name in TRIAL_COSTS], dtype=float)


def numbered_edges(batch: GraphArrays) -> Iterator[tuple[int, Edge]]:
    """Yield the edges of the graph with their positions in ``batch``."""
    for first, node in numbered_nodes(batch):
        yield from enumerate(node.edges, start=first)


def numbered_nodes(batch: GraphArrays) -> Iterator[tuple[int, Node]]:
    """Yield the nodes of the graph with the position of their first edge in ``batch``."""
    nodes = reversed(batch.constrained.graph.order)  # the order of ``GraphArrays``
    return zip(map(int, batch.first), nodes, strict=True)


def path_sums(batch: GraphArrays, codes: Codes, edge_table: Floats) -> Floats:
    """Return the sums (n, d) of the rows of ``edge_table`` (n_edges, d) along the paths of ``codes`` (n, steps)."""
    sums = np.zeros((len(codes), edge_table.shape[1]))
    rows, node = np.arange(len(codes)), np.zeros(len(codes), dtype=np.int64)
    # all codes take one step together; ``rows`` are those whose path has not ended
    for column in codes.T:
        edge = batch.first[node] + column[rows]
        sums[rows] += edge_table[edge]
        node = batch.targets[edge]
        rows, node = rows[node >= 0], node[node >= 0]
    return sums


def _pairs(graph: Graph) -> list[tuple[str, int]]:
    return [(path, index) for path, options in sorted(graph.options.items()) for index in range(len(options))]


def _choice_columns(options_at: dict[str, tuple[Any, ...]], positions: Positions) -> Columns:
    """Return the columns of each choice: two for options that are rising numbers, else one for each option."""
    columns: Columns = []
    for group, (path, options) in enumerate(sorted(options_at.items())):
        if is_within_family(options):  # networks that their costs and published facts describe
            continue
        option_positions = [positions[path, index] for index in range(len(options))]
        if is_ascending(options):
            # the first column shows that the choice applies: without it the first option, 0 in the second column,
            # would equal a choice that does not apply
            columns.append((group, _column(positions, option_positions, [1.0] * len(option_positions))))
            scale = np.linspace(0, 1, len(option_positions)).tolist()
            columns.append((group, _column(positions, option_positions, scale)))
        else:
            columns += [(group, _column(positions, [position], [ONE_HOT])) for position in option_positions]
    return columns


def _count_columns(group: int, options_at: dict[str, tuple[Any, ...]], positions: Positions) -> Columns:
    """Return a column for each option that several choices of one name have: how often any of them selects it.

    An option of a single choice gets no column, because its column would repeat that of the choice.
    """
    equal_options: dict[tuple[str, str], list[int]] = {}
    for path, options in sorted(options_at.items()):
        field = path.rpartition(".")[2].rstrip("'0123456789")
        for index, option in enumerate(options):
            equal_options.setdefault((field, _text(option)), []).append(positions[path, index])
    groups = [equal for equal in equal_options.values() if len(equal) > 1]
    return [(group, _column(positions, equal, [COUNT_SCALE] * len(equal))) for equal in groups]


def _text(option: Any) -> str:
    """Return an option as text: the label of a block or of a sequence of blocks, the ``repr`` of a value."""
    block = isinstance(option, Block | Repeat | Choice) or (isinstance(option, tuple) and not _plain(option))
    return label(option) if block else repr(option)


def _plain(values: tuple[Any, ...]) -> bool:
    """Return whether a sequence holds plain values, such as the widths of an inception block's branches."""
    return bool(values) and not any(isinstance(value, Block | Repeat | Choice | tuple) for value in values)


def _column(positions: Positions, option_positions: Sequence[int], values: Sequence[float]) -> Floats:
    """Return a column (n_options,) with ``values`` at ``option_positions`` and 0 elsewhere."""
    column = np.zeros(len(positions))
    column[list(option_positions)] = values
    return column
