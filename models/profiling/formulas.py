"""Multiply-accumulates of operators that torch's FLOP counter has no formula for."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.flop_counter import flop_registry

# takes the arguments of the operator and its output
Formula = Callable[[tuple[Any, ...], dict[str, Any], Any], int]


def formula_of(operator: str, packet: Any) -> Formula | None:
    """Return the formula of ``operator``, such as "aten.mm": that of torch's counter if it has one, else ours."""
    counted_by_torch = flop_registry.get(packet)
    if counted_by_torch is None:
        return FORMULAS.get(operator)
    flops = counted_by_torch
    # torch counts FLOPs, two per multiply-accumulate
    return lambda args, kwargs, out: flops(*args, **kwargs, out_val=out) // 2


def _matrix_vector(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    return int(args[-2].numel())


def _summed_products(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """Count addbmm: a sum of matrix products."""
    return int(args[1].numel() * args[2].shape[-1])


def _bilinear(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """Count a product of three tensors, each with its own list of dimensions to add, as in nn.Bilinear."""
    factors = []
    for tensor, added in zip(args[:3], args[3:6], strict=True):
        for dimension in added:
            tensor = tensor.unsqueeze(dimension)
        factors.append(tensor.shape)
    return math.prod(np.broadcast_shapes(*factors))


def _quantised(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> int:
    """Count a quantised convolution or linear layer, whose second argument is its packed weight (out, in, ...)."""
    weight = args[1].unpack()[0]
    channels_last = out.dim() <= 2 or "linear" in type(args[1]).__name__.lower() or weight.dim() == 2
    positions = out.numel() // (out.shape[-1] if channels_last else out.shape[1])
    return int(positions * weight.numel())


FORMULAS: dict[str, Formula] = {
    "aten.mv": _matrix_vector,
    "aten.addmv": lambda args, kwargs, out: int(args[1].numel()),
    "aten.dot": lambda args, kwargs, out: int(args[0].numel()),
    "aten.vdot": lambda args, kwargs, out: int(args[0].numel()),
    "aten.addbmm": _summed_products,
    "aten._trilinear": _bilinear,
    **{
        f"quantized.{name}": _quantised
        for kind in ("conv1d", "conv2d", "conv3d", "linear")
        for name in (kind, f"{kind}_relu", f"{kind}_dynamic", f"{kind}_relu_dynamic")
    },
}
