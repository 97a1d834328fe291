"""Spaces from Python: how many architectures fit a budget, samples of them, and what one costs."""

import random
from typing import TYPE_CHECKING, Any, Literal

from ...results.database.records import Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import Budget
from ...spaces.architectures.catalogue import named
from ...spaces.architectures.cost import cost as exact_cost
from ...spaces.blocks.cost import DEFAULT_BATCH, Cost
from ...spaces.constrained import sampling
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.search_space.named import named_space
from ...spaces.search_space.space import Space

if TYPE_CHECKING:
    from torch import nn

    from ...models.profiling.records import ModuleProfile

# what a function takes where it needs one network: itself, a trial of a results database, or a name such as "resnet18"
Network = Architecture | Trial | str


def count(space: Space | ConstrainedSpace | str, budget: Budget | None = None) -> sampling.Count:
    """Count the architectures of ``space`` inside ``budget``; ``int(...)`` of the result is the number.

    ``space`` may be the name of a space, such as "mixed". The count is exact where all costs fit into a
    table. Otherwise it is an estimate with certain bounds ``low`` and ``high`` and a ``standard_error``.
    """
    return sampling.count(constrained_of(space, budget))


def sample(
    space: Space | ConstrainedSpace | str,
    budget: Budget | None = None,
    n: int = 1,
    *,
    seed: int = 0,
    by: Literal["uniform", "log-macs"] = "uniform",
) -> list[Architecture]:
    """Draw ``n`` architectures of ``space`` inside ``budget``, independently; the same seed draws the same.

    With ``by="uniform"`` every architecture that fits is equally likely; "log-macs" spreads the draws evenly over the
    logarithm of the multiply-accumulates. Raises :class:`BudgetError` where nothing fits.
    """
    if type(n) is not int or n < 0:
        raise ValueError(f"n must be a whole number of at least 0, but got {n!r}; pass the number of draws")
    return sampling.sample(constrained_of(space, budget), n, random.Random(seed), by)


def cost(network: Network, *, batch_size: int = DEFAULT_BATCH) -> Cost:
    """Return the exact cost of ``network``: params, macs, activations, and training memory at ``batch_size``.

    Nothing is built and torch is not imported. ``macs`` are multiply-accumulates at batch 1, half of ``flops``.
    """
    return exact_cost(architecture_of(network), batch_size)


def profile(network: "Network | nn.Module", input_shape: tuple[int, int, int] | None = None) -> "ModuleProfile":
    """Count a network on the meta device, operator by operator: params, macs, activations, and what was not counted.

    ``network`` may be an architecture, a trial, a name ("resnet18", "timm:resnet18", "torchvision:vgg16"), or any
    ``torch.nn.Module``, which needs ``input_shape`` (C, H, W). Nothing is downloaded.
    """
    from torch import nn

    from ...models.networks.backbones import DEFAULT_INPUT, backbone
    from ...models.networks.build import build
    from ...models.profiling.profiler import profile_module

    if isinstance(network, nn.Module):
        if input_shape is None:
            raise ValueError("profile(module) needs input_shape, as in profile(module, (3, 224, 224)), but got None")
        return profile_module(network, input_shape)
    if isinstance(network, str) and ":" in network:
        shape = input_shape or DEFAULT_INPUT
        return profile_module(backbone(network, in_channels=shape[0], device="meta"), shape)
    architecture = architecture_of(network, input_shape)
    return profile_module(build(architecture, device="meta"), architecture.input_shape)


def constrained_of(space: Space | ConstrainedSpace | str, budget: Budget | None = None) -> ConstrainedSpace:
    """Return ``space`` under ``budget``; a constrained space has its own."""
    if isinstance(space, ConstrainedSpace):
        if budget is not None:
            raise ValueError(
                f"a ConstrainedSpace has a budget of its own, {space.budget}, but got {budget} too; pass its .space"
            )
        return space
    if isinstance(space, str):
        space = named_space(space)
    if not isinstance(space, Space):
        raise TypeError(f"a space must be a Space or the name of one, but got {type(space).__name__}")
    return ConstrainedSpace(space, budget)


def architecture_of(network: Any, input_shape: tuple[int, int, int] | None = None) -> Architecture:
    """Return the architecture that is meant: itself, that of a trial, the one of a name, or from JSON."""
    if isinstance(network, Architecture):
        return network
    if isinstance(network, Trial):
        return Architecture.from_json(network.architecture)
    if isinstance(network, str):
        return named(network, input_shape=input_shape)
    if isinstance(network, dict):
        return Architecture.from_json(network)
    raise TypeError(
        f"a network must be an Architecture, a Trial or a name such as 'resnet18', but got {type(network).__name__}"
    )
