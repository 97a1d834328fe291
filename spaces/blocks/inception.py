"""Inception blocks: parallel branches with kernels of different sizes."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..parameters.constraints import Constraint, boolean, non_negative_int, odd_int, one_of, optional, positive_int
from .base import Block, Shape
from .layers import NORM_AND_ACT, POOLING_MODE, Act, BatchNorm, Branches, Convolution, Layer, Pooling, conv_norm_act


def _are_branch_widths(value: Any) -> bool:
    if not (isinstance(value, tuple) and len(value) == 6):
        return False
    one, *inner, pool = value
    return all(map(positive_int.holds, inner)) and non_negative_int.holds(one) and non_negative_int.holds(pool)


@dataclass(frozen=True)
class Inception(Block):
    """concat(1x1, 1x1-3x3, 1x1-5x5, pool-1x1): four parallel branches (Szegedy et al. 2014, arXiv 1409.4842).

    ``branches`` are the six widths (1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection). Without them the
    ``width`` output channels are divided as in module 3a of the paper: 1/4, 1/2 (from 3/8), 1/8 (from 1/16) and 1/8.
    A 1x1 width of 0 removes that branch; a pool projection of 0 passes the pooled input through.
    ``reduce`` False removes the two 1x1 reductions. ``five`` is the kernel of the 5x5 branch; torchvision uses 3 there.

    Three fields exist for the modules of BN-Inception (Ioffe and Szegedy 2015, arXiv 1502.03167): ``double`` puts two
    convolutions into the 5x5 branch, ``pool`` is the mode of the pooling, and ``stride`` is the stride of the last
    convolution or pooling of each branch.
    """

    width: int | None = None
    branches: tuple[int, ...] | None = None
    reduce: bool = True
    five: int = 5
    double: bool = False
    pool: str = "max"
    stride: int = 1
    norm: bool = True
    act: str = "relu"

    kind: ClassVar[str] = "inception"
    constraints: ClassVar[dict[str, Constraint]] = {
        # below 8 channels the eighths of _divided_width would be 0
        "width": optional(Constraint("a whole number of at least 8", lambda v: positive_int.holds(v) and v >= 8)),
        "branches": optional(
            Constraint("six whole numbers of at least 1, of which the first and the last may be 0", _are_branch_widths)
        ),
        "reduce": boolean,
        "five": odd_int,
        "double": boolean,
        "pool": POOLING_MODE,
        "stride": positive_int,
        **NORM_AND_ACT,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.width is None) == (self.branches is None):
            raise ValueError(
                f"inception needs either `width` or `branches`, but got width={self.width}, branches={self.branches}; "
                "set exactly one of them"
            )

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        one, reduce_three, three, reduce_five, five, pool = self.branches or self._divided_width()
        chains = (
            self._conv(one, 1, self.stride),
            self._reduction(reduce_three) + self._conv(three, 3, self.stride),
            self._reduction(reduce_five)
            + self._conv(five, self.five) * self.double
            + self._conv(five, self.five, self.stride),
            (Pooling(self.pool, 3, self.stride, 1), *self._conv(pool, 1)),
        )
        # an empty chain would be the identity, so a branch without 1x1 must be removed
        return (Branches(chains if one else chains[1:], "concat"),)

    def _conv(self, width: int, kernel: int, stride: int = 1) -> tuple[Layer, ...]:
        return conv_norm_act(width, kernel, stride, norm=self.norm, act=self.act) if width else ()

    def _reduction(self, width: int) -> tuple[Layer, ...]:
        return self._conv(width, 1) if self.reduce else ()

    def _divided_width(self) -> tuple[int, ...]:
        width = self.width or 0
        one, eighth = width // 4, width // 8
        # the 3x3 branch takes what rounding leaves, so that the output has exactly ``width`` channels
        return (one, max(1, width * 3 // 8), width - one - 2 * eighth, max(1, width // 16), eighth, eighth)


@dataclass(frozen=True)
class FactorizedInception(Block):
    """concat(...) of up to four branches with factorised kernels: the modules of InceptionV3 (arXiv 1512.00567).

    ``form`` is the module of figures 5 to 7 and 10 of Szegedy et al. 2015, by the letters of torchvision: ``a`` has
    5x5 and double 3x3 branches and ``width`` channels behind the pooling; ``c`` has 1x7 and 7x1 kernels of ``width``
    channels; ``e`` has 1x3 and 3x1 kernels side by side. ``b`` and ``d`` halve the image without padding. The widths of
    all other convolutions are those of the paper; ``b``, ``d`` and ``e`` have no ``width``.
    """

    form: str
    width: int | None = None

    kind: ClassVar[str] = "factorized-inception"
    constraints: ClassVar[dict[str, Constraint]] = {
        "form": one_of("a", "b", "c", "d", "e"),
        "width": optional(positive_int),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.form, str) and (self.form in "ac") != (self.width is not None):
            raise ValueError(
                "a factorized-inception has a width in the forms a and c only, but got "
                f"form={self.form!r}, width={self.width}; {'set it' if self.form in 'ac' else 'leave it out'}"
            )

    def expand(self, shape: Shape) -> tuple[Block, ...]:
        chains = {"a": self._a, "b": self._b, "c": self._c, "d": self._d, "e": self._e}[self.form]()
        return (Branches(chains, "concat"),)

    def _a(self) -> tuple[tuple[Layer, ...], ...]:
        return (
            conv_norm_act(64, 1),
            conv_norm_act(48, 1) + conv_norm_act(64, 5),
            conv_norm_act(64, 1) + conv_norm_act(96, 3) * 2,
            (Pooling("average", 3, 1, 1), *conv_norm_act(self.width or 0, 1)),
        )

    def _b(self) -> tuple[tuple[Layer, ...], ...]:
        return (
            conv_norm_act(384, 3, 2, 0),
            conv_norm_act(64, 1) + conv_norm_act(96, 3) + conv_norm_act(96, 3, 2, 0),
            (Pooling("max", 3, 2),),
        )

    def _c(self) -> tuple[tuple[Layer, ...], ...]:
        inner = self.width or 0
        flat, tall = _line(inner, (1, 7)), _line(inner, (7, 1))
        return (
            conv_norm_act(192, 1),
            conv_norm_act(inner, 1) + flat + _line(192, (7, 1)),
            conv_norm_act(inner, 1) + tall + flat + tall + _line(192, (1, 7)),
            (Pooling("average", 3, 1, 1), *conv_norm_act(192, 1)),
        )

    def _d(self) -> tuple[tuple[Layer, ...], ...]:
        return (
            conv_norm_act(192, 1) + conv_norm_act(320, 3, 2, 0),
            conv_norm_act(192, 1) + _line(192, (1, 7)) + _line(192, (7, 1)) + conv_norm_act(192, 3, 2, 0),
            (Pooling("max", 3, 2),),
        )

    def _e(self) -> tuple[tuple[Layer, ...], ...]:
        # "append": the outer concatenation copies the pair, so that autograd does not save it
        pair = Branches((_line(384, (1, 3)), _line(384, (3, 1))), "append")
        return (
            conv_norm_act(320, 1),
            (*conv_norm_act(384, 1), pair),
            (*conv_norm_act(448, 1), *conv_norm_act(384, 3), pair),
            (Pooling("average", 3, 1, 1), *conv_norm_act(192, 1)),
        )


def _line(width: int, kernel: tuple[int, int]) -> tuple[Layer, ...]:
    """Return convolution, batch norm and relu with a kernel of one row or one column that keeps the image size."""
    rows, columns = kernel
    return (Convolution(width, kernel, 1, (rows // 2, columns // 2)), BatchNorm(), Act("relu"))
