"""The recorder: every operator of one forward pass, with its module and what torch's counter says of it."""

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
    """Counts while it is active: ``calls`` and ``macs`` by operator, ``module_macs``, ``module_calls``, ``out_shapes``.

    ``unread`` are the parameters that no operator has read, the storage of each and its name.

    ``macs`` of one operator are half of the FLOPs that torch's own formula gives; operators without a formula are in
    ``uncounted``. A matrix product is that of a linear layer where one side is a weight, or a view or copy of one, and
    attention where neither is.
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
        self._inside = [""]
        # held, so that no storage of a later tensor is taken for one of these
        self._weights = {_storage(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
        for name, child in module.named_modules():
            child.register_forward_pre_hook(self._enter(name))
            child.register_forward_hook(self._leave(name))

    def _enter(self, name: str) -> Any:
        def enter(module: nn.Module, args: Any) -> None:
            self._inside.append(name)
            self.module_calls[name] += 1

        return enter

    def _leave(self, name: str) -> Any:
        def leave(module: nn.Module, args: Any, out: Any) -> None:
            self._inside.pop()
            if isinstance(out, Tensor):
                self.out_shapes[name] = tuple(out.shape[1:])

        return leave

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        operator = str(func._overloadpacket)
        given = list(_tensors((args, kwargs)))
        for tensor in given:
            self.unread.pop(_storage(tensor), None)
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            self.uncounted[operator] += 1
            if len(given) == 1 and _storage(given[0]) in self._weights:
                self._weights.update((_storage(tensor), tensor) for tensor in _tensors(out))
        else:
            self._count(operator, formula(*args, **(kwargs or {}), out_val=out) // 2, given, out)
        return out

    def _count(self, operator: str, macs: int, given: list[Tensor], out: Any) -> None:
        self.calls[operator] += 1
        self.macs[operator] += macs
        self.module_macs[self._inside[-1]] += macs
        family = family_of(operator)
        weighted = any(_storage(tensor) in self._weights for tensor in given[-2:])
        if family == CONVOLUTION or (family == PRODUCT and weighted):
            self.layer_macs += macs
            self.activations += sum(tensor.numel() for tensor in _tensors(out))
        elif family == PRODUCT:
            self.attention_macs += macs


def record(twin: nn.Module, batch: Tensor) -> tuple[Recorder, int]:
    """The operators of ``twin(batch)``, and the whole of what torch's counter counts, halved."""
    recorder = Recorder(twin)
    # fused attention has kernels that torch's counter does not know; spelled out, it is two products
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, recorder:
        twin(batch)
    return recorder, counter.get_total_flops() // 2


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> int:
    place: int = tensor.untyped_storage()._cdata
    return place
