"""Cross-check of a profile: the count of fvcore, and the reason for each difference from ours."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version

import torch
from torch import nn

from .inputs import Inputs
from .operators import CONVOLUTION, PRODUCT, family_of
from .records import CrossCheck, Difference, ModuleProfile, NotCounted, OperatorRow, by_family, not_counted

Count = Callable[[nn.Module, Inputs, Mapping[str, int]], CrossCheck]


def fvcore(module: nn.Module, inputs: Inputs, ours: Mapping[str, int]) -> CrossCheck:
    """Count ``module`` with fvcore.

    fvcore traces real tensors, so ``module`` and ``inputs`` must have values. ``ours`` are our multiply-accumulates by
    family. Raises ``ValueError`` if fvcore is not installed or cannot trace the module, and for named inputs.
    """
    if inputs.kwargs:
        names = ", ".join(inputs.kwargs)
        raise ValueError(f"fvcore takes inputs by position, but got them by name: {names[:200]}; pass a tuple")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore uses torch.jit, which torch deprecates
        try:
            from fvcore.nn import FlopCountAnalysis
        except ModuleNotFoundError:
            raise ValueError(
                "the cross-check with fvcore needs the package fvcore, but it is not installed; "
                "run pip install 'archsieve[cross-check]'"
            ) from None
        counter = FlopCountAnalysis(module, inputs.args)
        # no warnings: uncounted operators are part of the result
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        try:
            total, counted, unsupported = counter.total(), counter.by_operator(), counter.unsupported_ops()
        except Exception as error:
            raise ValueError(
                f"fvcore must trace the network, but could not: {type(error).__name__}: {error}; "
                "cross-check with torch, which runs the network without tracing it"
            ) from error
    rows = tuple(OperatorRow(name, 0, int(macs)) for name, macs in counted.most_common() if macs)
    left_out = not_counted(unsupported)
    return CrossCheck("fvcore", version("fvcore"), int(total), rows, left_out, differences(ours, rows, left_out))


# The values of ``archsieve profile --cross-check``. The profile itself is torch's count, so torch needs no second one.
CROSS_CHECKS: dict[str, Count | None] = {"torch": None, "fvcore": fvcore}


def torch_cross_check(profile: ModuleProfile) -> CrossCheck:
    """Return the count of torch's counter for a built module, for comparison with a closed form."""
    return CrossCheck("torch", torch.__version__, profile.total_macs, profile.operators, profile.not_counted, ())


def differences(
    ours: Mapping[str, int], theirs: Iterable[OperatorRow], left_out: Iterable[NotCounted]
) -> tuple[Difference, ...]:
    """Return the differences between two counts.

    Convolutions and matrix products are compared by family, because the counters name operators differently. All other
    operators that ``theirs`` counts are listed one by one.
    """
    theirs, left_out = list(theirs), list(left_out)
    by_their_family = by_family(theirs)
    rows = [
        Difference(family, ours.get(family, 0), by_their_family.get(family, 0), _why(family, left_out))
        for family in (CONVOLUTION, PRODUCT)
        if ours.get(family, 0) != by_their_family.get(family, 0)
    ]
    extra = (row for row in theirs if row.family not in (CONVOLUTION, PRODUCT))
    return (*rows, *(Difference(r.operator, 0, r.macs, f"{r.family}: zero by our convention") for r in extra))


def _why(family: str, left_out: Iterable[NotCounted]) -> str:
    """Explain the difference of a family by the operators that the other counter does not count."""
    missed = [row for row in left_out if family_of(row.operator) == family]
    if not missed:
        return "no uncounted operator explains it; compare the operators of both counters"
    missed_operators = ", ".join(f"{row.calls} {row.operator}" for row in missed)
    string_padding = ', a convolution with padding given as a string, as in padding="same"'
    hint = string_padding if "_convolution_mode" in missed_operators else ""
    return f"the other library does not count {missed_operators}{hint}"
