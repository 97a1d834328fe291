"""Spaces from Python: count and sample the architectures that fit a budget, and compute the costs of a network."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ...results.database.records import Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import Budget
from ...spaces.architectures.catalogue import named
from ...spaces.architectures.cost import cost as exact_cost
from ...spaces.architectures.device_cost import DEFAULT_PRECISION, DeviceCost
from ...spaces.architectures.device_cost import device_cost as exact_device_cost
from ...spaces.blocks.cost import DEFAULT_BATCH, Cost
from ...spaces.constrained import sampling
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.networks import networks_space as networks
from ...spaces.networks.patterns import is_pattern
from ...spaces.search_space.named import named_space
from ...spaces.search_space.space import Space
from ..experiment.other_sizes import costs_of

if TYPE_CHECKING:
    from torch import nn

    from ...models.profiling.inputs import Example
    from ...models.profiling.records import ModuleProfile

# a network as an argument: an architecture, a trial of a results database, or a name such as "resnet18"
Network = Architecture | Trial | str
Limits = Budget | Mapping[str, Any]  # a budget, or its limits such as {"params": "60k"}


def count(space: Space | ConstrainedSpace | str, budget: Limits | None = None) -> sampling.Count:
    """Count the architectures of ``space`` inside ``budget``; ``int(...)`` of the result is the number.

    ``space`` may be the name of a space, such as "mixed", or networks such as "timm:resnet*". The count is exact if
    all different costs fit into memory. Otherwise it has the guaranteed bounds ``low`` and ``high``, and a
    ``standard_error`` if it is estimated from draws. ``method`` names how it was counted.
    """
    return sampling.count(constrained_of(space, budget))


def sample(
    space: Space | ConstrainedSpace | str,
    budget: Limits | None = None,
    n: int = 1,
    *,
    seed: int = 0,
    by: Literal["uniform", "log-macs"] = "uniform",
) -> list[Architecture]:
    """Draw ``n`` architectures of ``space`` inside ``budget``, independently; equal seeds give equal architectures.

    With ``by="uniform"`` every architecture that fits is equally likely; "log-macs" spreads the draws evenly over the
    logarithm of the multiply-accumulates. Raises :class:`BudgetError` if none fits.
    """
    if type(n) is not int or n < 0:
        raise ValueError(f"n must be a whole number of at least 0, but got {n!r}; pass the number of draws")
    return sampling.sample(constrained_of(space, budget), n, random.Random(seed), by)


def networks_space(
    patterns: str | Sequence[str],
    *,
    input_shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
    image_size: int | Sequence[int] | None = None,
    pretrained: bool = False,
    budget: Limits | None = None,
) -> Space:
    """Return the space of the networks of ``patterns`` for images of ``input_shape`` (C, H, W).

    First a family is chosen, then a network, then its image size. ``image_size`` are the sizes to choose from; None is
    the published size of each network. An image of another size is resized in the network, with its published
    interpolation. ``pretrained`` keeps the networks with published weights.

    At sizes that the table of the package lacks, the networks are measured once per machine, a fraction of a second
    each: only those whose parameters may be within ``budget``, if it is given. The others are not in the space.

    Raises ``ValueError`` if no network matches, or none can take these sizes.
    """
    return networks.networks_space(
        patterns,
        input_shape=input_shape,
        classes=classes,
        image_size=image_size,
        pretrained=pretrained,
        budget=_budget_of(budget),
        costs_of=costs_of,
    )


def cost(network: Network, *, batch_size: int = DEFAULT_BATCH) -> Cost:
    """Return the exact cost of ``network``: params, macs, activations, and training memory at ``batch_size``.

    The network is not built, and torch is not imported. ``macs`` are multiply-accumulates at batch 1, ``flops / 2``.
    """
    return exact_cost(architecture_of(network), batch_size)


def device_cost(network: Network, *, precision: str = DEFAULT_PRECISION) -> DeviceCost:
    """Return ``ram_bytes`` and ``flash_bytes`` of ``network`` on a device, exactly and without building it.

    RAM is the peak of inference for one image: the largest sum of tensors that are alive at the same time. Flash are
    the weights, biases and scales. ``precision`` is "float32" or "int8". Raises ``ValueError`` for a network with a
    layer whose operations are not known, such as one of timm.
    """
    return exact_device_cost(architecture_of(network), precision)


def profile(
    network: "Network | nn.Module",
    input_shape: tuple[int, ...] | None = None,
    *,
    inputs: "Example | None" = None,
) -> "ModuleProfile":
    """Count params, macs and activations of a network on the meta device, and list the operators not counted.

    ``network`` may be an architecture, a trial, a name ("resnet18", "timm:resnet18", "torchvision:vgg16"), or any
    ``torch.nn.Module``, which needs ``input_shape`` (without the batch, as in (3, 224, 224)) or ``inputs``: a tensor, a
    tuple of arguments, or a mapping of named ones. Nothing is downloaded, and the module is not changed.
    """
    from torch import nn

    from ...models.networks.build import build
    from ...models.profiling.library_networks import profile_library_network
    from ...models.profiling.profiler import profile_module

    if isinstance(network, nn.Module):
        return profile_module(network, input_shape, inputs=inputs)
    if inputs is not None:
        raise ValueError(
            f"inputs belong to a module, but got them for a {type(network).__name__}; use input_shape instead"
        )
    if isinstance(network, str) and ":" in network:
        return profile_library_network(network, input_shape)
    architecture = architecture_of(network, input_shape)
    return profile_module(build(architecture, device="meta"), architecture.input_shape)


def constrained_of(space: Space | ConstrainedSpace | str, budget: Limits | None = None) -> ConstrainedSpace:
    """Return ``space`` under ``budget``; a constrained space already has its budget."""
    if isinstance(space, ConstrainedSpace):
        if budget is not None:
            raise ValueError(
                f"a ConstrainedSpace already has the budget {space.budget}, but got {budget} too; pass its .space"
            )
        return space
    if isinstance(space, str):
        space = networks_space(space) if is_pattern(space) else named_space(space)
    if not isinstance(space, Space):
        raise TypeError(
            f"a space must be a Space or the name of one, but got {type(space).__name__}; use 'mixed', for example"
        )
    budget = _budget_of(budget)
    if budget is not None and budget.latency_ms is not None:
        raise ValueError(
            "only run_search can use latency_ms, because workers measure the latency, but the budget has "
            f"latency_ms={budget.latency_ms}; leave latency_ms out here"
        )
    return ConstrainedSpace(space, budget)


def _budget_of(budget: Limits | None) -> Budget | None:
    if isinstance(budget, Mapping):
        return Budget.of(budget)
    if budget is not None and not isinstance(budget, Budget):
        raise TypeError(
            f"a budget must be a Budget or a mapping, but got {budget!r}, which is of type {type(budget).__name__}; "
            "write {'params': '60k'}, for example"
        )
    return budget


def architecture_of(network: Any, input_shape: Sequence[int] | None = None) -> Architecture:
    """Return the architecture of ``network``: an architecture, a trial, a name, or an architecture as JSON."""
    if isinstance(network, Architecture):
        return network
    if isinstance(network, Trial):
        return Architecture.from_json(network.architecture)
    if isinstance(network, str):
        return named(network, input_shape=input_shape)
    if isinstance(network, dict):
        return Architecture.from_json(network)
    raise TypeError(
        f"a network must be an Architecture, a Trial or a name such as 'resnet18', but got {type(network).__name__}; "
        "pass one of these"
    )
