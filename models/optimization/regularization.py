"""Penalties on weights and activations, in addition to the weight decay of the optimizer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..networks.adapters import weights_of
from ..networks.build import ACTIVATION_MODULES

ACTIVATIONS = tuple({type(make(1)) for make in ACTIVATION_MODULES.values()})


@torch.no_grad()
def l1_proximal_step(module: nn.Module, optimizer: Optimizer, l1: float) -> None:
    """Apply the proximal step of an L1 penalty: move trained weights of convolutions and linear layers towards 0.

    They move by ``l1`` times their learning rate in ``optimizer``. A weight that reaches zero is exactly zero, which
    the gradient of |w| cannot achieve. With adam and adamw the amount is not scaled by the second moment, like
    decoupled weight decay. Biases, norms, adapters and the weights under adapters do not change.
    """
    weights = {id(weight) for weight in weights_of(module)}
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if id(weight) in weights and weight.requires_grad:  # frozen weights stay as they are
                weight.copy_(nn.functional.softshrink(weight, group["lr"] * l1))


class ActivationPenalty:
    """The mean absolute output of all nonlinearities of a network in one forward pass.

    Use it as a context manager around the forward pass. Minimising it makes hidden units sparse: it is an L1 penalty on
    activations (Glorot, Bordes and Bengio 2011, section 4.1). Raises ``ValueError`` if there is no nonlinearity.
    """

    def __init__(self, module: nn.Module) -> None:
        self._means: list[Tensor] = []
        self._layers = [layer for layer in module.modules() if isinstance(layer, ACTIVATIONS)]
        if not self._layers:
            raise ValueError(
                "recipe.activation_l1 needs nonlinearities, but the network has none; set recipe.activation_l1 to 0"
            )

    def __enter__(self) -> "ActivationPenalty":
        self._hooks = [layer.register_forward_hook(self._record) for layer in self._layers]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:  # removed, so that evaluations record nothing
            hook.remove()
        self._means.clear()

    def _record(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self._means.append(output.float().abs().mean())  # float(): autocast may give bfloat16

    def value(self) -> Tensor:
        """Return the mean over the layers, with its graph."""
        return torch.stack(self._means).mean()
