"""Copies of a module for profiling: the original stays unchanged, and a copy on the meta device needs no memory."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter


def meta_copy(module: nn.Module) -> nn.Module:
    """Return a copy on the meta device, in evaluation mode: shapes without values."""
    return _copy(module, lambda tensor: torch.empty_like(tensor, device="meta"))


def value_copy(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that shares the values; tensors on the meta device become zeros on the CPU."""
    return _copy(module, lambda t: torch.zeros_like(t, device="cpu") if t.is_meta else t.detach())


def _copy(module: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    # deepcopy takes the tensors from the memo, so it copies only the modules around them
    memo: dict[int, object] = {}
    for parameter in module.parameters():
        if isinstance(parameter, UninitializedParameter):
            raise ValueError(
                "a profile needs parameters with known shapes, but the network has lazy parameters that wait for their "
                "first input; run it once on a batch before profiling it"
            )
        memo[id(parameter)] = nn.Parameter(convert(parameter), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = convert(buffer)
    try:
        return copy.deepcopy(module, memo).eval()
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"a profile needs a copy of the network, but {type(module).__name__} cannot be copied: {error}; "
            "keep computed tensors out of its attributes (torch.nn.utils.parametrizations instead of weight_norm), "
            "or build a new network"
        ) from error
