"""The second witness: fvcore's count of a module, and why it differs from ours."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version

import torch
from torch import nn

from .operators import CONVOLUTION, PRODUCT, family_of
from .records import Difference, ModuleProfile, NotCounted, OperatorRow, Witness, by_family, not_counted

Count = Callable[[nn.Module, tuple[int, ...], Mapping[str, int]], Witness]


def fvcore(module: nn.Module, shape: tuple[int, ...], ours: Mapping[str, int]) -> Witness:
    """The count of fvcore, which traces real tensors; ``ours`` are our multiply-accumulates by family."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, which fvcore is made of and torch retires
        try:
            from fvcore.nn import FlopCountAnalysis
        except ModuleNotFoundError:
            raise ValueError(
                "the witness fvcore is a package of its own, but it is not installed; pip install 'archsieve[witness]'"
            ) from None
        device = next((p.device for p in module.parameters()), "cpu")
        counter = FlopCountAnalysis(module, torch.zeros(1, *shape, device=device))
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        try:
            total, counted, unsupported = counter.total(), counter.by_operator(), counter.unsupported_ops()
        except Exception as error:
            raise ValueError(
                f"fvcore must trace the network, but could not: {type(error).__name__}: {error}; "
                "use the witness torch, which runs it instead"
            ) from error
    rows = tuple(OperatorRow(name, 0, int(macs)) for name, macs in counted.most_common() if macs)
    left_out = not_counted(unsupported)
    return Witness("fvcore", version("fvcore"), int(total), rows, left_out, differences(ours, rows, left_out))


WITNESSES: dict[str, Count | None] = {"torch": None, "fvcore": fvcore}


def torch_witness(profile: ModuleProfile) -> Witness:
    """What torch's counter said of a built module, to be held against a closed form."""
    return Witness("torch", torch.__version__, profile.total_macs, profile.operators, profile.not_counted, ())


def differences(
    ours: Mapping[str, int], theirs: Iterable[OperatorRow], left_out: Iterable[NotCounted]
) -> tuple[Difference, ...]:
    """Where ``theirs`` differ from ``ours``: by family what both count, by operator what only they count."""
    theirs, left_out = list(theirs), list(left_out)
    found = by_family(theirs)
    rows = [
        Difference(family, ours.get(family, 0), found.get(family, 0), _why(family, left_out))
        for family in (CONVOLUTION, PRODUCT)
        if ours.get(family, 0) != found.get(family, 0)
    ]
    extra = (row for row in theirs if row.family not in (CONVOLUTION, PRODUCT))
    return (*rows, *(Difference(r.operator, 0, r.macs, f"{r.family}: nought by our convention") for r in extra))


def _why(family: str, left_out: Iterable[NotCounted]) -> str:
    """The operators of ``family`` that the witness met and did not count."""
    missed = [row for row in left_out if family_of(row.operator) == family]
    if not missed:
        return "not explained by an operator that the witness leaves out; compare the operators of both"
    said = ", ".join(f"{row.calls} {row.operator}" for row in missed)
    hint = '; that is padding given as a word, as in padding="same"' if "_convolution_mode" in said else ""
    return f"the witness leaves out {said}{hint}"
