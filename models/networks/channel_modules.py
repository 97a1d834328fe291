"""Modules for layers on channels: norms over channels, scales, means, slices and shuffles.

Shapes: images (N, C, H, W).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-6  # as in ConvNeXt


class LayerNormModule(nn.LayerNorm):
    """Normalise the channels of each pixel: (N, C, H, W) -> (N, C, H, W), or (N, C) -> (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        # layer_norm normalises the last dimension
        normalised = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return normalised.movedim(-1, 1)


class LayerScaleModule(nn.Module):
    """Multiply each channel by a learned factor, at first ``initial``."""

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class ChannelMeanModule(nn.Module):
    """Compute the mean of each channel: (N, C, H, W) -> (N, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)


class ChannelSliceModule(nn.Module):
    """Take ``width`` channels from ``start`` on: (N, C, H, W) -> (N, width, H, W)."""

    def __init__(self, start: int, width: int) -> None:
        super().__init__()
        self.start, self.width = start, width

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.start + self.width]

    def extra_repr(self) -> str:
        return f"start={self.start}, width={self.width}"


class ChannelShuffleModule(nn.Module):
    """Mix the channels of ``groups``; nn.ChannelShuffle cannot be exported to ONNX."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        grouped = x.reshape(n, self.groups, channels // self.groups, height, width)
        return grouped.transpose(1, 2).reshape(n, channels, height, width)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
