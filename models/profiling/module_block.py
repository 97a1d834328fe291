"""Custom blocks that are torch modules: their shape and cost are measured on the meta device, once for each input."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...spaces.blocks.base import Shape, ShapeError
from ...spaces.blocks.cost import FLOAT_BYTES, Cost
from ...spaces.blocks.layers import ModuleLayer
from ...spaces.parameters.user_code import ERRORS, PluginError, at_definition, at_line, described, raised

if TYPE_CHECKING:
    from torch import nn


class ModuleBlock(ModuleLayer):
    """A block whose network is a torch module: derive from it, as a frozen dataclass, and write ``module(in_shape)``.

    The module takes a batch (N, *in_shape) and returns one tensor (N, C, H, W) or (N, features). Its parameters, its
    multiply-accumulates of convolutions, linear layers and attention, the activations, and what training keeps of an
    image are measured on the meta device and cached. What has no formula has no cost, as in ``av.profile``.
    Convolutions and linear layers are initialised as the recipe says; other parameters keep the module's own start.
    """

    def out_shape_and_cost(self, shape: Shape) -> tuple[Shape, Cost]:
        return _measured(self, shape)


@lru_cache(maxsize=4096)
def _measured(block: ModuleBlock, shape: Shape) -> tuple[Shape, Cost]:
    """Return the output shape, without the batch, and the cost of ``block`` on an input of ``shape``."""
    import torch

    from .backbone_costs import saved_bytes
    from .meta_copy import meta_copy
    from .profiler import profile_module

    with _explained(block, shape):
        with torch.device("meta"):
            module = _module(block, shape)
        out = meta_copy(module)(torch.empty(2, *shape, device="meta"))
        out_shape = _out_shape(block, shape, out)
        profile = profile_module(module, shape)
        if profile.unknown:
            names = ", ".join(row.operator for row in profile.unknown)
            raise PluginError(
                f"block {block.kind!r} has operators without a known cost: {names}{_at(block)}; use others"
            )
        # The input may also be saved by the layer before, and the output by the layer after. Both are counted here:
        # the prediction is an upper bound, because a network must not need more memory than predicted.
        saved = saved_bytes(module, shape, input_grad=True) + FLOAT_BYTES * math.prod(out_shape)
    # Frozen parameters and products of activations (attention) count as well: a limit holds for all of a network.
    return out_shape, Cost(profile.params_total, profile.total_macs, profile.activations, saved)


def _module(block: ModuleBlock, shape: Shape) -> "nn.Module":
    from torch import nn

    module = block.module(shape)
    if not isinstance(module, nn.Module):
        raise PluginError(
            f"module() of block {block.kind!r} must return a torch.nn.Module, but returned {type(module).__name__}"
            f"{_at(block)}; return the module"
        )
    return module


def _out_shape(block: ModuleBlock, shape: Shape, out: Any) -> Shape:
    import torch

    if not isinstance(out, torch.Tensor) or out.dim() not in (2, 4) or out.shape[0] != 2:
        got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise PluginError(
            f"the module of {block.kind} must return a tensor (N, C, H, W) or (N, features), but for a batch of "
            f"(2, {', '.join(map(str, shape))}) it returned {got}{_at(block)}; correct its forward()"
        )
    return tuple(out.shape[1:])


@contextmanager
def _explained(block: ModuleBlock, shape: Shape) -> Iterator[None]:
    """Turn an exception of the block's code into a ``ShapeError`` if torch refuses the shape, else a ``PluginError``.

    Only a ``ShapeError`` means that the block does not fit; architectures with such blocks are left out of a space.
    """
    try:
        yield
    except (ShapeError, PluginError):
        raise
    except ERRORS as error:
        call = f"block {block.kind!r} on an input of {shape}"
        message = f"{call}: {described(error)}{at_line(error, type(block).module)}"
        if "meta" in described(error):
            raise PluginError(f"{message}; a module must not read the values of its tensors") from error
        if isinstance(error, RuntimeError | ValueError):  # what torch raises for shapes that do not fit
            raise ShapeError(message) from error
        raise raised(call, error, type(block).module) from error


def _at(block: ModuleBlock) -> str:
    return at_definition(type(block).module)
