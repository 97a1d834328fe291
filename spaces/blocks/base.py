"""The block: a frozen part of a network that checks its own fields and expands into layers."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

from ..parameters.constraints import Constraint, check
from ..parameters.domains import Choice

Shape = tuple[int, ...]


class ShapeError(ValueError):
    """A block cannot take the input it gets."""


class Block(ABC):
    """A part of a network. Concrete blocks are frozen dataclasses with a ``kind`` and ``constraints`` of their fields.

    A field may hold a :class:`Choice` instead of a value: then the block is a template, every option is checked, and
    only a :class:`~archsieve.spaces.search_space.space.Space` can use it.
    """

    kind: ClassVar[str]
    constraints: ClassVar[dict[str, Constraint]] = {}

    def __post_init__(self) -> None:
        for name, constraint in self.constraints.items():
            value = getattr(self, name)
            for option in value.options if isinstance(value, Choice) else (value,):
                # tested before the call: searches create blocks by the million, and the name costs a string
                if not isinstance(option, Choice) and not constraint.holds(option):
                    check(constraint, option, f"{self.kind}: {name}")

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
