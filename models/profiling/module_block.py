"""Own blocks that are torch modules: their shape and cost are measured on the meta device, once for each input."""

from functools import lru_cache
from typing import TYPE_CHECKING

from ...spaces.blocks.base import Shape, ShapeError
from ...spaces.blocks.cost import Cost
from ...spaces.blocks.layers import ModuleLayer

if TYPE_CHECKING:
    from torch import nn


class ModuleBlock(ModuleLayer):
    """A block whose network is a torch module: derive from it, as a frozen dataclass, and write ``module(in_shape)``.

    The module takes a batch (N, *in_shape) and returns one tensor (N, C, H, W) or (N, features). Its parameters, its
    multiply-accumulates of convolutions and linear layers, their activations, and what training keeps of an image are
    measured on the meta device and cached. What torch's counter does not count has no cost, as in ``av.profile``.
    Convolutions and linear layers are initialised as the recipe says; other parameters keep the module's own start.
    """

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        return _measured(self, shape)


@lru_cache(maxsize=4096)
def _measured(block: ModuleBlock, shape: Shape) -> tuple[Shape, Cost]:
    """Return the output shape, without the batch, and the cost of ``block`` on an input of ``shape``."""
    import torch

    from .backbone_costs import kept_bytes
    from .meta_copy import meta_copy
    from .profiler import profile_module

    with torch.device("meta"):
        module = _module(block, shape)
    try:
        out = meta_copy(module)(torch.empty(2, *shape, device="meta"))
    except Exception as error:
        raise ShapeError(f"{block.kind} cannot take an input of {shape}: {type(error).__name__}: {error}") from error
    if not isinstance(out, torch.Tensor) or out.dim() not in (2, 4) or out.shape[0] != 2:
        got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise ShapeError(
            f"the module of {block.kind} must return a tensor (N, C, H, W) or (N, features), but for a batch of "
            f"(2, {', '.join(map(str, shape))}) it returned {got}; correct its forward()"
        )
    found = profile_module(module, shape)
    return tuple(out.shape[1:]), Cost(found.params, found.macs, found.activations, kept_bytes(module, shape))


def _module(block: ModuleBlock, shape: Shape) -> "nn.Module":
    from torch import nn

    module = block.module(shape)
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"module() of block {block.kind!r} must return a torch.nn.Module, but returned {type(module).__name__}; "
            "return the module"
        )
    return module
