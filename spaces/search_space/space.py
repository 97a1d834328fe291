"""The space: an architecture with holes, and every way to fill them."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from ..architectures.architecture import Architecture, check_input_shape
from ..blocks.base import Block
from ..blocks.standard import block_from_json
from ..parameters.domains import Choice, Repeat

Template = Any  # a block (its fields may be choices), a choice, a repeat, or a sequence of these
Decisions = Mapping[str, int]  # path of a choice -> index of the option taken; only the choices that apply
Pick = Callable[[str, tuple[Any, ...]], int]  # (path, options) -> index


@dataclass(frozen=True)
class Space:
    """Architectures from pictures of ``input_shape`` (C, H, W) to ``classes`` scores, with holes in ``blocks``.

    ``blocks`` holds blocks, :func:`~archsieve.spaces.parameters.domains.choice` of blocks, values or
    sequences, and :func:`~archsieve.spaces.parameters.domains.repeat`. A choice inside an
    option exists only where that option is taken.

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
            raise ValueError(f"classes must be a whole number of at least 2, but got {self.classes!r}")
        for place, template in enumerate(self.blocks, start=1):
            check_template(template, f"block {place}")

    def fill(self, pick: Pick) -> tuple[Block, ...]:
        """The blocks that come of asking ``pick`` at every choice on the way; they need not fit together."""
        return tuple(block for place, t in enumerate(self.blocks, 1) for block in fill(t, str(place), pick))

    def architecture(self, decisions: Decisions) -> Architecture:
        """The architecture that ``decisions`` lead to; :class:`ShapeError` where its blocks do not fit together."""

        def pick(path: str, options: tuple[Any, ...]) -> int:
            if path not in decisions:
                raise ValueError(f"the decision {path!r} is missing; it chooses among {options}")
            return decisions[path]

        return Architecture(self.input_shape, self.fill(pick), self.classes)

    def to_json(self) -> dict[str, Any]:
        """The space as JSON's own types."""
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "blocks": [template_to_json(template) for template in self.blocks],
            "classes": self.classes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Space":
        """The space that ``to_json`` wrote."""
        blocks = tuple(template_from_json(template) for template in data["blocks"])
        return cls(tuple(data["input_shape"]), blocks, data["classes"], data.get("name", "custom"))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the JSON without the name."""
        data = {key: value for key, value in self.to_json().items() if key != "name"}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def fill(template: Template, path: str, pick: Pick) -> tuple[Block, ...]:
    """The blocks of ``template`` with ``pick`` asked at every choice; ``path`` is where the template stands."""
    if isinstance(template, Choice):
        index = _ask(pick, path, template.options)
        return fill(template.options[index], child_path(path, template.options, index), pick)
    if isinstance(template, Repeat):
        return _fill_repeat(template, path, pick)
    if isinstance(template, Block):
        return (fill_block(template, f"{path}.{template.kind}", pick),)
    return tuple(block for i, part in enumerate(template, 1) for block in fill(part, f"{path}.{i}", pick))


def _fill_repeat(template: Repeat, path: str, pick: Pick) -> tuple[Block, ...]:
    times = fill_value(template.times, f"{path}.times", pick)
    if template.each:
        rounds = [fill(template.block, f"{path}.{i}", pick) for i in range(1, times + 1)]
    else:
        rounds = [fill(template.block, path, pick)] * times if times else []
    if rounds and template.first:
        rounds = [with_first(rounds[0], template.first), *rounds[1:]]
    return tuple(block for blocks in rounds for block in blocks)


def with_first(blocks: tuple[Block, ...], first: Mapping[str, Any]) -> tuple[Block, ...]:
    """``blocks`` with fields of the first of them replaced."""
    return (replace(blocks[0], **first), *blocks[1:])  # type: ignore[type-var]


def fill_block(block: Block, path: str, pick: Pick) -> Block:
    """``block`` with a value in each hole."""
    holes = {
        f.name: fill_value(value, f"{path}.{f.name}", pick)
        for f in fields(block)  # type: ignore[arg-type]
        if isinstance(value := getattr(block, f.name), Choice)
    }
    return replace(block, **holes) if holes else block  # type: ignore[type-var]


def fill_value(value: Any, path: str, pick: Pick) -> Any:
    """``value``, or the option that ``pick`` takes where it is a choice; a choice of one is no question."""
    while isinstance(value, Choice):
        value = value.options[_ask(pick, path, value.options)]
        path += "'"
    return value


def _ask(pick: Pick, path: str, options: tuple[Any, ...]) -> int:
    return 0 if len(options) == 1 else pick(path, options)


def child_path(path: str, options: tuple[Any, ...], index: int) -> str:
    """The path of what an option holds: apart from its siblings by its label, or by label and number."""
    labels = [label(option) for option in options]
    if labels.count(labels[index]) > 1:
        return f"{path}.{labels[index]}{index + 1}"
    return path if isinstance(options[index], Block) else f"{path}.{labels[index]}"


def label(option: Template) -> str:
    """A short name for an option, to make paths readable."""
    if isinstance(option, Block):
        return option.kind
    if isinstance(option, Repeat):
        return label(option.block)
    if isinstance(option, Choice):
        return "choice"
    return "+".join(dict.fromkeys(label(part) for part in option)) or "nothing"


def fills(fill_with: Callable[[Pick], Any]) -> Iterator[tuple[dict[str, int], Any]]:
    """Every ``(decisions, result)`` of a filling function, in the order of the options."""
    trail: list[tuple[str, int, int]] = []  # (path, index taken, number of options)
    while True:
        asked = itertools.count()

        def pick(path: str, options: tuple[Any, ...], asked: Iterator[int] = asked) -> int:
            place = next(asked)
            if place == len(trail):
                trail.append((path, 0, len(options)))
            return trail[place][1]

        result = fill_with(pick)
        yield {path: index for path, index, _ in trail}, result
        while trail and trail[-1][1] + 1 == trail[-1][2]:
            trail.pop()
        if not trail:
            return
        path, index, count = trail[-1]
        trail[-1] = (path, index + 1, count)


def check_template(template: Template, where: str) -> None:
    """Refuse what can be no part of a space, naming the place."""
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
        raise ValueError(f"{where}: a space is made of blocks, choices and repeats, but got {template!r}")


def _check_repeat(template: Repeat, where: str) -> None:
    """A repeat must keep the picture's size, or its depth would silently be a number of halvings."""
    counts = template.times.options if isinstance(template.times, Choice) else (template.times,)
    for block in _blocks_of(template.block):
        for name in template.first:
            if name not in block.__dataclass_fields__:  # type: ignore[attr-defined]
                raise ValueError(f"{where}: first={{{name!r}: ...}} names no field of {block.kind}")
        stride = getattr(block, "stride", 1)
        strides = stride.options if isinstance(stride, Choice) else (stride,)
        shrinks = block.kind in ("pool", "conv-pool", "pooling") or any(s not in (1, None) for s in strides)
        if max(counts) > 1 and shrinks:
            raise ValueError(
                f"{where}: a repeat must keep the picture's size, but {block.kind} shrinks it each time; "
                'give the stride to the first alone, first={"stride": 2}, or write the blocks one by one'
            )


def _blocks_of(template: Template) -> Iterator[Block]:
    if isinstance(template, Block):
        yield template
    elif isinstance(template, Repeat):
        yield from _blocks_of(template.block)
    else:
        for part in template.options if isinstance(template, Choice) else template:
            yield from _blocks_of(part)


def template_to_json(template: Template) -> Any:
    """A template as JSON's own types: choices and repeats are objects with a key of that name."""
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
    """The template that ``template_to_json`` wrote."""
    if isinstance(data, Mapping):
        if "choice" in data:
            return Choice(tuple(template_from_json(option) for option in data["choice"]))
        if "repeat" in data:
            times = template_from_json(data.get("times", 1))
            return Repeat(template_from_json(data["repeat"]), times, data.get("first", {}), data.get("each", False))
        return block_from_json({key: template_from_json(value) for key, value in data.items()})
    return tuple(template_from_json(part) for part in data) if isinstance(data, list | tuple) else data
