"""The architecture: a frozen sequence of blocks with one canonical form and one fingerprint."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

from ..blocks.base import Block, Shape, ShapeError
from ..blocks.layers import Flatten, Layer, Price, add_up
from ..blocks.standard import Linear, block_from_json


@lru_cache(maxsize=65_536)
def lower(block: Block, shape: Shape) -> tuple[tuple[Layer, ...], Price]:
    """The layers that ``block`` stands for on an input of ``shape``, and the sum of their prices."""
    layers: list[Layer] = []
    prices = []
    inner = shape
    for part in block.expand(shape):
        lowered, price = ((part,), part.price(inner)) if isinstance(part, Layer) else lower(part, inner)
        layers += lowered
        prices.append(price)
        inner = price.out_shape
    return tuple(layers), add_up(prices, shape)


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
        _ = self.price  # every block takes its input, or ShapeError

    def walk(self) -> Iterator[tuple[Block, Shape, tuple[Layer, ...], Price]]:
        """Each block and the head, with its input shape, its layers and their price."""
        shape: Shape = self.input_shape
        for block in (*self.blocks, head(self.classes)):
            layers, price = lower(block, shape)
            yield block, shape, layers, price
            shape = price.out_shape

    @cached_property
    def price(self) -> Price:
        """The sum over the blocks and the head: taken for every candidate, so in one plain loop."""
        shape: Shape = self.input_shape
        params = macs = activations = kept_bytes = 0
        try:
            for place, block in enumerate((*self.blocks, head(self.classes)), start=1):  # noqa: B007, named below
                shape, its_params, its_macs, its_activations, its_bytes = lower(block, shape)[1]
                params += its_params
                macs += its_macs
                activations += its_activations
                kept_bytes += its_bytes
        except ShapeError as error:
            raise ShapeError(f"block {place} ({block.kind}): {error}") from None
        return Price(shape, params, macs, activations, kept_bytes)

    @cached_property
    def body(self) -> tuple[Layer, ...]:
        """All layers before the head; a flatten at the end is the head's."""
        *blocks, _ = self.walk()
        layers = [layer for _, _, lowered, _ in blocks for layer in lowered]
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
