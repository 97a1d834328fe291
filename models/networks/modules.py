"""Modules for the layers torch has no module of: branches, padded shortcuts, DropConnect, local contrast.

Shapes: B inputs v (B, F) of DropConnect, weights W (U, F). ``drop`` is the probability that a weight is lost (Wan et
al. 2013 give p, the probability that it stays).
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

SIGMA = 2.0  # of the Gaussian window of local contrast normalisation, in pixels: that of pylearn2
FLOOR = 1e-4  # of the divisor, so that a flat image stays zero


class BranchesModule(nn.Module):
    """join(f1(x), f2(x), ...): several modules on one input, added or concatenated along the channels."""

    def __init__(self, branches: Sequence[nn.Module], join: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        outs = [branch(x) for branch in self.branches]
        if self.join == "concat":
            return torch.cat(outs, dim=1)
        total: Tensor = reduce(torch.add, outs)
        return total


class PadShortcutModule(nn.Module):
    """Every ``stride``-th pixel, zeros for new channels: (N, C, H, W) -> (N, width, H / stride, W / stride)."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.extra = width - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))

    def extra_repr(self) -> str:
        return f"extra={self.extra}, stride={self.stride}"


class GlobalPoolingModule(nn.Module):
    """The mean of each channel: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class LocalContrastModule(nn.Module):
    """y = v / max(mean(s), s) with v = x - sum(w x), s = sqrt(sum(w v^2)) (Jarrett et al. 2009).

    The sums go over a Gaussian window and all maps, w adding up to 1: (N, C, H, W) -> (N, C, H, W). mean(s) is over an
    image. LCN(a x + b) = LCN(x) for a > 0, at the borders too, for border pixels are repeated and not padded by zeros.
    """

    window: Tensor

    def __init__(self, kernel: int = 9) -> None:
        super().__init__()
        place = torch.arange(kernel, dtype=torch.float64) - kernel // 2
        taps = torch.exp(-0.5 * (place / SIGMA) ** 2)
        self.register_buffer("window", (taps / taps.sum()).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        v = x - self._local_mean(x)
        s = (self._local_mean(v.square()) + 1e-12).sqrt()  # the root of 0 has no gradient
        return v / torch.maximum(s, s.mean((2, 3), keepdim=True)).clamp(min=FLOOR)

    def _local_mean(self, x: Tensor) -> Tensor:
        reach = len(self.window) // 2
        mean = F.pad(x.mean(1, keepdim=True), (reach,) * 4, mode="replicate")
        window = self.window.to(x.dtype)
        return F.conv2d(F.conv2d(mean, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))

    def extra_repr(self) -> str:
        return f"kernel={len(self.window)}"


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
