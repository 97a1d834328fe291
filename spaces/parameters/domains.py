"""Domains of free parameters: a choice among options, a numeric range, a repeated block."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .constraints import is_real
from .lookup import shorten


@dataclass(frozen=True)
class Choice:
    """A free parameter with a finite list of options: values, blocks or sequences of blocks.

    ``weights``, one for each option, are what the user expects of them: searchers prefer options with large weights
    until trials show which are good. Only choices of a recipe have weights; None means equal weights.
    """

    options: tuple[Any, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("a choice needs at least one option, but got none; give it values, as in choice(16, 32)")
        for i, option in enumerate(self.options):
            # types are compared too: 1 == True in Python, but they are two different options
            if any(option == other and type(option) is type(other) for other in self.options[:i]):
                raise ValueError(f"the options of a choice must differ, but {option!r} is there twice; remove one")
        if self.weights is not None:
            self._check_weights(self.weights)

    def _check_weights(self, weights: tuple[float, ...]) -> None:
        if len(weights) != len(self.options):
            raise ValueError(
                f"a choice needs one weight for each option, but got {len(weights)} weights for {len(self.options)} "
                "options; add or remove weights"
            )
        # an option of weight zero would never be tried, even if the others turn out to be bad
        if wrong := [weight for weight in weights if not is_real(weight) or weight <= 0]:
            raise ValueError(
                shorten(
                    f"the weights of a choice must be finite numbers above 0, but got {wrong[0]!r}; use a small number "
                    "such as 0.1, or leave the option out"
                )
            )
        if not (min(weights) / max(weights) > 0 and math.isfinite(sum(weights))):  # floats cannot hold the shares
            raise ValueError(
                f"the weights of a choice must differ by less than a factor of 1e300, and be less than 1e300, but got "
                f"{min(weights)} and {max(weights)}; use numbers such as 3 and 1"
            )

    def __contains__(self, value: object) -> bool:
        return value in self.options


@dataclass(frozen=True)
class Range:
    """A free parameter with any value between ``low`` and ``high``, both included.

    With ``log`` the scale is logarithmic: a uniform draw is uniform in the logarithm of the value. With ``integer``
    only integers are drawn. ``prior`` is the value that the user expects to be best: searchers prefer values near it
    until trials show which are good.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    prior: float | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high", *(() if self.prior is None else ("prior",))):
            value = getattr(self, name)
            if not is_real(value):
                raise ValueError(
                    shorten(f"`{name}` of a range must be a finite number, but got {value!r}; use 0.1, for example")
                )
        if not self.low < self.high:
            raise ValueError(
                f"`low < high` must hold, but got (low={self.low}, high={self.high}); raise high or lower low"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low > 0, but got low={self.low}; raise it or drop `log`")
        if self.prior is not None and self.prior not in self:
            raise ValueError(
                f"the prior of a range must be between low={self.low} and high={self.high}, but got {self.prior}; "
                "use the value that you expect to be best, or widen the range"
            )
        if self.prior is not None and self.integer and self.prior != round(self.prior):
            raise ValueError(
                f"the prior of a range of whole numbers must be a whole number, but got {self.prior}; "
                f"use {round(self.prior)}"
            )

    def at(self, fraction: float) -> float:
        """Return the value at ``fraction`` (0 to 1) of the distance from ``low`` to ``high`` on the range's scale.

        In an integer range each integer n covers the interval from n - 0.5 to n + 0.5.
        """
        start, end = self._scaled_bounds
        value = start + fraction * (end - start)
        value = math.exp(value) if self.log else value
        return min(max(round(value) if self.integer else value, self.low), self.high)

    def fraction(self, value: float) -> float:
        """Return the position of ``value`` between ``low`` (0) and ``high`` (1); the inverse of :meth:`at`."""
        start, end = self._scaled_bounds
        return ((math.log(value) if self.log else value) - start) / (end - start)

    @property
    def _scaled_bounds(self) -> tuple[float, float]:
        # half a unit beyond both ends, so that rounding gives the first and last integer as much as the others
        half = 0.5 if self.integer else 0.0
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Repeat:
    """``block`` repeated ``times`` times, which is the depth of a stage.

    The choices inside ``block`` are made once and shared by all repetitions; with ``each`` every repetition makes its
    own. ``first`` replaces fields of the first repetition only: ``first={"stride": 2}`` lets a stage halve its input
    once.
    """

    block: Any
    times: int | Choice = 1
    first: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False

    def __post_init__(self) -> None:
        counts = self.times.options if isinstance(self.times, Choice) else (self.times,)
        for count in counts:
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise ValueError(
                    shorten(
                        f"`times` of a repeat must be whole numbers from 0 on, but got {count!r}; use 2, for example"
                    )
                )
        # read-only, because a frozen dataclass with a dict inside could still be changed
        object.__setattr__(self, "first", MappingProxyType(dict(self.first)))

    def __hash__(self) -> int:
        return hash((self.block, self.times, tuple(sorted(self.first.items())), self.each))

    def __reduce__(self) -> tuple[Any, ...]:
        return Repeat, (self.block, self.times, dict(self.first), self.each)  # a mapping proxy cannot be pickled


def choice(*options: Any) -> Any:
    """Return a :class:`Choice` among ``options``.

    Examples: ``choice(16, 32)``, ``choice(Conv(16), Residual(16))``, ``choice((), (Conv(8), Pool()))``. The declared
    return type is ``Any``, so that type checkers accept a choice in any field of a block.
    """
    return Choice(options)


def repeat(block: Any, times: int | Choice, first: Mapping[str, Any] | None = None, *, each: bool = False) -> Repeat:
    """Return ``block`` repeated ``times`` times; see :class:`Repeat`."""
    return Repeat(block, times, first or {}, each)


def is_ascending(options: tuple[Any, ...]) -> bool:
    """Return whether ``options`` are numbers in ascending order."""
    all_numbers = all(isinstance(option, int | float) and not isinstance(option, bool) for option in options)
    return all_numbers and list(options) == sorted(options)
