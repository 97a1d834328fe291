"""Profile any torch module: the cost of each operator, and the operators that no counter counts."""

from collections.abc import Sequence

import torch
from torch import nn

from ...spaces.parameters.lookup import look_up
from ...spaces.parameters.user_code import first_line
from ..process.random_state import kept_random_state
from .fvcore_check import CROSS_CHECKS
from .inputs import Example, Inputs, inputs_of, refusal
from .meta_copy import meta_copy, value_copy
from .operator_recorder import Recorder, record
from .operators import is_free
from .records import ModuleProfile, ModuleRow, OperatorRow, by_family, not_counted


def profile_module(
    module: nn.Module,
    input_shape: Sequence[int] | None = None,
    *,
    inputs: Example | None = None,
    cross_check: str = "torch",
) -> ModuleProfile:
    """Count the operators of a copy of ``module`` in evaluation mode on one input of ``input_shape``, without a batch.

    ``inputs`` are the arguments of a forward pass instead, for networks with several inputs or with integers: a tensor,
    a tuple of arguments, or a mapping of named ones. Their batch counts as it is. The forward pass runs on the meta
    device, which computes nothing and needs no memory. If the control flow depends on tensor values, it runs on the
    module's own device instead, and a note reports this. ``cross_check`` selects the counter: "torch" has the formulas
    of torch's own FLOP counter, "fvcore" adds the count of fvcore and explains each difference. The module and the
    states of random generators do not change. Raises ``ValueError`` for an unknown ``cross_check`` and for a module
    that does not accept the inputs.
    """
    count = look_up(CROSS_CHECKS, cross_check, "cross-check")
    arguments = inputs_of(module, input_shape, inputs)
    with kept_random_state():
        recorder, device, notes = _recorded(module, arguments)
        operators = tuple(OperatorRow(name, recorder.calls[name], macs) for name, macs in recorder.macs.most_common())
        checked = None
        if count:
            copy = value_copy(module)
            checked = count(copy, arguments.with_values(_device(copy)), by_family(operators))
    products = (recorder.conv_macs, recorder.linear_macs, recorder.attention_macs)
    return ModuleProfile(
        arguments.shape,
        device,
        sum(p.numel() for p in module.parameters() if p.requires_grad),
        sum(p.numel() for p in module.parameters()),
        *products,
        recorder.macs.total() - sum(products),  # other_macs
        recorder.activations,
        _rows(module, recorder),
        operators,
        not_counted(recorder.uncounted),
        (*notes, *_warnings(module, recorder)),
        checked,
    )


def _recorded(module: nn.Module, inputs: Inputs) -> tuple[Recorder, str, list[str]]:
    # the meta device first: it is fast and needs no memory for the activations
    try:
        on_meta = inputs.on_meta()
        return record(meta_copy(module), on_meta.args, on_meta.kwargs)[0], "meta", []
    except AssertionError as error:  # how networks refuse a size
        raise refusal(module, inputs, error) from error
    except Exception as error:  # the forward pass is code of the module
        meta_error = first_line(error).rstrip(".")[:120]
    copy = value_copy(module)
    device = _device(copy)
    with_values = inputs.with_values(device)
    try:
        recorder, _ = record(copy, with_values.args, with_values.kwargs)
    except Exception as error:
        raise refusal(module, inputs, error) from error
    note = (
        f"the forward pass cannot run on the meta device, which has no values ({meta_error}); it ran on one random "
        f"input on {device.type}, and where it depends on values another input may have another cost"
    )
    return recorder, device.type, [note]


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _rows(module: nn.Module, recorder: Recorder) -> tuple[ModuleRow, ...]:
    """Return a row for each module with its own parameters or operators.

    A shared parameter counts only at the first module that holds it.
    """
    rows = []
    seen: set[int] = set()  # ids of counted parameters, because tied parameters appear in several modules
    for name, child in module.named_modules():
        own = [p for p in child.parameters(recurse=False) if p.requires_grad and id(p) not in seen]
        seen.update(id(p) for p in own)
        params, macs = sum(p.numel() for p in own), recorder.module_macs[name]
        if params or macs:
            calls, out = recorder.module_calls[name], recorder.out_shapes.get(name, ())
            rows.append(ModuleRow(name or "(itself)", type(child).__name__, calls, out, params, macs))
    return tuple(rows)


def _warnings(module: nn.Module, recorder: Recorder) -> list[str]:
    """Return notes on costs that would look like zero: unknown operators, and parameters that no operator reads."""
    notes = []
    if unknown := [operator for operator in recorder.uncounted if not is_free(operator)]:
        notes.append(f"not counted by any formula: {', '.join(sorted(unknown))}; the true cost may be higher")
    if isinstance(module, torch.jit.ScriptModule):
        notes.append(
            "a ScriptModule runs as a whole, so its operators belong to no part; params leaves out its frozen weights"
        )
    if quantised := sum(map(_quantised_numbers, module.modules())):
        notes.append(f"params leaves out {quantised:,} quantised weights, which are not parameters of torch")
    if recorder.complex:
        names = ", ".join(sorted(recorder.complex))
        notes.append(f"a multiplication of complex numbers counts as one, but takes four of real numbers: {names}")
    if unread := list(recorder.unread.values()):
        size = sum(module.get_parameter(name).numel() for name in unread)
        names = ", ".join(unread[:4]) + (", ..." if len(unread) > 4 else "")
        notes.append(f"{size:,} parameters are not read in evaluation mode (for example auxiliary heads): {names}")
    return notes


def _quantised_numbers(module: nn.Module) -> int:
    weight = getattr(module, "weight", None)  # a method of a quantised layer, a parameter of others
    bias = getattr(module, "bias", None)
    tensors = (weight(), bias()) if callable(weight) and callable(bias) else ()
    return sum(tensor.numel() for tensor in tensors if isinstance(tensor, torch.Tensor))
