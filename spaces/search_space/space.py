"""The search space: an architecture with free parameters, and every way to fill them.

A free parameter is identified by its path, such as ``"2.residual.times"``: the position of the block, its kind and the
field. Paths and the order of options are part of the format of stored decisions.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from ..architectures.architecture import Architecture, check_input_shape
from ..blocks.base import Block, check_hashable
from ..blocks.standard import block_from_json
from ..parameters.domains import Choice, Repeat
from ..parameters.lookup import shorten

Template = Any  # a block (its fields may be choices), a choice, a repeat, or a sequence of these
Decisions = Mapping[str, int]  # path of a choice -> index of the chosen option; only for the choices that apply
Pick = Callable[[str, tuple[Any, ...]], int]  # (path, options) -> index


@dataclass(frozen=True)
class Space:
    """Architectures from images of ``input_shape`` (C, H, W) to ``classes`` scores, with free parameters in ``blocks``.

    ``blocks`` contains blocks, :func:`~archsieve.spaces.parameters.domains.choice` of blocks, values or
    sequences, and :func:`~archsieve.spaces.parameters.domains.repeat`. A choice inside an
    option applies only if that option is chosen.

    >>> from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Residual
    >>> from archsieve.spaces.parameters.domains import choice, repeat
    >>> space = Space((1, 8, 8), (Conv(choice(8, 16)), repeat(Residual(16), choice(0, 1, 2)), GlobalAverage()), 10)
    >>> print(space.architecture({"1.conv.width": 1, "2.times": 2}))
    conv 16 > 2 x residual 16 > global-average
    """

    input_shape: tuple[int, int, int]
    blocks: tuple[Template, ...]
    classes: int
    name: str = "custom"

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", check_input_shape(self.input_shape))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if type(self.classes) is not int or self.classes < 2:
            raise ValueError(
                shorten(f"classes must be a whole number of at least 2, but got {self.classes!r}; use 10, for example")
            )
        for number, template in enumerate(self.blocks, start=1):
            check_template(template, f"block {number}")

    def fill(self, pick: Pick) -> tuple[Block, ...]:
        """Return the blocks that result when ``pick`` makes every choice; their shapes may not fit together."""
        return tuple(block for number, t in enumerate(self.blocks, 1) for block in fill(t, str(number), pick))

    def architecture(self, decisions: Decisions) -> Architecture:
        """Return the architecture that ``decisions`` lead to.

        Raises :class:`ShapeError` if a block cannot take its input, ``ValueError`` if a decision is missing.
        """

        def pick(path: str, options: tuple[Any, ...]) -> int:
            if path not in decisions:
                raise ValueError(f"the decision {path!r} is missing; give the index of one of the options {options}")
            return decisions[path]

        return Architecture(self.input_shape, self.fill(pick), self.classes)

    def to_json(self) -> dict[str, Any]:
        """Return the space as JSON types."""
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "blocks": [template_to_json(template) for template in self.blocks],
            "classes": self.classes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Space":
        """Return the space that ``to_json`` wrote."""
        blocks = tuple(template_from_json(template) for template in data["blocks"])
        return cls(tuple(data["input_shape"]), blocks, data["classes"], data.get("name", "custom"))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the JSON without the name, as 64 hexadecimal digits."""
        # the name does not change which networks the space contains
        data = {key: value for key, value in self.to_json().items() if key != "name"}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def fill(template: Template, path: str, pick: Pick) -> tuple[Block, ...]:
    """Return the blocks of ``template`` that result when ``pick`` makes every choice; ``path`` is its position."""
    if isinstance(template, Choice):
        index = _pick(pick, path, template.options)
        return fill(template.options[index], child_path(path, template.options, index), pick)
    if isinstance(template, Repeat):
        return _fill_repeat(template, path, pick)
    if isinstance(template, Block):
        return (fill_block(template, f"{path}.{template.kind}", pick),)
    return tuple(block for i, part in enumerate(template, 1) for block in fill(part, f"{path}.{i}", pick))


def _fill_repeat(template: Repeat, path: str, pick: Pick) -> tuple[Block, ...]:
    times = fill_value(template.times, f"{path}.times", pick)
    if template.each:
        repetitions = [fill(template.block, f"{path}.{i}", pick) for i in range(1, times + 1)]
    else:
        # with 0 repetitions the choices inside the block do not apply, so pick must not be called for them
        repetitions = [fill(template.block, path, pick)] * times if times else []
    if repetitions and template.first:
        repetitions = [with_first(repetitions[0], template.first), *repetitions[1:]]
    return tuple(block for blocks in repetitions for block in blocks)


def with_first(blocks: tuple[Block, ...], first: Mapping[str, Any]) -> tuple[Block, ...]:
    """Return ``blocks`` with the fields ``first`` of the first block replaced."""
    return (replace(blocks[0], **first), *blocks[1:])  # type: ignore[type-var]


def fill_block(block: Block, path: str, pick: Pick) -> Block:
    """Return ``block`` with a value in each field that has a choice."""
    values = {
        f.name: fill_value(value, f"{path}.{f.name}", pick)
        for f in fields(block)  # type: ignore[arg-type]
        if isinstance(value := getattr(block, f.name), Choice)
    }
    return replace(block, **values) if values else block  # type: ignore[type-var]


def fill_value(value: Any, path: str, pick: Pick) -> Any:
    """Return ``value``, or for a choice the option that ``pick`` chooses."""
    while isinstance(value, Choice):
        value = value.options[_pick(pick, path, value.options)]
        path += "'"  # an option may be a choice itself, which needs another path
    return value


