"""Chains: the short runs of layers that blocks are made of."""

from functools import lru_cache

from .base import FLAG, Law, one_of
from .layers import ACT, Act, BatchNorm, Convolution, Layer

MODE: Law = one_of("max", "average")
PLACE: dict[str, Law] = {"norm": FLAG, "act": ACT}


@lru_cache(maxsize=4096)
def conv_norm_act(
    width: int,
    kernel: int,
    stride: int = 1,
    padding: int | None = None,
    *,
    groups: int = 1,
    norm: bool = True,
    act: str = "relu",
) -> tuple[Layer, ...]:
    """Convolution, batch norm, nonlinearity; padded to keep the size where ``padding`` is None; bias where no norm."""
    padding = kernel // 2 if padding is None else padding
    conv = Convolution(width, kernel, stride, padding, groups, bias=not norm)
    return (conv, *((BatchNorm(),) if norm else ()), *activate(act))


@lru_cache(maxsize=64)
def activate(act: str) -> tuple[Layer, ...]:
    """The nonlinearity ``act``, or nothing where it is "none"."""
    return () if act == "none" else (Act(act),)
