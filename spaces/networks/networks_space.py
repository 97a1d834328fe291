"""Spaces of networks: each architecture is one network of timm or torchvision at one image size, and a linear layer."""

from collections.abc import Sequence

from ..architectures.architecture import Architecture
from ..architectures.budget import Budget
from ..blocks.backbone import Backbone
from ..parameters.domains import choice
from ..search_space.image_sizes import checked_sizes
from ..search_space.space import Space, Template
from .other_sizes import CostsOf, with_sizes
from .patterns import select
from .table import PublishedNetwork, network_table

NAME = "networks"  # of every such space


def networks_space(
    patterns: str | Sequence[str],
    *,
    input_shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
    image_size: int | Sequence[int] | None = None,
    pretrained: bool = False,
    budget: Budget | None = None,
    costs_of: CostsOf | None = None,
) -> Space:
    """Return the space of the networks of ``patterns`` for images of ``input_shape`` (C, H, W).

    First a family is chosen, then a network, then its image size. ``image_size`` are the sizes to choose from; None is
    the published size of each network. An image of another size is resized in the network, with its published
    interpolation. ``pretrained`` keeps the networks with published weights. At sizes that the table lacks,
    ``costs_of`` gives the costs of the networks whose parameters may be within ``budget``; without it, only the table
    counts.

    Raises ``ValueError`` if no network matches, or none has known costs at these sizes.
    """
    sizes = None if image_size is None else checked_sizes(image_size)
    families: dict[str, list[Template]] = {}
    selected = select(patterns, pretrained=pretrained)
    usable = [network for network in selected if _takes(network, input_shape)]
    if costs_of is not None and sizes is not None and usable:
        usable = with_sizes(usable, sizes, budget or Budget(), classes, costs_of)
    for network in usable:
        if options := _options(network, sizes):
            families.setdefault(f"{network.source}:{network.family}", []).append(_choice(options))
    if not families:
        raise ValueError(_no_size(selected, input_shape, sizes))
    return Space(input_shape, (_choice([_choice(options) for options in families.values()]),), classes, NAME)


def _choice(options: list[Template]) -> Template:
    return choice(*options) if len(options) > 1 else options[0]


def _takes(network: PublishedNetwork, input_shape: tuple[int, int, int]) -> bool:
    return input_shape[0] in (1, network.channels)


def _options(network: PublishedNetwork, sizes: tuple[int, ...] | None) -> list[Template]:
    sizes = (network.size,) if sizes is None else sizes
    return [network.block(size) for size in sizes if size in network.costs]


def _no_size(
    networks: Sequence[PublishedNetwork], input_shape: tuple[int, int, int], sizes: tuple[int, ...] | None
) -> str:
    if not any(_takes(network, input_shape) for network in networks):
        return (
            f"the costs of networks are known for images of 1 or {networks[0].channels} channels, but the images have "
            f"{input_shape[0]}; load them as colour or grey images"
        )
    return no_costs(networks, sizes or ())


def no_costs(networks: Sequence[PublishedNetwork], sizes: Sequence[int]) -> str:
    """Return the message for ``networks`` of which none has costs at any of ``sizes``."""
    known = sorted({size for network in networks for size in network.costs})
    return (
        f"a network must have known costs at the image size, but none of the {len(networks):,} networks has any at "
        f"{', '.join(map(str, sizes))} pixels; use one of {', '.join(map(str, known))}"
    )


def published_network(architecture: Architecture) -> PublishedNetwork | None:
    """Return the network of timm or torchvision that ``architecture`` has, or None for other architectures."""
    name = network_name(architecture)
    return None if name is None else network_table().get(name)


def network_name(architecture: Architecture) -> str | None:
    """Return the name of the network of timm or torchvision in ``architecture``, or None if it has none."""
    return next((layer.name for layer in architecture.body if isinstance(layer, Backbone)), None)
