"""Networks of timm and torchvision for searchers: features of the published facts, and first designs of each family."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...spaces.architectures.architecture import Architecture
from ...spaces.blocks.backbone import Network
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.networks.table import PublishedNetwork, network_table
from ...spaces.parameters.domains import Choice

N_SPREAD = 4  # families of the first proposals
Floats = NDArray[np.float64]
Positions = Mapping[tuple[str, int], int]  # (path of a choice, index of an option) -> its position among all options

# the facts that distinguish networks of one family, in addition to their costs
_FACTS: tuple[Callable[[Network, PublishedNetwork], float | None], ...] = (
    lambda block, published: math.log(block.size),
    lambda block, published: math.log(max(published.depth, 1)),
    lambda block, published: published.top1,
)


def networks_in(option: Any) -> list[Network] | None:
    """Return the networks that ``option`` may become, or None if it may become anything else."""
    if isinstance(option, Network):
        return [option]
    if not isinstance(option, Choice):
        return None
    parts = [networks_in(part) for part in option.options]
    return None if None in parts else [network for part in parts for network in part or ()]


def is_within_family(options: tuple[Any, ...]) -> bool:
    """Return whether all ``options`` of a choice are networks of one family, whose facts say how they differ."""
    networks = networks_in(Choice(options))
    table = network_table()
    if networks is None or any(network.name not in table for network in networks):
        return False
    return len({(table[network.name].source, table[network.name].family) for network in networks}) == 1


def fact_columns(options_at: Mapping[str, tuple[Any, ...]], positions: Positions, scale: float) -> list[Floats]:
    """Return a column (n_options,) for image size, depth and published accuracy of networks, each in 0 to ``scale``.

    The values of networks without a published accuracy are the mean of the others. A fact that never varies has no
    column, and neither has a space without networks.
    """
    blocks = list(_blocks(options_at))
    table = network_table() if blocks else {}
    known = [(pair, block, table[block.name]) for pair, block in blocks if block.name in table]
    columns = []
    for fact in _FACTS:
        values = {pair: fact(block, published) for pair, block, published in known}
        numbers = [value for value in values.values() if value is not None]
        if not numbers or min(numbers) == max(numbers):
            continue
        low, high, mean = min(numbers), max(numbers), sum(numbers) / len(numbers)
        column = np.zeros(len(positions))
        for pair, value in values.items():
            column[positions[pair]] = scale * ((mean if value is None else value) - low) / (high - low)
        columns.append(column)
    return columns


def _blocks(options_at: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[tuple[str, int], Network]]:
    for path, options in options_at.items():
        for index, option in enumerate(options):
            if isinstance(option, Network):
                yield (path, index), option


def first_designs(searcher: str, constrained: ConstrainedSpace) -> list[Architecture]:
    """Return networks of several families for the first trials; none for a searcher that does not learn from them."""
    return [] if searcher in ("random", "grid") else designs_of_families(constrained)


def designs_of_families(constrained: ConstrainedSpace, n: int = N_SPREAD) -> list[Architecture]:
    """Return up to ``n`` networks inside the budget, each the most promising one of another family.

    The most promising network has the highest published accuracy, or else the most multiply-accumulates. The list is
    empty for a space of other architectures.
    """
    table = network_table() if isinstance(_first_block(constrained), Network) else {}
    best: dict[tuple[str, str], tuple[tuple[float, int], Architecture]] = {}
    for edge in constrained.graph.start.edges if table else ():
        block = edge.blocks[0]
        published = table.get(block.name) if isinstance(block, Network) else None
        if published is None or edge.target.last is None or not constrained.fits_path([edge]):
            continue
        promise = (published.top1 or 0.0, edge.cost.macs)
        family = published.source, published.family
        if family not in best or promise > best[family][0]:
            best[family] = promise, constrained.graph.architecture([edge])
    return [architecture for _, architecture in sorted(best.values(), key=lambda entry: entry[0], reverse=True)[:n]]


def _first_block(constrained: ConstrainedSpace) -> Any:
    edges = constrained.graph.start.edges
    return edges[0].blocks[0] if edges else None