def _pick(pick: Pick, path: str, options: tuple[Any, ...]) -> int:
    # a choice with one option is not a decision
    return 0 if len(options) == 1 else pick(path, options)


def child_path(path: str, options: tuple[Any, ...], index: int) -> str:
    """Return the path of the templates inside an option: its label, and its number if options share the label."""
    # options with the same label, such as two widths of one block, need different paths for their choices
    labels = [label(option) for option in options]
    if labels.count(labels[index]) > 1:
        return f"{path}.{labels[index]}{index + 1}"
    # fill() adds the kind of a block to the path, so that the label would appear twice
    return path if isinstance(options[index], Block) else f"{path}.{labels[index]}"


def label(option: Template) -> str:
    """Return a short name for an option, which makes paths readable."""
    if isinstance(option, Block):
        return option.kind
    if isinstance(option, Repeat):
        return label(option.block)
    if isinstance(option, Choice):
        return "choice"
    return "+".join(dict.fromkeys(label(part) for part in option)) or "nothing"


def enumerate_decisions(fill_with: Callable[[Pick], Any]) -> Iterator[tuple[dict[str, int], Any]]:
    """Yield every ``(decisions, result)`` of a function that calls ``pick``, in the order of the options.

    A depth-first search without recursion: it calls ``fill_with`` again for each combination, with the same first
    choices and the next option of the last one.
    """
    trail: list[tuple[str, int, int]] = []  # (path, index of the chosen option, number of options)
    while True:
        calls = itertools.count()

        # a default argument binds the counter of this round, not the variable
        def pick(path: str, options: tuple[Any, ...], calls: Iterator[int] = calls) -> int:
            depth = next(calls)
            if depth == len(trail):
                trail.append((path, 0, len(options)))
            return trail[depth][1]

        result = fill_with(pick)
        yield {path: index for path, index, _ in trail}, result
        # back to the last choice with another option
        while trail and trail[-1][1] + 1 == trail[-1][2]:
            trail.pop()
        if not trail:
            return
        path, index, count = trail[-1]
        trail[-1] = (path, index + 1, count)


def check_template(template: Template, where: str) -> None:
    """Raise ``ValueError`` if ``template`` cannot be part of a space; ``where`` is its position in the message."""
    if isinstance(template, Repeat):
        check_template(template.block, f"{where}, repeat")
        _check_repeat(template, where)
    elif isinstance(template, Choice):
        for option in template.options:
            check_template(option, f"{where}, choice")
    elif isinstance(template, Sequence) and not isinstance(template, str):
        for part in template:
            check_template(part, where)
    elif not isinstance(template, Block):
        raise ValueError(
            f"{where}: a space must contain only blocks, choices and repeats, but got {template!r}; "
            "use a block such as Conv(16)"
        )
    else:
        check_hashable(template)


def _check_repeat(template: Repeat, where: str) -> None:
    """Raise ``ValueError`` if a repeat changes the image size each time or replaces fields that do not exist.

    Otherwise the depth of a stage would silently also be the number of its halvings.
    """
    counts = template.times.options if isinstance(template.times, Choice) else (template.times,)
    for block in _blocks_of(template.block):
        for name in template.first:
            known = [field.name for field in fields(block)]  # type: ignore[arg-type]
            if name not in known:
                raise ValueError(
                    f"{where}: `first` must name fields of the block, but {block.kind} has no field {name!r}; "
                    f"choose from {', '.join(known)}"
                )
        stride = getattr(block, "stride", 1)
        strides = stride.options if isinstance(stride, Choice) else (stride,)
        shrinks = block.kind in ("pool", "conv-pool", "pooling") or any(s not in (1, None) for s in strides)
        if max(counts) > 1 and shrinks:
            raise ValueError(
                f"{where}: a repeat must keep the image size, but {block.kind} reduces it each time; "
                'set the stride of the first block only, first={"stride": 2}, or write the blocks one by one'
            )


def _blocks_of(template: Template) -> Iterator[Block]:
    """Yield every block inside ``template``."""
    if isinstance(template, Block):
        yield template
    elif isinstance(template, Repeat):
        yield from _blocks_of(template.block)
    else:
        for part in template.options if isinstance(template, Choice) else template:
            yield from _blocks_of(part)


def template_to_json(template: Template) -> Any:
    """Return a template as JSON types: choices and repeats are objects with a key ``choice`` or ``repeat``."""
    if isinstance(template, Choice):
        return {"choice": [template_to_json(option) for option in template.options]}
    if isinstance(template, Repeat):
        return {
            "repeat": template_to_json(template.block),
            "times": template_to_json(template.times),
            "first": dict(template.first),
            "each": template.each,
        }
    if isinstance(template, Block):
        values = {f.name: template_to_json(getattr(template, f.name)) for f in fields(template)}  # type: ignore[arg-type]
        return {"kind": template.kind, **values}
    return [template_to_json(part) for part in template] if isinstance(template, tuple | list) else template


def template_from_json(data: Any) -> Template:
    """Return the template that ``template_to_json`` wrote."""
    if isinstance(data, Mapping):
        if "choice" in data:
            return Choice(tuple(template_from_json(option) for option in data["choice"]))
        if "repeat" in data:
            times = template_from_json(data.get("times", 1))
            return Repeat(template_from_json(data["repeat"]), times, data.get("first", {}), data.get("each", False))
        return block_from_json({key: template_from_json(value) for key, value in data.items()})
    return tuple(template_from_json(part) for part in data) if isinstance(data, list | tuple) else data
