"""The profiler: what any torch module costs, operator by operator, and what nobody counts."""

from collections.abc import Sequence

import torch
from torch import nn

from ...spaces.parameters.lookup import look_up
from .fvcore_check import WITNESSES
from .meta_copy import meta_twin, real_twin
from .operator_recorder import Recorder, record
from .operators import is_free
from .records import ModuleProfile, ModuleRow, OperatorRow, by_family, not_counted


def profile_module(module: nn.Module, input_shape: Sequence[int], *, witness: str = "torch") -> ModuleProfile:
    """Count ``module`` on one input of ``input_shape``, without the batch, in evaluation mode.

    The forward pass runs on the meta device, where nothing is computed and no memory is needed; where the module reads
    values of its tensors it runs on the module's own device, and a note says so. ``witness`` "torch" counts with
    torch's own FLOP counter alone; "fvcore" puts fvcore's count beside it and explains each difference.
    """
    second = look_up(WITNESSES, witness, "witness")
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
        total - recorder.layer_macs - recorder.attention_macs,
        recorder.activations,
        _rows(module, recorder),
        operators,
        not_counted(recorder.uncounted),
        (*notes, *_warnings(module, recorder)),
        second(real_twin(module), shape, by_family(operators)) if second else None,
    )


def _recorded(module: nn.Module, shape: tuple[int, ...]) -> tuple[Recorder, int, str, list[str]]:
    try:
        return *record(meta_twin(module), torch.empty(1, *shape, device="meta")), "meta", []
    except (RuntimeError, NotImplementedError, TypeError) as error:
        reason = _first_line(error)
    twin = real_twin(module)
    device = next((p.device for p in twin.parameters()), torch.device("cpu"))
    batch = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        recorder, total = record(twin, batch)
    except Exception as error:
        raise ValueError(
            f"a network must take a batch of shape (1, {', '.join(map(str, shape))}), but {type(module).__name__} "
            f"failed: {type(error).__name__}: {_first_line(error)}; give the shape it was made for, without the batch"
        ) from error
    note = (
        f"the forward pass depends on values, which the meta device does not have ({reason}); it ran on one random "
        f"input on {device.type}, and another input may take another path and cost something else"
    )
    return recorder, total, device.type, [note]


def _rows(module: nn.Module, recorder: Recorder) -> tuple[ModuleRow, ...]:
    """The modules with parameters or multiply-accumulates of their own; a shared parameter counts where it is first."""
    rows = []
    seen: set[int] = set()
    for name, child in module.named_modules():
        own = [p for p in child.parameters(recurse=False) if p.requires_grad and id(p) not in seen]
        seen.update(id(p) for p in own)
        params, macs = sum(p.numel() for p in own), recorder.module_macs[name]
        if params or macs:
            calls, out = recorder.module_calls[name], recorder.out_shapes.get(name, ())
            rows.append(ModuleRow(name or "(itself)", type(child).__name__, calls, out, params, macs))
    return tuple(rows)


def _warnings(module: nn.Module, recorder: Recorder) -> list[str]:
    """What must not look like a zero: operators nobody counts, and parameters that nothing reads."""
    notes = []
    if unknown := [operator for operator in recorder.uncounted if not is_free(operator)]:
        notes.append(f"nobody counts {', '.join(sorted(unknown))}: the true cost is higher")
    if unread := list(recorder.unread.values()):
        size = sum(module.get_parameter(name).numel() for name in unread)
        names = ", ".join(unread[:4]) + (", ..." if len(unread) > 4 else "")
        notes.append(f"{size:,} parameters are read by nothing in evaluation mode, as of auxiliary heads: {names}")
    return notes


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
