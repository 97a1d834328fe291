"""DropConnect: a fully connected layer that loses weights at random while it trains (Wan et al. 2013).

Shapes: B inputs v (B, F), weights W (U, F). ``drop`` is the probability that a weight is lost; the paper's p is the
probability that it stays. No parameter is added, so the layer costs what a fully connected layer costs.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


class DropConnectLinear(nn.Linear):
    """u = (M * W) v / p + b with M ~ Bernoulli(p) in training, u = W v + b, its mean, otherwise.

    Two deviations from the paper: one mask serves a whole batch, for a mask for each image needs B times the memory of
    the weights; and weights are divided by p in training, so that the trained network is an ordinary one.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, drop: float) -> None:
        super().__init__(in_features, out_features, bias)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.dropout(self.weight, self.drop, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, drop={self.drop}"


def moments(layer: DropConnectLinear, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (B, U) of u over all masks: W v + b and (1 - p) / p (W * W)(v * v)."""
    variance = F.linear(x.square(), layer.weight.square()) * layer.drop / (1 - layer.drop)
    return F.linear(x, layer.weight, layer.bias), variance


def matched(
    layer: DropConnectLinear, x: Tensor, act: Callable[[Tensor], Tensor], *, n: int, generator: Generator
) -> Tensor:
    """The paper's inference: the mean (B, U) of ``act(u)`` over ``n`` normal draws of u with :func:`moments`."""
    mean, variance = moments(layer, x)
    drawn = torch.randn((n, *mean.shape), generator=generator, device=generator.device).to(x.device)
    return act(mean + variance.sqrt() * drawn).mean(0)
