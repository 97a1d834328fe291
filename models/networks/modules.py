"""Modules for the layers torch has no module of: branches, and the shortcut that pads."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))

    def extra_repr(self) -> str:
        return f"extra={self.extra}, stride={self.stride}"


class GlobalPoolingModule(nn.Module):
    """The mean of each channel: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))
