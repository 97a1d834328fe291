"""Lists of networks inside a budget, with their costs: sorted, and without building a search space."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..architectures.architecture import Architecture
from ..architectures.budget import Budget
from ..blocks.base import ShapeError
from ..blocks.cost import Cost
from ..parameters.lookup import look_up
from .networks_space import no_costs
from .other_sizes import CostsOf, with_sizes
from .patterns import select
from .table import PublishedNetwork


@dataclass(frozen=True)
class NetworkRow:
    """A network at one image size, with a linear layer: its cost and the facts about it.

    ``cost`` is that of the architecture, for images of the network's size. ``peak_bytes`` is the memory of feature maps
    during inference.
    """

    network: PublishedNetwork
    size: int
    cost: Cost
    peak_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON types; the multiply-accumulates of the network are given by kind, too."""
        network, costs = self.network, self.network.costs[self.size]
        facts = {
            name: getattr(network, name)
            for name in ("name", "family", "depth", "tag", "top1", "interpolation", "crop_pct")
        }
        macs = {name: getattr(costs, name) for name in ("conv_macs", "linear_macs", "attention_macs")}
        preprocessing = {"mean": list(network.mean), "std": list(network.std)}
        return {
            **facts,
            "image_size": self.size,
            **self.cost.to_json(),
            **macs,
            "peak_bytes": self.peak_bytes,
            **preprocessing,
        }


@dataclass(frozen=True)
class NetworkList:
    """The networks of a pattern that fit a budget; ``n_networks`` match it, of which ``n_without_cost`` have no costs.

    A network has no costs at an image size that was not measured, or that it cannot take.
    """

    rows: tuple[NetworkRow, ...]
    n_networks: int
    n_without_cost: int


SORT_KEYS: dict[str, Callable[[NetworkRow], tuple[Any, ...]]] = {
    "params": lambda row: (row.cost.params,),
    "macs": lambda row: (row.cost.macs,),
    "activations": lambda row: (row.cost.activations,),
    "memory": lambda row: (row.cost.memory_bytes,),
    "peak": lambda row: (row.peak_bytes,),
    "top1": lambda row: (row.network.top1 is None, -(row.network.top1 or 0.0)),
    "name": lambda row: (row.network.name,),
}


def list_networks(
    patterns: str | Sequence[str],
    budget: Budget,
    *,
    classes: int = 1000,
    image_size: int | None = None,
    pretrained: bool = False,
    sort: str = "macs",
    costs_of: CostsOf | None = None,
) -> NetworkList:
    """Return the networks of ``patterns`` inside ``budget``, each with a linear layer for ``classes`` classes.

    ``image_size`` is the side of the images in pixels; None is the published size of each network. ``sort`` is a key of
    :data:`SORT_KEYS`: the smallest cost first, or the highest accuracy. At a size that the table lacks, ``costs_of``
    gives the costs of the networks whose parameters may be within ``budget``; without it, only the table counts.

    Raises ``ValueError`` for a pattern that matches nothing, for an unknown ``sort``, for an image size at which no
    network has costs, and if no network is inside the budget.
    """
    if budget.device_limits():
        raise ValueError(
            f"RAM and flash of networks of timm and torchvision are not known, but the budget is {budget}; use other "
            "limits"
        )
    key = look_up(SORT_KEYS, sort, "order of networks")
    selected = networks = select(patterns, pretrained=pretrained)
    if costs_of is not None and image_size is not None:
        networks = with_sizes(selected, (image_size,), budget, classes, costs_of)
    rows = [row for network in networks if (row := _row(network, image_size, classes)) is not None]
    if not rows and image_size is not None:
        raise ValueError(no_costs(networks, (image_size,)))
    fitting = [row for row in rows if budget.allows(row.cost)]
    if not fitting:
        raise ValueError(_none_fits(rows, budget, len(rows) + len(selected) - len(networks)))
    # the name orders networks of equal cost, so that a list is the same every time
    in_order = sorted(fitting, key=lambda row: (*key(row), row.network.name))
    return NetworkList(tuple(in_order), len(selected), len(networks) - len(rows))


def _none_fits(rows: Sequence[NetworkRow], budget: Budget, n_networks: int) -> str:
    limited = [name for name in ("params", "macs") if name in budget.limits()] or ["params"]
    smallest = {name: min(rows, key=SORT_KEYS[name]) for name in limited}
    named = "; ".join(
        f"the smallest by {name} is {row.network.name}: params {row.cost.params:,}, macs {row.cost.macs:,}"
        for name, row in smallest.items()
    )
    return f"a network must fit {budget}, but none of {n_networks:,} does; {named}; raise the limits"


def _row(network: PublishedNetwork, image_size: int | None, classes: int) -> NetworkRow | None:
    size = network.size if image_size is None else image_size
    costs = network.costs.get(size)
    if costs is None:
        return None
    try:
        architecture = Architecture((network.channels, size, size), (network.block(size),), classes)
    except ShapeError:
        return None
    return NetworkRow(network, size, architecture.cost, costs.peak_bytes)
