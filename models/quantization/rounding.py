"""Simulated int8: single layers of a network with rounded weights and inputs, to find the layer that loses accuracy.

Shapes: N images (N, C, H, W).

A convolution or linear layer in int8 reads rounded inputs and has rounded weights (Jacob et al. 2018, arXiv
1712.05877). Weights are rounded symmetrically for each output channel, inputs asymmetrically for the whole tensor. A
batch norm that is folded into the layer scales each output channel, and its scale with it, so that it changes nothing
in the rounding.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..optimization.fake_quantization import LEVELS, SMALLEST_SCALE, rounded_weight

Range = tuple[float, float]


def weighted_layers(network: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the convolutions and linear layers of ``network`` by their names, in order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


@torch.inference_mode()
def input_ranges(network: nn.Module, images: Tensor) -> dict[str, Range]:
    """Return the lowest and highest input of each weighted layer for normalised ``images`` (N, C, H, W).

    Layers that the network does not call as modules, such as those inside attention, are left out.
    """
    ranges: dict[str, Range] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            low, high = ranges.get(name, (0.0, 0.0))  # 0 must be an exact value, for padding
            ranges[name] = min(low, float(inputs[0].min())), max(high, float(inputs[0].max()))

        return look

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in weighted_layers(network).items()]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return ranges


@contextmanager
def in_int8(network: nn.Module, ranges: Mapping[str, Range]) -> Iterator[None]:
    """Round the weights and the inputs of the layers in ``ranges`` to int8; restore them at the end."""
    layers = weighted_layers(network)
    weights = {name: layers[name].weight.data for name in ranges}
    hooks = [layers[name].register_forward_pre_hook(_round_input(*ends)) for name, ends in ranges.items()]
    try:
        for name, weight in weights.items():
            layers[name].weight.data = rounded_weight(weight)
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for name, weight in weights.items():
            layers[name].weight.data = weight


def _round_input(low: float, high: float) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    scale = max((high - low) / LEVELS, SMALLEST_SCALE)
    zero_point = round(-low / scale)

    def rounded(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        first, *others = inputs
        return torch.fake_quantize_per_tensor_affine(first, scale, zero_point, 0, LEVELS), *others

    return rounded
