"""The base class of blocks: frozen parts of a network that check their fields and expand into layers."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

from ..parameters.constraints import Constraint, check
from ..parameters.domains import Choice

Shape = tuple[int, ...]


class ShapeError(ValueError):
    """Raised for a block that cannot take the shape of its input."""


class Block(ABC):
    """A part of a network. Concrete blocks are frozen dataclasses.

    ``kind`` is the name of the block in JSON and search files; ``constraints`` maps field names to their constraints.
    A field may hold a :class:`Choice` instead of a value. Then the block is a template, every option is checked, and
    only a :class:`~archsieve.spaces.search_space.space.Space` can use it.
    """

    kind: ClassVar[str]
    constraints: ClassVar[dict[str, Constraint]] = {}

    def __post_init__(self) -> None:
        for name, constraint in self.constraints.items():
            value = getattr(self, name)
            for option in value.options if isinstance(value, Choice) else (value,):
                # test before the call to check(): a search creates millions of blocks, and the name costs a string
                if not isinstance(option, Choice) and not constraint.holds(option):
                    check(constraint, option, f"{self.kind}: {name}")

    @abstractmethod
    def expand(self, shape: Shape) -> tuple["Block", ...]:
        """Return the smaller blocks that this block consists of.

        ``shape`` is the input shape, (C, H, W) or (F,). Raises :class:`ShapeError` if the block cannot take it.
        """

    def to_json(self) -> dict[str, Any]:
        """Return the block as JSON types: ``kind`` and every field."""
        return {"kind": self.kind, **{f.name: _to_json(getattr(self, f.name)) for f in fields(self)}}  # type: ignore[arg-type]


def check_hashable(block: Block) -> None:
    """Raise ``ValueError`` for a field that holds a list or another value that can change."""
    for name, value in vars(block).items():
        try:
            hash(value)
        except TypeError:
            raise ValueError(
                f"a field of a block must be a number, a text, a block or a tuple of these, but {name} of "
                f"{block.kind!r} is {value!r}; use a tuple"
            ) from None


def _to_json(value: Any) -> Any:
    if isinstance(value, Block):
        return value.to_json()
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def image_shape(layer: Block, shape: Shape) -> tuple[int, int, int]:
    """Return ``shape`` as (C, H, W); raise :class:`ShapeError`, which names ``layer``, if it is a vector."""
    if len(shape) != 3:
        # the only shape of four numbers is that of the class maps, from which the head makes the scores
        what = "the vector" if len(shape) == 1 else "the class maps"
        raise ShapeError(f"{layer.kind} needs an image (C, H, W), but its input is {what} {shape}; place it earlier")
    return shape[0], shape[1], shape[2]


def window_count(layer: Block, size: int, kernel: int, stride: int, padding: int, *, ceil: bool = False) -> int:
    """Return the number of positions of a window of ``kernel`` pixels along ``size`` pixels, as in PyTorch.

    This is the output size of a convolution or pooling along one axis. With ``ceil`` the last window may extend beyond
    the edge. Raises :class:`ShapeError` if not even one window fits.
    """
    if size + 2 * padding < kernel:
        raise ShapeError(
            f"the window must fit into its input, but {layer.kind} has kernel {kernel} on {size} pixels with padding "
            f"{padding}; use a smaller kernel, more padding, or fewer strides before it"
        )
    span = size + 2 * padding - kernel
    if not ceil:
        return span // stride + 1
    steps = -(-span // stride) + 1
    # PyTorch drops a last window that would start in the padding on the right
    return steps - 1 if (steps - 1) * stride >= size + padding else steps


def nearest_divisors(number: int, wanted: int) -> str:
    """Return the divisors of ``number`` next to ``wanted``, below and above, as text.

    >>> nearest_divisors(48, 5), nearest_divisors(16, 99)
    ('4 or 6', '16')
    """
    divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
    below = [divisor for divisor in divisors if divisor <= wanted][-1:]
    above = [divisor for divisor in divisors if divisor > wanted][:1]
    return " or ".join(map(str, below + above))
