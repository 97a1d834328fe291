"""Batch norm with the statistics of the global batch of all ranks, on any device.

torch has ``SyncBatchNorm`` for GPUs only. This one needs nothing but a sum over the ranks, so that it also runs on CPUs
with gloo, where it is tested. The layers stay the same modules: only their ``forward`` is replaced for a while, and
checkpoints, averages and exported files do not change.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .errors import lost_ranks


class _SumOverRanks(torch.autograd.Function):
    """The sum over the ranks. Its gradient is the sum of the gradients of all ranks, because all use the result."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return _sum_of_ranks(value)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _sum_of_ranks(gradients[0])


def _sum_of_ranks(value: Tensor) -> Tensor:
    total = value.clone()
    with lost_ranks():
        dist.all_reduce(total)
    return total


@contextmanager
def synchronised(module: nn.Module) -> Iterator[None]:
    """Let every batch norm layer of ``module`` that is in training mode use the images of all ranks in the block.

    The variance is computed from the differences to the global mean, with a second sum over the ranks: the difference
    of two large sums would lose digits.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    try:
        for layer in layers:
            # of the instance, so that it hides the method of the class
            layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _forward(layer: _BatchNorm, images: Tensor) -> Tensor:
    if not layer.training:
        output: Tensor = type(layer).forward(layer, images)
        return output
    values = images.float()
    dims = [dim for dim in range(values.dim()) if dim != 1]
    shape = [1, -1] + [1] * (values.dim() - 2)
    count = values.new_full((1,), values.numel() / values.shape[1])
    *sums, n = torch.split(_sum(torch.cat([values.sum(dims), count])), [values.shape[1], 1])
    mean = sums[0] / n
    centred = values - mean.view(shape)
    variance = _sum(centred.square().sum(dims)) / n
    _update_statistics(layer, mean.detach(), (variance * n / (n - 1)).detach())
    normalised = centred * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.affine:
        normalised = normalised * layer.weight.view(shape) + layer.bias.view(shape)
    return normalised.to(images.dtype)


def _update_statistics(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics as torch does; ``variance`` is the unbiased one."""
    if layer.running_mean is None or layer.running_var is None:
        return
    with torch.no_grad():
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)
        momentum = layer.momentum if layer.momentum is not None else 1 / float(layer.num_batches_tracked or 1)
        layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), momentum)
        layer.running_var.lerp_(variance.to(layer.running_var.dtype), momentum)


def _sum(value: Tensor) -> Tensor:
    total: Tensor = _SumOverRanks.apply(value)
    return total
