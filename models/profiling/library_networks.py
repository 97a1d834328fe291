"""Profiles of networks of timm and torchvision by name."""

from collections.abc import Sequence

from ..networks.backbones import backbone, published_input
from ..networks.torchvision_inputs import DEFAULT_INPUT, example_inputs, usual_shape
from .profiler import profile_module
from .records import ModuleProfile


def profile_library_network(
    name: str, shape: Sequence[int] | None = None, *, classes: int | None = None, cross_check: str = "torch"
) -> ModuleProfile:
    """Profile the network ``name``, as in "timm:resnet18" or "torchvision:raft_small", built on the meta device.

    ``shape`` is that of one input without the batch; its default is the published one, and timm builds a network with
    a fixed size for it. Raises ``ValueError`` as :func:`backbone` and :func:`profile_module` do.
    """
    source, _, short = name.partition(":")
    usual = usual_shape(short) if source == "torchvision" else DEFAULT_INPUT
    if shape and len(shape) != len(usual):
        raise ValueError(
            f"{name} takes inputs with {len(usual)} sides, but got {'x'.join(map(str, shape))}; "
            f"use a shape such as {'x'.join(map(str, usual))}"
        )
    network = backbone(
        name,
        classes=classes,
        in_channels=shape[0] if shape else 3,
        image_size=shape[1] if shape and len(shape) == 3 and shape[1] == shape[2] else None,
        device="meta",
    )
    if source == "torchvision":
        inputs = example_inputs(short, shape or usual)
        return profile_module(network, inputs=inputs, cross_check=cross_check)
    return profile_module(network, shape or published_input(network), cross_check=cross_check)
