"""The architecture: a frozen sequence of blocks with one canonical form and one fingerprint."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from ..blocks.base import Block, Shape, ShapeError
from ..blocks.cost import FLOAT_BYTES, Cost, add_up
from ..blocks.layers import Flatten, Layer
from ..blocks.standard import Linear, block_from_json


class Lowered(NamedTuple):
    """The layers that a block or several stand for on some input, their output shape and the sum of their costs."""

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
    """The layers that ``block`` stands for on an input of ``shape``; :class:`ShapeError` where it cannot take it."""
    layers: list[Layer] = []
    costs = []
    parts = block.expand(shape)
    if not isinstance(parts, tuple) or not all(isinstance(part, Block) for part in parts):
        raise TypeError(f"expand() of block {block.kind!r} must return a tuple of blocks, but returned {parts!r}")
    for part in parts:
        if isinstance(part, Layer):
            layers.append(part)
            shape, cost = part.out_shape_and_cost(shape)
        else:
            inner, shape, cost = lower(part, shape)
            layers += inner
        costs.append(cost)
    return Lowered(tuple(layers), shape, add_up(costs))


@dataclass(frozen=True)
class Architecture:
    """A network as a value: pictures of ``input_shape`` (C, H, W) through ``blocks`` into ``classes`` scores.

    The last linear layer, from whatever the blocks put out to the scores, is implied. Hashable; equal when written
    the same. Two ways to write the same network have the same :attr:`fingerprint`.

    A block that cannot take its input raises :class:`ShapeError` here, naming the block.
    """

    input_shape: tuple[int, int, int]
    blocks: tuple[Block, ...]
    classes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", check_input_shape(self.input_shape))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if type(self.classes) is not int or self.classes < 2:
            raise ValueError(f"classes must be a whole number of at least 2, but got {self.classes!r}")
        for kind in set(map(type, self.blocks)):
            if Block not in kind.__mro__:  # issubclass would ask the ABC machinery, which is slow
                odd = next(block for block in self.blocks if type(block) is kind)
                raise ValueError(f"blocks must be blocks without holes, but got {odd!r}; put choices into a Space")
        _ = self.cost  # every block takes its input, or ShapeError

    def walk(self) -> Iterator[PlacedBlock]:
        """Each block and the head, in order."""
        shape: Shape = self.input_shape
        for block in (*self.blocks, head(self.classes)):
            lowered = lower(block, shape)
            yield PlacedBlock(block, shape, *lowered)
            shape = lowered.out_shape

    @cached_property
    def cost(self) -> Cost:
        """The exact cost, its memory at the default batch size."""
        shape: Shape = self.input_shape
        params = macs = activations = 0
        # the images, and the log-softmax of the scores, are kept too
        kept_bytes = FLOAT_BYTES * (math.prod(shape) + self.classes)
        try:
            # computed for every candidate of a search: one plain loop is twice as fast as adding costs
            for place, block in enumerate((*self.blocks, head(self.classes)), start=1):  # noqa: B007, named below
                _, shape, (its_params, its_macs, its_activations, its_bytes, _) = lower(block, shape)
                params += its_params
                macs += its_macs
                activations += its_activations
                kept_bytes += its_bytes
        except ShapeError as error:
            raise ShapeError(f"block {place} ({block.kind}): {error}") from None
        return Cost(params, macs, activations, kept_bytes)

    @cached_property
    def body(self) -> tuple[Layer, ...]:
        """All layers before the head; a flatten at the end is the head's."""
        *blocks, _ = self.walk()
        layers = [layer for block in blocks for layer in block.layers]
        while layers and isinstance(layers[-1], Flatten):
            layers.pop()
        return tuple(layers)

    def canonical(self) -> "Architecture":
        """The same network, written as its layers: the one form that all ways to write it share."""
        return Architecture(self.input_shape, self.body, self.classes)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical form: 64 hexadecimal digits, the same in every process and on every machine."""
        text = json.dumps(self.canonical().to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The architecture as JSON's own types."""
        return {
            "input_shape": list(self.input_shape),
            "blocks": [block.to_json() for block in self.blocks],
            "classes": self.classes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Architecture":
        """The architecture that ``to_json`` wrote."""
        missing = [
            key for key in ("input_shape", "blocks", "classes") if not isinstance(data, Mapping) or key not in data
        ]
        if missing:
            raise ValueError(
                f"an architecture needs input_shape, blocks and classes, but {', '.join(missing)} is missing"
            )
        return cls(tuple(data["input_shape"]), tuple(block_from_json(b) for b in data["blocks"]), data["classes"])

    def __str__(self) -> str:
        """One line: blocks with what distinguishes them, runs of the same block counted."""
        runs = [(said, len(list(run))) for said, run in groupby(map(describe, self.blocks))]
        return " > ".join(said if times == 1 else f"{times} x {said}" for said, times in runs) or "linear"


@lru_cache(maxsize=1024)
def head(classes: int) -> Linear:
    """The last layer that every architecture has: a linear map to ``classes`` scores."""
    return Linear(classes, act="none")


def describe(block: Block) -> str:
    """A block in a few words: its kind and the fields that are not as usual."""
    fields = block.__dataclass_fields__  # type: ignore[attr-defined]
    said = [
        str(value) if name == "width" else f"{name}={value}"
        for name, field in fields.items()
        if field.repr and (value := getattr(block, name)) != field.default
    ]
    return " ".join([block.kind, *said])


def check_input_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """``shape`` as (channels, height, width); a ``ValueError`` where it is not three positive whole numbers."""
    if len(shape) != 3 or set(map(type, shape)) != {int} or min(shape) < 1:
        raise ValueError(
            f"an input shape is (channels, height, width), all at least 1, as in (3, 32, 32), but got {shape}"
        )
    return shape[0], shape[1], shape[2]
