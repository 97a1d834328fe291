"""Record every operator of one forward pass, with its module and its count by torch's FLOP counter."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from .operators import CONVOLUTION, PRODUCT, family_of


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode that counts operators: ``calls`` and ``macs`` by operator, ``module_macs`` and others by module.

    ``macs`` of an operator are half of the FLOPs by torch's own formula. ``uncounted`` are the calls of operators
    without a formula. ``unread`` maps the storage of each parameter that no operator has read to its name. A matrix
    product belongs to a linear layer if one factor is a weight, or a view or copy of one, else to attention.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()
        self.macs: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        self.module_macs: Counter[str] = Counter()
        self.module_calls: Counter[str] = Counter()
        self.out_shapes: dict[str, tuple[int, ...]] = {}
        self.layer_macs = self.attention_macs = self.activations = 0
        self.unread = {_storage(p): name for name, p in module.named_parameters()}
        self._module_stack = [""]  # names of the modules being run, the innermost last; "" is the root
        # the references keep the tensors alive, so that no later tensor reuses the address of one of them
        self._weights = {_storage(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
        for name, child in module.named_modules():
            child.register_forward_pre_hook(self._enter(name))
            child.register_forward_hook(self._leave(name))

    def _enter(self, name: str) -> Any:
        def enter(module: nn.Module, args: Any) -> None:
            self._module_stack.append(name)
            self.module_calls[name] += 1

        return enter

    def _leave(self, name: str) -> Any:
        def leave(module: nn.Module, args: Any, out: Any) -> None:
            self._module_stack.pop()
            if isinstance(out, Tensor):
                self.out_shapes[name] = tuple(out.shape[1:])  # without the batch

        return leave

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        operator = str(func._overloadpacket)  # "aten.add" for all overloads, such as aten.add.Tensor
        inputs = list(_tensors((args, kwargs)))
        # compared by storage, because modules often read a view of a parameter
        for tensor in inputs:
            self.unread.pop(_storage(tensor), None)
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            self.uncounted[operator] += 1
            # the only input is a weight, so the output is a view or a copy of the weight
            if len(inputs) == 1 and _storage(inputs[0]) in self._weights:
                self._weights.update((_storage(tensor), tensor) for tensor in _tensors(out))
        else:
            # the formula counts FLOPs, two per multiply-accumulate
            self._count(operator, formula(*args, **(kwargs or {}), out_val=out) // 2, inputs, out)
        return out

    def _count(self, operator: str, macs: int, inputs: list[Tensor], out: Any) -> None:
        self.calls[operator] += 1
        self.macs[operator] += macs
        self.module_macs[self._module_stack[-1]] += macs
        family = family_of(operator)
        # the last two inputs are the factors: addmm has the bias as its first input
        weighted = any(_storage(tensor) in self._weights for tensor in inputs[-2:])
        if family == CONVOLUTION or (family == PRODUCT and weighted):
            self.layer_macs += macs
            self.activations += sum(tensor.numel() for tensor in _tensors(out))
        elif family == PRODUCT:
            self.attention_macs += macs


def record(module: nn.Module, batch: Tensor) -> tuple[Recorder, int]:
    """Record the operators of ``module(batch)``; also return half of the FLOPs that torch's counter counts in total.

    The recorder adds hooks to ``module``, so pass a copy.
    """
    recorder = Recorder(module)
    # torch's counter has no formula for some fused attention kernels; the math backend runs two matrix products
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, recorder:
        module(batch)
    return recorder, counter.get_total_flops() // 2


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
