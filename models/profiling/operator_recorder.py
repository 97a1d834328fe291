"""Record every operator of one forward pass, with its module and its multiply-accumulates."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C import DispatchKey
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from .formulas import Formula, formula_of
from .operators import CONVOLUTION, OUTER_PRODUCT, PRODUCT, family_of

# Products of batches of matrices. Layers whose weight is computed do not use them, but attention does.
BATCHED = ("aten.bmm", "aten.baddbmm")


class _Operator(NamedTuple):
    name: str  # "aten.add" for all overloads, such as aten.add.Tensor
    family: str
    formula: Formula | None
    composite: bool  # consists of other operators


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode that counts operators: ``calls`` and ``macs`` by operator, ``module_macs`` and others by module.

    ``macs`` of an operator are half of the FLOPs by torch's own formula, where there is one. ``uncounted`` are the
    calls of operators without a formula. ``unread`` maps the storage of each parameter that no operator has read to its
    name. ``complex`` are the counted operators on complex numbers.

    A matrix product counts as linear if one factor is a weight: a parameter or a buffer, a view or a copy of one, or
    computed from these alone, as by weight normalisation or low-rank adapters. A product of batches of matrices counts
    as linear only for a parameter, a buffer, a view or a copy, because attention may have learned queries. Every other
    matrix product is one of two activations and counts as attention.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()
        self.macs: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        self.complex: set[str] = set()
        self.module_macs: Counter[str] = Counter()
        self.module_calls: Counter[str] = Counter()
        self.out_shapes: dict[str, tuple[int, ...]] = {}
        self.conv_macs = self.linear_macs = self.attention_macs = self.activations = 0
        self.unread = {_storage(p): name for name, p in module.named_parameters()}
        self._operators: dict[Any, _Operator] = {}
        self._module_stack = [""]  # names of the modules being run, the innermost last; "" is the root
        # the references keep the tensors alive, so that no later tensor reuses the address of one of them
        self._weights = {_storage(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
        self._computed = dict(self._weights)  # also what is computed from weights alone
        if isinstance(module, torch.jit.ScriptModule):
            return  # it runs as a whole, without hooks: all operators belong to it
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
        kwargs = kwargs or {}
        operator = self._operators.get(func) or self._operator(func)
        if operator.composite:  # in inference mode torch does not take these operators apart itself
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        inputs = _tensors(args) + _tensors(kwargs.values()) if kwargs else _tensors(args)
        # compared by storage, because modules often read a view of a parameter
        storages = [_storage(tensor) for tensor in inputs]
        for storage in storages:
            self.unread.pop(storage, None)
        if operator.formula is None:
            self.uncounted[_outer_or(operator.name, inputs, out)] += 1
        else:
            self._count(operator, operator.formula(args, kwargs, out), inputs, storages, out)
        self._follow(storages, out)
        return out

    def _operator(self, func: Any) -> _Operator:
        name = str(func._overloadpacket)
        composite = func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd)
        operator = _Operator(name, family_of(name), formula_of(name, func._overloadpacket), composite)
        self._operators[func] = operator
        return operator

    def _follow(self, storages: Sequence[int], out: Any) -> None:
        """Note ``out`` as a weight if all inputs are weights; with one input it is a view or a copy."""
        if not storages or not all(storage in self._computed for storage in storages):
            return
        made = {_storage(tensor): tensor for tensor in _tensors((out,))}
        if len(storages) == 1 and storages[0] in self._weights:
            self._weights.update(made)
        self._computed.update(made)

    def _count(
        self, operator: _Operator, macs: int, inputs: Sequence[Tensor], storages: Sequence[int], out: Any
    ) -> None:
        self.calls[operator.name] += 1
        self.macs[operator.name] += macs
        self.module_macs[self._module_stack[-1]] += macs
        if any(tensor.is_complex() for tensor in inputs):
            self.complex.add(operator.name)
        weights = self._weights if operator.name in BATCHED else self._computed
        if operator.family == CONVOLUTION:
            self.conv_macs += macs
        # the last two inputs are the factors, because addmm has the bias as its first input; the weight of a quantised
        # layer is not a tensor
        elif operator.family == PRODUCT and (len(inputs) == 1 or any(s in weights for s in storages[-2:])):
            self.linear_macs += macs
        else:
            self.attention_macs += macs if operator.family == PRODUCT else 0
            return
        self.activations += sum(tensor.numel() for tensor in _tensors((out,)))


def record(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> tuple[Recorder, Any]:
    """Record the operators of ``module(*args, **kwargs)``; return the record and the output.

    The recorder adds hooks to ``module``, so pass a copy.
    """
    recorder = Recorder(module)
    # torch has no formula for some fused kernels of attention; the math backend runs two matrix products
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _without_fused_layers(), recorder:
        out = module(*args, **(kwargs or {}))
    return recorder, out


@contextmanager
def _without_fused_layers() -> Iterator[None]:
    """Let nn.MultiheadAttention and nn.TransformerEncoderLayer run their operators one by one."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _outer_or(name: str, inputs: Sequence[Tensor], out: Any) -> str:
    """Return ``name``, or the name of an outer product if the output of "aten.mul" is larger than both inputs."""
    if name == "aten.mul" and len(inputs) == 2 and out.numel() > max(tensor.numel() for tensor in inputs):
        return OUTER_PRODUCT
    return name


def _tensors(values: Any) -> list[Tensor]:
    """Return the tensors in ``values`` and in the lists, tuples and dictionaries in it."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
        elif isinstance(value, dict):
            found += _tensors(value.values())
    return found


def _storage(tensor: Tensor) -> int:
    try:
        address: int = tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse tensors have no storage
        return -id(tensor)
    return address
