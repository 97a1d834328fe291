"""Costs of networks of timm and torchvision at a given image size, measured on the meta device."""

import warnings
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...spaces.networks.table import PublishedNetwork, SizeCosts
from ..networks.backbones import backbone
from .network_costs import network_costs

# They fill tensors with values, which meta tensors do not have, and take most of the time of a construction.
FILLING = {"uniform_", "normal_", "erfinv_", "clamp_", "mul_", "add_", "sub_", "fill_", "zero_", "trunc_normal_"}
MAX_REASON = 200  # characters


class SkipFilling(TorchFunctionMode):
    """Leave out the initialisation of tensors on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in FILLING and args and isinstance(args[0], Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def unfilled(name: str, size: int | None) -> nn.Module:
    """Build the network ``name`` for images of ``size`` on the meta device, without its classifier."""
    with SkipFilling():
        return backbone(name, classes=0, image_size=size, device="meta")


def size_costs(network: PublishedNetwork, size: int) -> SizeCosts | str:
    """Return the costs of ``network`` for images of ``size`` x ``size``, or why it cannot take them.

    Networks that are built for one size are built for ``size``; others get the images as they are.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # inside timm and torchvision
            costs = network_costs(unfilled(network.name, size), (network.channels, size, size))
    except (MemoryError, OSError):  # say nothing about the network
        raise
    except Exception as error:  # each of 1,400 networks has its own reasons
        reason = next(iter(str(error).strip().splitlines()), "")
        return f"{type(error).__name__}: {reason}"[:MAX_REASON]
    if costs.unknown:
        return f"{', '.join(costs.unknown)} cannot be counted"
    if costs.features != network.features:
        return f"it has {costs.features} features at this size, but {network.features} at its published one"
    return SizeCosts(*(getattr(costs, name) for name in SizeCosts._fields))
