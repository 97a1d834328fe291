"""Copies of a module for profiling: the original stays unchanged, and a copy on the meta device needs no memory."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter


def meta_copy(module: nn.Module) -> nn.Module:
    """Return a copy on the meta device, in evaluation mode: shapes without values."""
    return _copy(module, lambda tensor: torch.empty_like(tensor, device="meta"))


def value_copy(module: nn.Module) -> nn.Module:
    """Return a copy with its own values, in evaluation mode; tensors on the meta device become zeros on the CPU."""
    return _copy(module, lambda t: torch.zeros_like(t, device="cpu") if t.is_meta else t.detach().clone())


def _copy(module: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        return _script_copy(module, convert)
    # the tensors are taken from the memo, so that only the modules around them are copied
    memo: dict[int, Any] = {}
    for child in module.modules():
        for tensor in vars(child).values():
            # a computed tensor, as torch.nn.utils.weight_norm keeps one, cannot be copied by deepcopy
            if isinstance(tensor, Tensor):
                memo[id(tensor)] = convert(tensor)
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
        copied: nn.Module = _module_copy(module, memo)
    except Exception as error:  # __deepcopy__ is code of the module
        raise ValueError(
            f"a profile needs a copy of the network, but {type(module).__name__} cannot be copied: {str(error)[:300]}; "
            "keep computed tensors out of its attributes (torch.nn.utils.parametrizations instead of weight_norm), "
            "or build a new network"
        ) from error
    copied.eval()
    return copied


def _module_copy(module: nn.Module, memo: dict[int, Any]) -> Any:
    """Return what ``copy.deepcopy(module, memo)`` returns, in less time.

    deepcopy spends most of its time on the dozen empty collections for hooks that each module has. A module that copies
    or restores itself in its own way is left to deepcopy.
    """
    if id(module) in memo:
        return memo[id(module)]
    kind = type(module)
    if hasattr(kind, "__deepcopy__") or any(getattr(kind, name) is not getattr(nn.Module, name) for name in _COPYING):
        return copy.deepcopy(module, memo)
    copied = memo[id(module)] = kind.__new__(kind)
    vars(copied).update({name: _value_copy(value, memo) for name, value in vars(module).items()})
    return copied


_COPYING = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")  # methods that a class may replace
_CONSTANT = (type(None), bool, int, float, str, torch.Size, torch.dtype, torch.device)


def _value_copy(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _CONSTANT or (kind is tuple and all(type(entry) in _CONSTANT for entry in value)):
        return value
    if id(value) in memo:
        return memo[id(value)]
    if kind in (dict, OrderedDict, set) and (not value or all(type(key) in _CONSTANT for key in value)):
        copied = memo[id(value)] = kind()
        copied.update(value if kind is set else [(key, _value_copy(entry, memo)) for key, entry in value.items()])
        return copied
    return _module_copy(value, memo) if isinstance(value, nn.Module) else copy.deepcopy(value, memo)


def _script_copy(module: torch.jit.ScriptModule, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    copied = copy.deepcopy(module)
    copied.eval()
    for child in copied.modules():
        scripted: Any = child._c
        for name, tensor in (*child.named_parameters(recurse=False), *child.named_buffers(recurse=False)):
            scripted.setattr(name, convert(tensor))  # a ScriptModule refuses other ways to replace a parameter
    return copied
