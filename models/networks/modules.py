"""Modules for layers that torch does not have: branches, padded shortcuts, DropConnect, local contrast normalisation.

Shapes: B inputs v (B, F) of DropConnect, weights W (U, F). ``drop`` is the probability that a weight is dropped (Wan et
al. 2013 give p, the probability that it is kept).
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

WINDOW_STD_PX = 2.0  # of the Gaussian window of local contrast normalisation, as in pylearn2
MIN_DIVISOR = 1e-4  # of local contrast normalisation, so that a constant image gives zeros


class BranchesModule(nn.Module):
    """Apply several modules to one input, and add, multiply or concatenate (along the channels) their outputs."""

    def __init__(self, branches: Sequence[nn.Module], join: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        outs = [branch(x) for branch in self.branches]
        if self.join in ("concat", "append"):
            return torch.cat(outs, dim=1)
        total: Tensor = reduce(torch.mul if self.join == "scale" else torch.add, outs)
        return total


class PadShortcutModule(nn.Module):
    """Take every ``stride``-th pixel and fill new channels with zeros.

    (N, C, H, W) -> (N, width, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.extra = width - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))

    def extra_repr(self) -> str:
        return f"extra={self.extra}, stride={self.stride}"


class GlobalPoolingModule(nn.Module):
    """Compute the mean of each channel: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class LocalContrastModule(nn.Module):
    """Local contrast normalisation: y = v / max(mean(s), s), v = x - sum(w x), s = sqrt(sum(w v^2)).

    (N, C, H, W) -> (N, C, H, W). The sums are over a Gaussian window and all maps; the weights w sum to 1. mean(s) is
    over an image (Jarrett et al. 2009). LCN(a x + b) = LCN(x) for a > 0. This holds at the borders too, because border
    pixels are repeated instead of padded by zeros.
    """

    window: Tensor

    def __init__(self, kernel: int = 9) -> None:
        super().__init__()
        offset = torch.arange(kernel, dtype=torch.float64) - kernel // 2
        taps = torch.exp(-0.5 * (offset / WINDOW_STD_PX) ** 2)
        # Not persistent: the window follows from the kernel size, so that it is not stored with the weights.
        self.register_buffer("window", (taps / taps.sum()).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        v = x - self._local_mean(x)
        s = (self._local_mean(v.square()) + 1e-12).sqrt()  # the square root has no finite gradient at 0
        return v / torch.maximum(s, s.mean((2, 3), keepdim=True)).clamp(min=MIN_DIVISOR)

    def _local_mean(self, x: Tensor) -> Tensor:
        reach = len(self.window) // 2
        mean = F.pad(x.mean(1, keepdim=True), (reach,) * 4, mode="replicate")
        window = self.window.to(x.dtype)
        # A Gaussian is separable: two one-dimensional convolutions cost less than one of kernel x kernel.
        return F.conv2d(F.conv2d(mean, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))

    def extra_repr(self) -> str:
        return f"kernel={len(self.window)}"


class DropConnectLinear(nn.Linear):
    """DropConnect: u = (M * W) v / p + b with M ~ Bernoulli(p) in training; u = W v + b, its mean, otherwise.

    It differs from the paper in two points. One mask is used for a whole batch, because a mask for each image needs B
    times the memory of the weights. Weights are divided by p in training, so that the trained layer is an ordinary
    linear layer.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, drop: float) -> None:
        super().__init__(in_features, out_features, bias)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        # F.dropout multiplies by the mask and divides by p; outside training it returns the weights.
        return F.linear(x, F.dropout(self.weight, self.drop, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, drop={self.drop}"


def preactivation_moments(layer: DropConnectLinear, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance (B, U) of u over all masks: W v + b and (1 - p) / p (W * W)(v * v)."""
    variance = F.linear(x.square(), layer.weight.square()) * layer.drop / (1 - layer.drop)
    return F.linear(x, layer.weight, layer.bias), variance


def moment_matched_mean(
    layer: DropConnectLinear, x: Tensor, act: Callable[[Tensor], Tensor], *, n: int, generator: Generator
) -> Tensor:
    """Return the mean (B, U) of ``act(u)`` over ``n`` draws of u, the inference of the paper.

    The draws are normal with the moments of :func:`preactivation_moments`.
    """
    mean, variance = preactivation_moments(layer, x)
    draws = torch.randn((n, *mean.shape), generator=generator, device=generator.device).to(x.device)
    return act(mean + variance.sqrt() * draws).mean(0)


class ResizeModule(nn.Module):
    """Interpolate images (N, C, H, W) to ``size`` x ``size`` pixels; antialiased, as decoding of files is."""

    def __init__(self, size: int, interpolation: str) -> None:
        super().__init__()
        self.size, self.interpolation = size, interpolation

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] == (self.size, self.size):
            return images
        size = (self.size, self.size)
        return F.interpolate(images, size, mode=self.interpolation, align_corners=False, antialias=True)


class RepeatChannelsModule(nn.Module):
    """Repeat grey images (N, 1, H, W) to ``times`` equal channels."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, images: Tensor) -> Tensor:
        return images.expand(-1, self.times, -1, -1)
