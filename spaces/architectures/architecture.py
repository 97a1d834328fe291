"""The architecture: an immutable sequence of blocks with one canonical form and one fingerprint."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from ..blocks.base import Block, Shape, ShapeError, check_hashable
from ..blocks.cost import FLOAT_BYTES, Cost, sum_costs
from ..blocks.layers import Flatten, Layer
from ..blocks.standard import Linear, block_from_json
from ..parameters.domains import Choice
from ..parameters.lookup import shorten
from ..parameters.user_code import ERRORS, PluginError, at_definition, module_of, raised


class Lowered(NamedTuple):
    """The layers that blocks expand into on some input, their output shape and the sum of their costs."""

    layers: tuple[Layer, ...]
    out_shape: Shape
    cost: Cost


class PlacedBlock(NamedTuple):
    """A block of an architecture with its input shape, its layers, their output shape and the sum of their costs."""

    block: Block
    in_shape: Shape
    layers: tuple[Layer, ...]
    out_shape: Shape
    cost: Cost


@lru_cache(maxsize=65_536)
def lower(block: Block, shape: Shape) -> Lowered:
    """Expand ``block`` into layers on an input of ``shape``; raise :class:`ShapeError` if it cannot take the input.

    Raises :class:`PluginError` for any other exception of a custom block. Cached, because the architectures of a search
    share most of their blocks and shapes.
    """
    try:
        return _expanded(block, shape)
    except (ShapeError, PluginError):
        raise
    except ERRORS as error:
        if module_of(block) is None:
            raise
        raise raised(f"expand() of block {block.kind!r} on an input of {shape}", error, type(block).expand) from error


def _expanded(block: Block, shape: Shape) -> Lowered:
    layers: list[Layer] = []
    costs = []
    parts = block.expand(shape)
    if not isinstance(parts, tuple) or not all(isinstance(part, Block) for part in parts):
        raise PluginError(
            f"expand() of block {block.kind!r} must return a tuple of blocks, but returned {parts!r}"
            f"{at_definition(type(block).expand)}; return a tuple such as (Conv(16),)"
        )
    if block in parts and not isinstance(block, Layer):
        raise PluginError(
            f"expand() of block {block.kind!r} must return smaller blocks, but returned the block itself"
            f"{at_definition(type(block).expand)}; return its parts"
        )
    for part in parts:
        if isinstance(part, Layer):
            layers.append(part)
            shape, cost = part.out_shape_and_cost(shape)
        else:
            part_layers, shape, cost = lower(part, shape)
            layers += part_layers
        costs.append(cost)
    return Lowered(tuple(layers), shape, sum_costs(costs))


@dataclass(frozen=True)
class Architecture:
    """An immutable network: images of ``input_shape`` (C, H, W), then ``blocks``, then ``classes`` scores.

    The last linear layer, from the output of the blocks to the scores, is added automatically. Architectures are
    hashable. They are equal if their blocks are equal; two ways to write the same network differ, but have the same
    :attr:`fingerprint`.

    Raises :class:`ShapeError`, which names the block, if a block cannot take its input.
    """

    input_shape: tuple[int, int, int]
    blocks: tuple[Block, ...]
    classes: int

    def __post_init__(self) -> None:
        # a frozen dataclass allows no plain assignment; tuples make an architecture hashable
        object.__setattr__(self, "input_shape", check_input_shape(self.input_shape))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if type(self.classes) is not int or self.classes < 2:
            raise ValueError(
                shorten(f"classes must be a whole number of at least 2, but got {self.classes!r}; use 10, for example")
            )
        for kind in set(map(type, self.blocks)):
            if Block not in kind.__mro__:  # issubclass is slow, because Block is an abstract base class
                wrong = next(block for block in self.blocks if type(block) is kind)
                raise ValueError(f"blocks must be blocks without choices, but got {wrong!r}; put choices into a Space")
        try:
            _ = self.cost  # raises ShapeError if a block cannot take its input
        except (TypeError, PluginError):
            if template := next((block for block in self.blocks if _has_choice(block)), None):
                raise ValueError(f"an architecture has no choices, but got {template!r}; use them in a Space") from None
            for block in self.blocks:
                check_hashable(block)
            raise

    def walk(self) -> Iterator[PlacedBlock]:
        """Yield each block and then the head, with shapes, layers and costs."""
        shape: Shape = self.input_shape
        for block in (*self.blocks, head(self.classes)):
            lowered = lower(block, shape)
            yield PlacedBlock(block, shape, *lowered)
            shape = lowered.out_shape

    @cached_property
    def cost(self) -> Cost:
        """The exact cost; its memory is predicted at the default batch size."""
        shape: Shape = self.input_shape
        params = macs = activations = 0
        # autograd also saves the images and the log-softmax of the scores
        kept_bytes = FLOAT_BYTES * (math.prod(shape) + self.classes)
        try:
            # computed for every candidate of a search: one plain loop is twice as fast as adding costs
            for number, block in enumerate((*self.blocks, head(self.classes)), start=1):  # noqa: B007, used in the error
                _, shape, (block_params, block_macs, block_activations, block_bytes, _) = lower(block, shape)
                params += block_params
                macs += block_macs
                activations += block_activations
                kept_bytes += block_bytes
        except ShapeError as error:
            raise ShapeError(f"block {number} ({block.kind}): {error}") from None
        return Cost(params, macs, activations, kept_bytes)

    @cached_property
    def body(self) -> tuple[Layer, ...]:
        """All layers before the head, without a flatten at the end, because the head flattens its input itself."""
        *blocks, _ = self.walk()
        layers = [layer for block in blocks for layer in block.layers]
        while layers and isinstance(layers[-1], Flatten):
            layers.pop()
        return tuple(layers)

    def canonical(self) -> "Architecture":
        """Return the same network with layers as its blocks: the form that all ways to write it have in common."""
        return Architecture(self.input_shape, self.body, self.classes)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical form: 64 hexadecimal digits, the same in every process and on every machine."""
        # sorted keys and fixed separators, because equal data must give equal text
        text = json.dumps(self.canonical().to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the architecture as JSON types."""
        return {
            "input_shape": list(self.input_shape),
            "blocks": [block.to_json() for block in self.blocks],
            "classes": self.classes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Architecture":
        """Return the architecture that ``to_json`` wrote; raise ``ValueError`` for a missing key or a wrong value."""
        missing = [
            key for key in ("input_shape", "blocks", "classes") if not isinstance(data, Mapping) or key not in data
        ]
        if missing:
            raise ValueError(
                f"an architecture needs input_shape, blocks and classes, but {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; add {'it' if len(missing) == 1 else 'them'}"
            )
        for key in ("input_shape", "blocks"):
            if not isinstance(data[key], list | tuple):
                raise ValueError(shorten(f"{key} of an architecture must be a list, but got {data[key]!r}; use [...]"))
        return cls(tuple(data["input_shape"]), tuple(block_from_json(b) for b in data["blocks"]), data["classes"])

    def __str__(self) -> str:
        """Return one line: each block with its fields that are not defaults; equal neighbours are counted."""
        runs = [(text, len(list(run))) for text, run in groupby(map(describe, self.blocks))]
        return " > ".join(text if times == 1 else f"{times} x {text}" for text, times in runs) or "linear"


def _has_choice(block: Block) -> bool:
    """Return whether a field of ``block`` holds a choice instead of a value."""
    return any(isinstance(value, Choice) for value in vars(block).values())


@lru_cache(maxsize=1024)
def head(classes: int) -> Linear:
    """Return the last layer of every architecture: a linear map to ``classes`` scores."""
    return Linear(classes, act="none")


def describe(block: Block) -> str:
    """Return a short text for a block: its kind, its width, and the other fields that are not defaults."""
    fields = block.__dataclass_fields__  # type: ignore[attr-defined]
    # the width comes without its name, because nearly every block has one
    values = [
        str(value) if name == "width" else f"{name}={value}"
        for name, field in fields.items()
        if field.repr and (value := getattr(block, name)) != field.default
    ]
    return " ".join([block.kind, *values])


def check_input_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return ``shape`` as (channels, height, width); raise ``ValueError`` if it is not three positive integers."""
    # exact types, because True is an int in Python
    if len(shape) != 3 or set(map(type, shape)) != {int} or min(shape) < 1:
        message = (
            f"an input shape must be (channels, height, width), all whole numbers of at least 1, but got {shape}; "
            "use a shape such as (3, 32, 32)"
        )
        raise ValueError(shorten(message))
    return shape[0], shape[1], shape[2]
