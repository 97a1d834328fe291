"""The list that ``archsieve space "timm:*"`` prints: networks inside a budget."""

from typing import Any

from ...spaces.architectures.budget import Budget, format_count
from ...spaces.networks.listing import NetworkList, NetworkRow, list_networks
from ...spaces.networks.table import table_versions
from ..experiment.other_sizes import costs_of
from .output import show, show_json
from .tables import table

UNITS = (
    "macs: multiply-accumulates of convolutions, linear layers and attention at batch 1; peak: memory of feature maps "
    "in inference; top1: accuracy on ImageNet in percent, where torchvision publishes it"
)


def show_networks(
    pattern: str,
    budget: Budget,
    classes: int | None,
    image_size: int | None,
    *,
    pretrained: bool,
    sort: str,
    json: bool,
) -> None:
    """Print the networks of ``pattern`` inside ``budget`` as a table or as JSON."""
    classes = 1000 if classes is None else classes
    networks = list_networks(
        pattern,
        budget,
        classes=classes,
        image_size=image_size,
        pretrained=pretrained,
        sort=sort,
        costs_of=costs_of,
    )
    if json:
        show_json(_json(pattern, budget, classes, networks))
        return
    headers = ("network", "family", "params", "macs", "image", "peak", "weights", "top1")
    rows = [_cells(row) for row in networks.rows]
    shown = [table("", headers, rows, left=("network", "family", "weights"))] if rows else []
    show(_summary(pattern, budget, classes, networks), *shown, UNITS)


def _summary(pattern: str, budget: Budget, classes: int, networks: NetworkList) -> str:
    versions = " and ".join(f"{name} {version}" for name, version in table_versions().items())
    without = f"; {networks.n_without_cost:,} have no costs at this image size" if networks.n_without_cost else ""
    return (
        f"space {pattern!r}: {networks.n_networks:,} networks of {versions}, each with a linear layer for {classes:,} "
        f"classes{without}; inside the budget ({budget}): {len(networks.rows):,}"
    )


def _cells(row: NetworkRow) -> tuple[str, ...]:
    network = row.network
    return (
        network.name,
        network.family,
        format_count(row.cost.params),
        format_count(row.cost.macs),
        str(row.size),
        f"{format_count(row.peak_bytes)}B",
        network.tag,
        "" if network.top1 is None else f"{network.top1:.2f}",
    )


def _json(pattern: str, budget: Budget, classes: int, networks: NetworkList) -> dict[str, Any]:
    return {
        "space": pattern,
        "classes": classes,
        "budget": {name: high for name, (_, high) in budget.limits().items()},
        "size": networks.n_networks,
        "without_costs": networks.n_without_cost,
        "feasible": len(networks.rows),
        "networks": [row.to_json() for row in networks.rows],
    }
