"""Stages: a choice of stacks, each some blocks deep, that halve the picture once."""

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
    """A stage of a space: one of the stacks ``blocks`` (see :data:`STACKS`), ``depth`` blocks of ``width`` channels.

    Each of the four is a value or a sequence of options; ``kernel`` is that of plain convolutions. ``halve`` halves the
    picture once; without it the stage keeps the picture's size.

    >>> from archsieve.spaces.search_space.space import Space
    >>> space = Space((1, 8, 8), (stage("residual", depth=[1, 2], width=16),), 10)
    >>> print(space.architecture({"1.times": 1}))
    residual 16 stride=2 > residual 16
    """
    names = (blocks,) if isinstance(blocks, str) else tuple(blocks)
    stacks = [look_up(STACKS, name, "block of a stage") for name in names]
    deep, wide, window = _whole("depth", depth), _whole("width", width), _whole("kernel", kernel)
    return _hole([stack(deep, wide, window, halve) for stack in stacks])


def _whole(what: str, options: Any) -> Any:
    for option in options if _is_list(options) else [options]:
        check(_SIZE, option, f"the {what} of a stage")
    return _hole(options)


def _hole(options: Any) -> Any:
    """A value as it is, a sequence as a choice; a sequence of one is no choice."""
    if not _is_list(options):
        return options
    return options[0] if len(options) == 1 else Choice(tuple(options))


def _is_list(options: Any) -> bool:
    return isinstance(options, Sequence) and not isinstance(options, str)


def _conv_pool(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    return ConvPool(width, kernel, convs=depth) if halve else repeat(Conv(width, kernel), depth)


def _residual(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
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
