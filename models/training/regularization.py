"""Penalties: what keeps weights and activations small or at zero, beside the optimizer's own decay."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..networks.build import ACTIVATION_MODULES

ACTIVATIONS = tuple({type(make(1)) for make in ACTIVATION_MODULES.values()})


@torch.no_grad()
def shrink(module: nn.Module, amount: float) -> None:
    """The proximal step of an L1 penalty: weights of convolutions and linear layers go ``amount`` towards zero.

    Those that reach zero are exactly zero, which the gradient of |w| alone never gives. With adam and adamw the amount
    is not scaled by the second moment, as their decoupled decay is not. Biases and norms are left alone.
    """
    weights = [
        layer.weight
        for layer in module.modules()
        if isinstance(layer, _ConvNd | nn.Linear) and layer.weight.requires_grad
    ]
    for weight in weights:
        weight.copy_(nn.functional.softshrink(weight, amount))


class ActivationPenalty:
    """The mean absolute activation of a network's nonlinearities, over all of them, in the last forward pass.

    Minimised, it makes hidden units sparse: an L1 penalty on activations (Glorot, Bordes and Bengio 2011, section 4.1).
    """

    def __init__(self, module: nn.Module) -> None:
        self._seen: list[Tensor] = []
        self._layers = [layer for layer in module.modules() if isinstance(layer, ACTIVATIONS)]
        if not self._layers:
            raise ValueError("recipe.activation_l1 acts on nonlinearities, but the network has none; set it to 0")

    def __enter__(self) -> "ActivationPenalty":
        self._hooks = [layer.register_forward_hook(self._see) for layer in self._layers]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._seen.clear()

    def _see(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self._seen.append(output.float().abs().mean())

    def value(self) -> Tensor:
        """The mean over the layers, with its gradient."""
        return torch.stack(self._seen).mean()
