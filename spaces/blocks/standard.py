"""The blocks that users write. Each expands into layers. To add a block, write a class and add it to :data:`BLOCKS`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeVar

from ..parameters.constraints import (
    Constraint,
    boolean,
    non_negative_int,
    odd_int,
    optional,
    positive_int,
)
from ..parameters.lookup import check_unregistered, got_instead, look_up, shorten, unknown
from .backbone import Backbone, Network, RepeatChannels, Resize
from .base import Block, Shape, ShapeError
from .channel_layers import CHANNEL_LAYERS, ChannelShuffle, ClassMaps, class_map_head
from .concatenating import DenseBlock, Fire, ShuffleUnit
from .convnext import ConvNeXtBlock, Norm
from .grouped_bottleneck import GroupedBottleneck
from .inception import FactorizedInception, Inception
from .inverted_residual import DepthwiseSeparable, FusedInvertedResidual, InvertedResidual
from .layers import (
    LAYERS,
    NORM_AND_ACT,
    POOLING_MODE,
    BatchNorm,
    Branches,
    Flatten,
    FullyConnected,
    GlobalPooling,
    Layer,
    LocalContrast,
    LocalResponse,
    Pooling,
    activate,
    conv_norm_act,
)
from .residual import Residual
from .squeeze_excite import SqueezeExcite

__all__ = [
    "BLOCKS",
    "Backbone",
    "ChannelShuffle",
    "ClassMaps",
    "Conv",
    "ConvNeXtBlock",
    "ConvPool",
    "DenseBlock",
    "DepthwiseSeparable",
    "FactorizedInception",
    "Fire",
    "FusedInvertedResidual",
    "GlobalAverage",
    "GroupedBottleneck",
    "Inception",
    "InvertedResidual",
    "Linear",
    "LocalContrast",
    "Norm",
    "Pool",
    "PyramidPool",
    "Residual",
    "Resize",
    "ResponseNorm",
    "ShuffleUnit",
    "SqueezeExcite",
    "block_from_json",
    "register_block",
]


@dataclass(frozen=True)
class Conv(Block):
    """act(norm(conv(x))): a plain convolution; ``padding`` None keeps the image size at stride 1."""

    width: int
    kernel: int = 3
    stride: int = 1
    padding: int | None = None
    groups: int = 1
    norm: bool = True
    act: str = "relu"

    kind: ClassVar[str] = "conv"
    constraints: ClassVar[dict[str, Constraint]] = {
        **dict.fromkeys(("width", "kernel", "stride", "groups"), positive_int),
        "padding": optional(non_negative_int),
        **NORM_AND_ACT,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        return conv_norm_act(
            self.width, self.kernel, self.stride, self.padding, groups=self.groups, norm=self.norm, act=self.act
        )


@dataclass(frozen=True)
class Pool(Block):
    """max or mean over windows of ``kernel`` pixels, ``stride`` pixels apart (None: as wide as the window)."""

    kernel: int = 2
    stride: int | None = None
    padding: int = 0
    mode: str = "max"
    ceil: bool = False

    kind: ClassVar[str] = "pool"
    constraints: ClassVar[dict[str, Constraint]] = {
        "kernel": positive_int,
        "stride": optional(positive_int),
        "padding": non_negative_int,
        "mode": POOLING_MODE,
        "ceil": boolean,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        # refused, because it would be a second way to write the network without it, with another fingerprint
        if self.kernel == 1 and self.stride in (None, 1) and not self.padding:
            raise ShapeError(
                "a pool must change its input, but got kernel 1 with stride 1 and padding 0; leave the pool out, as in "
                "choice((), Pool(2))"
            )
        return (Pooling(self.mode, self.kernel, self.stride or self.kernel, self.padding, self.ceil),)


@dataclass(frozen=True)
class ConvPool(Block):
    """pool(conv(...conv(x))): ``convs`` convolutions of one width, then a pooling that halves the image size."""

    width: int
    kernel: int = 3
    convs: int = 1
    pool: str = "max"
    norm: bool = True
    act: str = "relu"

    kind: ClassVar[str] = "conv-pool"
    constraints: ClassVar[dict[str, Constraint]] = {
        "width": positive_int,
        "kernel": odd_int,
        "convs": positive_int,
        "pool": POOLING_MODE,
        **NORM_AND_ACT,
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        conv = conv_norm_act(self.width, self.kernel, norm=self.norm, act=self.act)
        return (*conv * self.convs, Pooling(self.pool, 2, 2))


@dataclass(frozen=True)
class Linear(Block):
    """act(norm(W x + b)): a fully connected layer; an image is flattened first, and class maps are averaged."""

    width: int
    norm: bool = False
    act: str = "relu"

    kind: ClassVar[str] = "linear"
    constraints: ClassVar[dict[str, Constraint]] = {"width": positive_int, **NORM_AND_ACT}

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        if len(shape) == 4:  # only the head can follow class maps
            if self.norm or self.act != "none":
                raise ShapeError(
                    f"a linear block after class maps must have no norm and no nonlinearity, but has norm {self.norm} "
                    f'and act {self.act!r}; leave it out, or write Linear({self.width}, act="none")'
                )
            return class_map_head(self.width)
        # a vector is not flattened: an extra layer would change the fingerprint
        flatten: tuple[Layer, ...] = (Flatten(),) if len(shape) == 3 else ()
        norm: tuple[Layer, ...] = (BatchNorm(),) if self.norm else ()
        return (*flatten, FullyConnected(self.width, bias=not self.norm), *norm, *activate(self.act))


@dataclass(frozen=True)
class GlobalAverage(Block):
    """mean over all pixels: (C, H, W) -> (C,), the last block of most networks since 2013."""

    kind: ClassVar[str] = "global-average"

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        return (GlobalPooling(),)


@dataclass(frozen=True)
class PyramidPool(Block):
    """flatten(max over n x n windows) for each n of ``bins``, concatenated (He et al. 2014, arXiv 1406.4729).

    The windows cover images of any size: (C, H, H) -> (C * (n1^2 + n2^2 + ...),). If n does not divide H, the windows
    overlap, as in the paper.
    """

    bins: tuple[int, ...] = (7, 3, 2, 1)

    kind: ClassVar[str] = "pyramid-pool"
    constraints: ClassVar[dict[str, Constraint]] = {
        "bins": Constraint(
            "one or more whole numbers of at least 1",
            lambda v: isinstance(v, tuple) and len(v) > 0 and all(map(positive_int.holds, v)),
        )
    }

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] < max(self.bins):
            raise ShapeError(
                f"pyramid-pool needs a square image of at least {max(self.bins)} pixels a side, but its input is "
                f"{shape}; use fewer bins, or fewer strides before it"
            )
        return (Branches(tuple((self._pool(shape[1], n), Flatten()) for n in self.bins), "concat"),)

    def _pool(self, size: int, bins: int) -> Layer:
        # the last window ends at the edge of the image: (bins - 1) * stride + kernel == size
        stride = size // bins
        return Pooling("max", size - (bins - 1) * stride, stride)


@dataclass(frozen=True)
class ResponseNorm(Block):
    """Local response normalisation across ``size`` channels, as in AlexNet (Krizhevsky et al. 2012)."""

    size: int = 5

    kind: ClassVar[str] = "response-norm"
    constraints: ClassVar[dict[str, Constraint]] = {"size": positive_int}

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        return (LocalResponse(self.size),)


LAYERS_AS_BLOCKS = (
    Backbone,
    Resize,
    RepeatChannels,
    ChannelShuffle,
    ClassMaps,
    LocalContrast,
)  # layers that users write directly
BLOCKS: dict[str, type[Block]] = {
    block.kind: block
    for block in (
        Conv,
        ConvPool,
        Pool,
        Residual,
        Inception,
        FactorizedInception,
        InvertedResidual,
        FusedInvertedResidual,
        DepthwiseSeparable,
        SqueezeExcite,
        GroupedBottleneck,
        ConvNeXtBlock,
        Norm,
        ShuffleUnit,
        Fire,
        DenseBlock,
        Linear,
        GlobalAverage,
        PyramidPool,
        ResponseNorm,
        Network,
        *LAYERS_AS_BLOCKS,
    )
}


B = TypeVar("B", bound=Block)


def all_kinds() -> dict[str, type[Block]]:
    """Return every block and layer of this process by its kind, also the layers that only other blocks use."""
    return {**BLOCKS, **LAYERS, **CHANNEL_LAYERS}


def register_block(kind: str) -> Callable[[type[B]], type[B]]:
    """Register a custom block under the name ``kind``, as a class decorator.

    The class is a frozen dataclass derived from :class:`Block` with a method ``expand``, or from ``ModuleBlock`` with
    a method ``module``. Its fields hold numbers, texts, booleans, blocks or tuples of these. ``kind`` is its name in
    JSON, in search files and in tables.

    Raises ``TypeError`` for a class that cannot be a block, ``ValueError`` for a name that is taken by another class.
    """
    if not isinstance(kind, str) or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", kind):
        raise ValueError(
            'the kind of a block must be lower-case words joined by "-", but got '
            f"{got_instead(kind, 'register_block', 'mlp-conv')}"
        )

    def register(block: type[B]) -> type[B]:
        _check_block_class(kind, block)
        block.kind = kind
        BLOCKS[kind] = block
        return block

    return register


def _check_block_class(kind: str, block: Any) -> None:
    name = getattr(block, "__qualname__", repr(block))
    if not isinstance(block, type) or not issubclass(block, Block):
        raise TypeError(f"block {kind!r} must be a class derived from archsieve.Block, but got {name}; derive it")
    parameters = block.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen or not parameters.eq:
        raise TypeError(
            f"block {kind!r} must be a frozen dataclass, but {name} is not; "
            "write @dataclass(frozen=True) below @register_block"
        )
    if missing := sorted(getattr(block, "__abstractmethods__", ())):
        raise TypeError(
            f"block {kind!r} must define {', '.join(missing)}, but {name} does not; see docs/extend/block.md"
        )
    if block.__dict__.get("kind", kind) != kind:
        raise ValueError(f"a block must have one kind, but {name} is {block.kind!r} and {kind!r}; keep one of them")
    check_unregistered(all_kinds().get(kind), block, "kind of a block", kind)


def block_from_json(data: Mapping[str, Any]) -> Block:
    """Return the block or layer that ``to_json`` wrote.

    Raises ``ValueError`` for an unknown kind or field, with the nearest known name, and for a missing field.
    """
    if not isinstance(data, Mapping) or "kind" not in data:
        message = f'a block must be an object with a "kind", but got {data!r}; write {{"kind": "conv", ...}}'
        raise ValueError(shorten(message))
    try:
        # layers as well as blocks: the canonical form of an architecture consists of layers
        kind = look_up(all_kinds(), data["kind"], "block")
    except ValueError as error:
        raise ValueError(
            f"{error}; import the module of a custom block first: --import MODULE, or [plugins] modules"
        ) from None
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in data:
        if name != "kind" and name not in known:
            raise ValueError(unknown(f"field of {kind.kind}", name, known))
    values = {name: _from_json(value) for name, value in data.items() if name != "kind"}
    missing = [n for n, f in known.items() if n not in values and f.default is MISSING]
    if missing:
        raise ValueError(f"{kind.kind} needs {', '.join(missing)}, as in {{kind = {kind.kind!r}, {missing[0]} = 16}}")
    return kind(**values)


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return block_from_json(value)
    return tuple(_from_json(item) for item in value) if isinstance(value, list | tuple) else value
