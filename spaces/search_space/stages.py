"""Stages: stacks of blocks with free depth and width that halve the image size once."""

from collections.abc import Callable, Sequence
from typing import Any

from ..blocks.standard import Conv, ConvPool, Inception, Pool, Residual
from ..parameters.constraints import Constraint, check, positive_int
from ..parameters.domains import Choice, Repeat, repeat
from ..parameters.lookup import look_up
from .space import Template

_SIZE = Constraint(f"{positive_int.description}, or a list of them", positive_int.holds)


def stage(
    blocks: str | Sequence[str],
    depth: int | Sequence[int],
    width: int | Sequence[int],
    kernel: int | Sequence[int] = (3,),
    halve: bool = True,
) -> Template:
    """Return a stage of a space: one of the stacks ``blocks`` (:data:`STACKS`), ``depth`` blocks of ``width`` channels.

    ``blocks``, ``depth``, ``width`` and ``kernel`` are each a value or a sequence of options. ``kernel`` is the kernel
    of plain convolutions. With ``halve`` the stage halves the image size once; without it the size stays the same.

    >>> from archsieve.spaces.search_space.space import Space
    >>> space = Space((1, 8, 8), (stage("residual", depth=[1, 2], width=16),), 10)
    >>> print(space.architecture({"1.times": 1}))
    residual 16 stride=2 > residual 16
    """
    names = (blocks,) if isinstance(blocks, str) else tuple(blocks)
    stacks = [look_up(STACKS, name, "block of a stage") for name in names]
    depths, widths, kernels = _sizes("depth", depth), _sizes("width", width), _sizes("kernel", kernel)
    return _value_or_choice([stack(depths, widths, kernels, halve) for stack in stacks])


def _sizes(name: str, options: Any) -> Any:
    """Return the value or choice of the argument ``name``; raise ``ValueError`` for sizes that are not positive."""
    for option in options if _is_list(options) else [options]:
        check(_SIZE, option, f"the {name} of a stage")
    return _value_or_choice(options)


def _value_or_choice(options: Any) -> Any:
    """Return a value unchanged and a sequence as a choice; a sequence of one option gives that option."""
    if not _is_list(options):
        return options
    return options[0] if len(options) == 1 else Choice(tuple(options))


def _is_list(options: Any) -> bool:
    return isinstance(options, Sequence) and not isinstance(options, str)


def _conv_pool(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    # the pooling of ConvPool halves the image size, so without halving the stack has plain convolutions
    return ConvPool(width, kernel, convs=depth) if halve else repeat(Conv(width, kernel), depth)


def _residual(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    # the stride of the first block halves the image size, as in the ResNets
    return repeat(Residual(width), depth, first={"stride": 2} if halve else {})


def _bottleneck(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    return repeat(Residual(width, "bottleneck"), depth, first={"stride": 2} if halve else {})


def _inception(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    stack: Repeat = repeat(Inception(width), depth)
    return (stack, Pool(2)) if halve else stack


# name: (depth, width, kernel, halve) -> template
STACKS: dict[str, Callable[[Any, Any, Any, bool], Template]] = {
    "conv-pool": _conv_pool,
    "residual": _residual,
    "bottleneck": _bottleneck,
    "inception": _inception,
}
