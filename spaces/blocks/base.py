"""The block: a frozen part of a network that checks its own fields and expands into layers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

from ..parameters.domains import Choice

Shape = tuple[int, ...]


class ShapeError(ValueError):
    """A block cannot take the input it gets."""


class Law(NamedTuple):
    """What a field must be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def _whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


WHOLE = Law("a whole number of at least 1", lambda v: _whole(v, 1))
COUNT = Law("a whole number of at least 0", lambda v: _whole(v, 0))
ODD = Law("an odd whole number of at least 1", lambda v: _whole(v, 1) and v % 2 == 1)
FLAG = Law("true or false", lambda v: type(v) is bool)


def one_of(*options: str) -> Law:
    """The law that a value is one of ``options``."""
    return Law(f"one of {', '.join(options)}", lambda v: v in options)


def optional(law: Law) -> Law:
    """``law``, or nothing."""
    return Law(f"{law.words}, or left out", lambda v: v is None or law.holds(v))


class Block(ABC):
    """A part of a network. Concrete blocks are frozen dataclasses with a ``kind`` and the ``laws`` of their fields.

    A field may hold a :class:`Choice` instead of a value: then the block is a template, every option is checked, and
    only a :class:`~archsieve.spaces.search_space.space.Space` can use it.
    """

    kind: ClassVar[str]
    laws: ClassVar[dict[str, Law]] = {}

    def __post_init__(self) -> None:
        for name, law in self.laws.items():
            value = getattr(self, name)
            for option in value.options if isinstance(value, Choice) else (value,):
                if not isinstance(option, Choice) and not law.holds(option):
                    raise ValueError(f"{self.kind}: {name} must be {law.words}, but got {option!r}")

    @abstractmethod
    def expand(self, shape: Shape) -> tuple["Block", ...]:
        """The smaller blocks that this one stands for on an input of ``shape``."""

    def to_json(self) -> dict[str, Any]:
        """The block as JSON's own types: ``kind`` and every field."""
        return {"kind": self.kind, **{f.name: _plain(getattr(self, f.name)) for f in fields(self)}}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Block):
        return value.to_json()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def picture(layer: Block, shape: Shape) -> tuple[int, int, int]:
    """``shape`` as (C, H, W), or an error that names the layer."""
    if len(shape) != 3:
        raise ShapeError(
            f"{layer.kind} needs a picture (C, H, W), but its input is the vector {shape}; place it earlier"
        )
    return shape[0], shape[1], shape[2]


def slide(layer: Block, size: int, kernel: int, stride: int, padding: int, *, ceil: bool = False) -> int:
    """Positions of a window of ``kernel`` pixels along ``size`` pixels, as torch counts them."""
    if size + 2 * padding < kernel:
        raise ShapeError(
            f"the window must fit into its input, but {layer.kind} has kernel {kernel} on {size} pixels with padding "
            f"{padding}; use a smaller kernel, more padding, or fewer strides before it"
        )
    span = size + 2 * padding - kernel
    if not ceil:
        return span // stride + 1
    steps = -(-span // stride) + 1
    # torch drops a last window that would start in the padding on the right
    return steps - 1 if (steps - 1) * stride >= size + padding else steps
