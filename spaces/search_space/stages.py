"""Stages: stacks of blocks with free depth and width that halve the image size once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..blocks.base import Block
from ..blocks.standard import (
    Conv,
    ConvNeXtBlock,
    ConvPool,
    DenseBlock,
    DepthwiseSeparable,
    Fire,
    FusedInvertedResidual,
    GroupedBottleneck,
    Inception,
    InvertedResidual,
    Pool,
    Residual,
    ShuffleUnit,
)
from ..parameters.constraints import Constraint, check, positive_int
from ..parameters.domains import Choice, Repeat, repeat
from ..parameters.lookup import look_up, unknown
from .space import Template

_SIZE = Constraint(f"{positive_int.description}, or a list of them", positive_int.holds)
IDENTITY = "identity"


def stage(
    blocks: str | Sequence[str],
    depth: int | Sequence[int],
    width: int | Sequence[int],
    kernel: int | Sequence[int] | None = None,
    halve: bool = True,
    *,
    each: bool = False,
    **options: Any,
) -> Template:
    """Return a stage of a space: one of the stacks ``blocks``, ``depth`` blocks of ``width`` channels.

    ``blocks`` are keys of :data:`STACKS` or :data:`STRIDED_BLOCKS`. "identity" among them means that every block after
    the first may be left out. ``blocks``, ``depth``, ``width``, ``kernel`` and the ``options`` (fields of the blocks,
    such as ``expansion``) are each a value or a sequence of options. ``kernel`` is that of plain and depthwise
    convolutions. With ``halve`` the stage halves the image size once; without it the size stays the same.

    A depth of 0 in a list means that the whole stage may be left out, and the halving with it.

    With ``each`` every block makes its own choices of kind, kernel and options; the width is that of the stage. In a
    stage of dense blocks alone every layer chooses its growth. A stage of blocks without a stride ends with the
    pooling that halves the image; if it has blocks with a stride as well, the first block halves it.

    >>> from archsieve.spaces.search_space.space import Space
    >>> space = Space((1, 8, 8), (stage("residual", depth=[1, 2], width=16),), 10)
    >>> print(space.architecture({"1.times": 1}))
    residual 16 stride=2 > residual 16
    """
    names = (
        (blocks,) if isinstance(blocks, str) else Choice(tuple(blocks)).options
    )  # refuses a name that is there twice
    kinds = {name: look_up(_KINDS, name, "block of a stage") for name in names}
    empty, depths, widths = *_depths(depth), _sizes("width", width)
    if kinds.pop(IDENTITY, None):
        depths = _every_depth(depths, kinds)
    block_fields = {name: _value_or_choice(_whole(value)) for name, value in options.items() if value is not None}
    _check_options(block_fields, kinds)
    if kernel is not None:
        block_fields["kernel"] = _sizes("kernel", kernel)
    if each:
        return _value_or_choice([*empty, *_own_choices(kinds, depths, widths, block_fields, halve)])
    stacks = [_stack(kind, depths, widths, block_fields, halve) for kind in kinds.values()]
    return _value_or_choice([*empty, *stacks])


def _depths(depth: Any) -> tuple[list[Template], Any]:
    """Return the option of no stage, if 0 is one of several depths, and the value or choice of the other depths."""
    without = [option for option in depth if option != 0 or option is False] if _is_list(depth) else []
    if not without or len(without) == len(depth):
        return [], _sizes("depth", depth)
    Choice(tuple(depth))  # refuses a depth that is there twice
    return [()], _sizes("depth", without)


def _every_depth(depths: Any, kinds: Mapping[str, Any]) -> Any:
    """Return all depths from 1 to the largest of ``depths``: without some blocks, a stage is a shallower stage."""
    if not kinds:
        raise ValueError(
            "a stage needs a block other than identity, but got only identity; add one, such as inverted-residual"
        )
    largest = max(depths.options) if isinstance(depths, Choice) else depths
    return _value_or_choice(range(1, largest + 1))


def _check_options(block_fields: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for an option that no block of the stage has."""
    known = sorted({name for kind in kinds.values() for name in _fields_of(kind)} - {"width", "stride", "kernel"})
    for name in block_fields:
        if name not in known:
            if not known:
                raise ValueError(f"{', '.join(kinds)} takes no {name}, because it has no options; remove {name}")
            raise ValueError(unknown(f"option of {', '.join(kinds)}", name, known))


def _fields_of(kind: Any) -> Sequence[str]:
    return tuple(field.name for field in fields(kind)) if isinstance(kind, type) else ()  # a stack is a function


