"""Twins: copies of a module whose tensors live elsewhere, so that counting changes nothing and needs no memory."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter


def meta_twin(module: nn.Module) -> nn.Module:
    """A copy on the meta device, in evaluation mode: shapes without values."""
    return _twin(module, lambda tensor: torch.empty_like(tensor, device="meta"))


def real_twin(module: nn.Module) -> nn.Module:
    """A copy that shares the module's values, in evaluation mode; zeros where it is on the meta device and has none."""
    return _twin(module, lambda t: torch.zeros_like(t, device="cpu") if t.is_meta else t.detach())


def _twin(module: nn.Module, place: Callable[[Tensor], Tensor]) -> nn.Module:
    memo: dict[int, object] = {}
    for parameter in module.parameters():
        if isinstance(parameter, UninitializedParameter):
            raise ValueError(
                "a network is profiled when it knows its shapes, but it has parameters that wait for their first "
                "input; run it once on a batch before profiling it"
            )
        memo[id(parameter)] = nn.Parameter(place(parameter), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = place(buffer)
    try:
        return copy.deepcopy(module, memo).eval()
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"a network is profiled on a copy, but {type(module).__name__} cannot be copied: {error}; keep computed "
            "tensors out of its attributes (torch.nn.utils.parametrizations instead of weight_norm), or build it anew"
        ) from error
