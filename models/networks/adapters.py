"""Low-rank adapters: W + (alpha / rank) B A, of which only A and B are trained.

This is LoRA (Hu et al. 2021, arXiv 2106.09685). The weight of a convolution is the matrix (out channels, in channels /
groups * rows * columns). After the training an adapter is added to its weight, so that the network that is used has the
layers and the cost of its architecture.
"""

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from ..process.random_state import seeded


class LowRankUpdate(nn.Module):
    """Adds the product of two trained matrices to a weight; at the start the product is zero.

    ``rank`` is at most the smaller side of the weight as a matrix.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.rank = min(rank, rows, columns)
        self.scale = alpha / self.rank
        self.down = nn.Parameter(torch.empty(self.rank, columns))
        self.up = nn.Parameter(torch.zeros(rows, self.rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as the paper's code initialises A

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # weights stay in float32
            return weight + self.scale * (self.up @ self.down).view(weight.shape)

    def extra_repr(self) -> str:
        return f"rank={self.rank}, scale={self.scale:g}"


def add_adapters(network: nn.Module, head: nn.Module, *, rank: int, alpha: float, seed: int) -> None:
    """Freeze ``network`` except ``head``, and add adapters in place.

    All convolutions and linear layers whose weights were trainable get one, except the head.
    """
    layers = [layer for layer in weighted_layers(network) if layer is not head and layer.weight.requires_grad]
    kept = {id(parameter) for parameter in head.parameters()}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in kept)
    with seeded(seed):  # the draws must not change those of the training
        for layer in layers:
            parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight, rank, alpha))


def weighted_layers(network: nn.Module) -> list[_ConvNd | nn.Linear]:
    """Return the convolutions and linear layers of ``network``."""
    return [layer for layer in network.modules() if isinstance(layer, _ConvNd | nn.Linear)]


def weights_of(network: nn.Module) -> list[nn.Parameter]:
    """Return the stored weights of convolutions and linear layers, also those under adapters.

    ``layer.weight`` of a layer with an adapter is not one of them: it is a new tensor at every access.
    """
    return [weight for layer in weighted_layers(network) for weight in _stored_weights(layer)]


def _stored_weights(layer: Any) -> list[nn.Parameter]:
    if not parametrize.is_parametrized(layer, "weight"):
        return [layer.weight]
    stored = layer.parametrizations.weight.named_parameters(recurse=False)  # without those of the adapter
    return [parameter for _, parameter in stored]


def adapters_of(network: nn.Module) -> list[LowRankUpdate]:
    """Return the adapters of ``network``."""
    return [module for module in network.modules() if isinstance(module, LowRankUpdate)]


def merged(network: nn.Module) -> nn.Module:
    """Return ``network`` without adapters: itself if it has none, else a copy with the adapters in its weights."""
    if not adapters_of(network):
        return network
    plain = deepcopy(network)
    for layer in plain.modules():
        if parametrize.is_parametrized(layer):
            _merge(layer)
    return plain


@torch.no_grad()
def _merge(layer: Any) -> None:
    """Replace the adapter of ``layer`` by its sum with the weight."""
    # parametrize.remove_parametrizations would change the class, which the copy shares with the original layer
    weight, others = layer.weight, dict(layer._parameters)
    layer.__class__ = type(layer).__bases__[0]
    del layer.parametrizations
    layer._parameters.clear()
    # the weight is first, as in a new layer: files of weights are loaded by the order of tensors
    layer.register_parameter("weight", nn.Parameter(weight))
    layer._parameters.update(others)
