"""Checks of ``space.weights`` before a search starts: what is missing should not fail in each trial."""

from typing import TYPE_CHECKING

from ...spaces.networks.patterns import PRETRAINED, select

if TYPE_CHECKING:
    from ..config.schema import SpaceSection


def check_weights(space: "SpaceSection") -> None:
    """Raise ``ValueError`` where ``space.weights`` is set for a space without networks of timm or torchvision."""
    has_networks = space.networks is not None or space.backbone is not None or space.written is not None
    if space.weights is not None and not has_networks:
        raise ValueError(
            f"space.weights needs space.networks, but got weights {space.weights!r} alone; set networks, as in "
            'networks = ["timm:resnet18"], or leave weights out'
        )


def check_available(space: "SpaceSection") -> None:
    """Raise ``ValueError`` if the hub is offline and its cache has the weights of none of the networks."""
    if space.weights != PRETRAINED or space.networks is None:
        return
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        return
    from ...models.networks.published_weights import cached_file

    networks = select(space.networks, pretrained=True)
    if not any(cached_file(network.name) for network in networks):
        raise ValueError(
            f'space.weights = "pretrained" needs the published weights, but the hub is offline (HF_HUB_OFFLINE) and '
            f"the cache {constants.HF_HUB_CACHE} has none of the {len(networks):,} networks, the first is "
            f"{networks[0].name}; unset HF_HUB_OFFLINE, fill the cache, or set weights to a folder of files"
        )
