"""Profile any torch module: the cost of each operator, and the operators that no counter counts."""

from collections.abc import Sequence

import torch
from torch import nn

from ...spaces.parameters.lookup import look_up
from .fvcore_check import CROSS_CHECKS
from .meta_copy import meta_copy, value_copy
from .operator_recorder import Recorder, record
from .operators import is_free
from .records import ModuleProfile, ModuleRow, OperatorRow, by_family, not_counted


def profile_module(module: nn.Module, input_shape: Sequence[int], *, cross_check: str = "torch") -> ModuleProfile:
    """Count the operators of ``module`` in evaluation mode on one input of ``input_shape`` (without the batch).

    The forward pass runs on the meta device, which computes nothing and needs no memory. If the control flow depends on
    tensor values, it runs on the module's own device instead, and a note reports this. ``cross_check`` selects the
    counter: "torch" is torch's own FLOP counter, "fvcore" adds the count of fvcore and explains each difference. Raises
    ``ValueError`` for an unknown ``cross_check`` and for a module that does not accept the input.
    """
    count = look_up(CROSS_CHECKS, cross_check, "cross-check")
    shape = tuple(input_shape)
    recorder, total, device, notes = _recorded(module, shape)
    operators = tuple(OperatorRow(name, recorder.calls[name], macs) for name, macs in recorder.macs.most_common())
    return ModuleProfile(
        shape,
        device,
        sum(p.numel() for p in module.parameters() if p.requires_grad),
        sum(p.numel() for p in module.parameters()),
        recorder.layer_macs,
        recorder.attention_macs,
        total - recorder.layer_macs - recorder.attention_macs,  # other_macs, so that the three sum to the total
        recorder.activations,
        _rows(module, recorder),
        operators,
        not_counted(recorder.uncounted),
        (*notes, *_warnings(module, recorder)),
        count(value_copy(module), shape, by_family(operators)) if count else None,
    )


def _recorded(module: nn.Module, shape: tuple[int, ...]) -> tuple[Recorder, int, str, list[str]]:
    # the meta device first: it is fast and needs no memory for the activations
    try:
        return *record(meta_copy(module), torch.empty(1, *shape, device="meta")), "meta", []
    except (RuntimeError, NotImplementedError, TypeError) as error:
        meta_error = _first_line(error)
    copy = value_copy(module)
    device = next((p.device for p in copy.parameters()), torch.device("cpu"))
    # a fixed seed, so that the same path is counted each time; the global generator does not change
    batch = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        recorder, total = record(copy, batch)
    except Exception as error:
        raise ValueError(
            f"a network must take a batch of shape (1, {', '.join(map(str, shape))}), but {type(module).__name__} "
            f"failed: {type(error).__name__}: {_first_line(error)}; pass the network's input shape, without the batch"
        ) from error
    note = (
        f"the forward pass depends on values, which the meta device does not have ({meta_error}); it ran on one random "
        f"input on {device.type}, and another input may take another path with another cost"
    )
    return recorder, total, device.type, [note]


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
        notes.append(f"not counted by any formula: {', '.join(sorted(unknown))}; the true cost is higher")
    if unread := list(recorder.unread.values()):
        size = sum(module.get_parameter(name).numel() for name in unread)
        names = ", ".join(unread[:4]) + (", ..." if len(unread) > 4 else "")
        notes.append(f"{size:,} parameters are not read in evaluation mode (for example auxiliary heads): {names}")
    return notes


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
