"""Holes: what may be chosen where a space leaves a value open."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One of several options; the options are values, blocks or sequences of blocks."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("a choice needs at least one option, but got none; give it values, as in choice(16, 32)")
        for i, option in enumerate(self.options):
            if any(option == other and type(option) is type(other) for other in self.options[:i]):
                raise ValueError(f"the options of a choice must differ, but {option!r} is there twice; remove one")


@dataclass(frozen=True)
class Range:
    """A number between ``low`` and ``high``, both included; uniform in its logarithm where ``log``."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"a range needs a finite number as `{name}`, but got {value!r}")
        if not self.low < self.high:
            raise ValueError(f"`low < high` must hold, but got (low={self.low}, high={self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low > 0, but got low={self.low}; raise it or drop `log`")

    def at(self, fraction: float) -> float:
        """The value that lies ``fraction`` (0 to 1) of the way from ``low`` to ``high`` on the range's own scale.

        Of whole numbers each has a piece of the way, from halfway to the one before it to halfway to the next.
        """
        first, last = self._ends
        value = first + fraction * (last - first)
        value = math.exp(value) if self.log else value
        return min(max(round(value) if self.integer else value, self.low), self.high)

    def fraction(self, value: float) -> float:
        """How far ``value`` lies from ``low`` to ``high`` on the range's own scale, from 0 to 1; undoes :meth:`at`."""
        first, last = self._ends
        return ((math.log(value) if self.log else value) - first) / (last - first)

    @property
    def _ends(self) -> tuple[float, float]:
        half = 0.5 if self.integer else 0.0
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Repeat:
    """``block`` again and again, ``times`` times: the depth of a stage.

    What is chosen inside ``block`` is chosen once and shared by all repetitions; with ``each``, anew for each.
    ``first`` replaces fields of the first repetition alone: ``first={"stride": 2}`` lets a stage halve its
    input once.
    """

    block: Any
    times: int | Choice = 1
    first: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False

    def __post_init__(self) -> None:
        counts = self.times.options if isinstance(self.times, Choice) else (self.times,)
        for count in counts:
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise ValueError(f"`times` of a repeat must be whole numbers of at least 0, but got {count!r}")
        object.__setattr__(self, "first", MappingProxyType(dict(self.first)))

    def __hash__(self) -> int:
        return hash((self.block, self.times, tuple(sorted(self.first.items())), self.each))

    def __reduce__(self) -> tuple[Any, ...]:
        return Repeat, (self.block, self.times, dict(self.first), self.each)  # a mapping proxy cannot be pickled


def choice(*options: Any) -> Any:
    """One of ``options``: ``choice(16, 32)``, ``choice(Conv(16), Residual(16))``, ``choice((), (Conv(8), Pool()))``.

    A :class:`Choice`, declared as anything so that a typed block takes it in any field.
    """
    return Choice(options)


def repeat(block: Any, times: int | Choice, first: Mapping[str, Any] | None = None, *, each: bool = False) -> Repeat:
    """``block`` repeated ``times`` times; see :class:`Repeat`."""
    return Repeat(block, times, first or {}, each)


def rising(options: tuple[Any, ...]) -> bool:
    """Whether ``options`` are numbers in order."""
    numbers = all(isinstance(option, int | float) and not isinstance(option, bool) for option in options)
    return numbers and list(options) == sorted(options)