def _stack(kind: Any, depth: Any, width: Any, block_fields: Mapping[str, Any], halve: bool) -> Template:
    if not isinstance(kind, type):
        stack: Callable[[Any, Any, Any, bool], Template] = kind
        return stack(depth, width, block_fields.get("kernel", 3), halve)
    return repeat(_block(kind, block_fields, width=width), depth, first={"stride": 2} if halve else {})


def _block(kind: type[Block], block_fields: Mapping[str, Any], **sizes: Any) -> Block:
    return kind(**sizes, **{name: value for name, value in block_fields.items() if name in _fields_of(kind)})


def _own_choices(
    kinds: Mapping[str, Any], depths: Any, widths: Any, block_fields: Mapping[str, Any], halve: bool
) -> list[Template]:
    """Return the stages in which each block makes its own choices: one, or one for each width.

    A stage is a first block and a repeat of blocks that keep its width. Most blocks of :data:`STACKS` have a width of
    their own, which is therefore chosen before them.
    """
    counts = depths.options if isinstance(depths, Choice) else (depths,)
    later_counts = _value_or_choice([count - 1 for count in counts])
    if all(isinstance(kind, type) for kind in kinds.values()):
        stride = {"stride": 2} if halve else {}
        first = _value_or_choice([_block(kind, block_fields, width=widths, **stride) for kind in kinds.values()])
        later = _value_or_choice([_block(kind, block_fields) for kind in kinds.values()])
        return [(first, repeat(later, later_counts, each=True))]
    chosen_before = widths.options if isinstance(widths, Choice) and [*kinds] != ["dense-block"] else (widths,)
    pooled = [name in POOLED for name in kinds]
    end = (Pool(2),) if halve and all(pooled) else ()
    return [
        (
            _value_or_choice([_single(*kind, width, block_fields, halve=halve and not end) for kind in kinds.items()]),
            repeat(
                _value_or_choice([_single(*kind, width, block_fields, halve=False) for kind in kinds.items()]),
                later_counts,
                each=True,
            ),
            *end,
        )
        for width in chosen_before
    ]


def _single(name: str, kind: Any, width: Any, block_fields: Mapping[str, Any], *, halve: bool) -> Template:
    """Return one block of a stage in which each block makes its own choices."""
    stride = 2 if halve else 1
    if isinstance(kind, type):
        return _block(kind, block_fields, width=width, **({"stride": stride} if halve else {}))
    if name not in POOLED:
        return SINGLE[name](width, stride)
    kernel = block_fields.get("kernel", 3)
    ConvPool(width, kernel)  # refuses what a stage without `each` refuses
    block = POOLED[name](width, kernel)
    return (block, Pool(2)) if halve else block


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


def _whole(value: Any) -> Any:
    """Return floats without a fraction as integers, also in lists, so that 6.0 and 6 are one option."""
    if _is_list(value):
        return [_whole(option) for option in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


def _fire(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    stack: Repeat = repeat(Fire(width), depth)
    return (stack, Pool(2)) if halve else stack


def _dense_block(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    # the width of a dense block is its growth: its number of channels depends on its input
    return DenseBlock(depth, width, stride=2 if halve else 1)


def _inception(depth: Any, width: Any, kernel: Any, halve: bool) -> Template:
    stack: Repeat = repeat(Inception(width), depth)
    return (stack, Pool(2)) if halve else stack


# name: (depth, width, kernel, halve) -> template
STACKS: dict[str, Callable[[Any, Any, Any, bool], Template]] = {
    "conv-pool": _conv_pool,
    "residual": _residual,
    "bottleneck": _bottleneck,
    "inception": _inception,
    "fire": _fire,
    "dense-block": _dense_block,
}
# one block of a stack with a stride: (width, stride) -> block
SINGLE: dict[str, Callable[[Any, int], Block]] = {
    "residual": lambda width, stride: Residual(width, stride=stride),
    "bottleneck": lambda width, stride: Residual(width, "bottleneck", stride),
    "dense-block": lambda width, stride: DenseBlock(1, width, stride=stride),
}
# one block of a stack without a stride, which a pooling halves: (width, kernel) -> block
POOLED: dict[str, Callable[[Any, Any], Block]] = {
    "conv-pool": Conv,
    "inception": lambda width, kernel: Inception(width),
    "fire": lambda width, kernel: Fire(width),
}
# blocks with a stride and an optional width, whose other fields are options of the stage
STRIDED_BLOCKS: dict[str, type[Block]] = {
    block.kind: block
    for block in (
        InvertedResidual,
        FusedInvertedResidual,
        DepthwiseSeparable,
        GroupedBottleneck,
        ConvNeXtBlock,
        ShuffleUnit,
    )
}
_KINDS: dict[str, Any] = {**STACKS, **STRIDED_BLOCKS, IDENTITY: IDENTITY}
