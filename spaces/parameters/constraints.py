"""Constraints: what the value of a hyperparameter must be, in words and as a test."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a value must be: ``description`` completes "must be ...", ``holds`` tests a value of any type."""

    description: str
    holds: Callable[[Any], bool]


def check(constraint: Constraint, value: Any, name: str) -> None:
    """Raise ``ValueError`` where ``value``, known to the user as ``name``, breaks ``constraint``.

    >>> check(positive_int, 0, "conv: width")
    Traceback (most recent call last):
        ...
    ValueError: conv: width must be a whole number of at least 1, but got 0
    """
    if not constraint.holds(value):
        raise ValueError(f"{name} must be {constraint.description}, but got {value!r}")


def _is_int(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


positive_int = Constraint("a whole number of at least 1", lambda v: _is_int(v, 1))
non_negative_int = Constraint("a whole number of at least 0", lambda v: _is_int(v, 0))
odd_int = Constraint("an odd whole number of at least 1", lambda v: _is_int(v, 1) and v % 2 == 1)
boolean = Constraint("true or false", lambda v: type(v) is bool)


def real(description: str, holds: Callable[[float], bool]) -> Constraint:
    """A finite number for which ``holds``; ``description`` names the range."""
    return Constraint(description, lambda v: is_real(v) and holds(v))


def is_real(value: Any) -> bool:
    """Whether ``value`` is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def one_of(*options: str) -> Constraint:
    """One of ``options``."""
    return Constraint(f"one of {', '.join(options)}", lambda v: v in options)


def optional(constraint: Constraint) -> Constraint:
    """``constraint``, or None."""
    return Constraint(f"{constraint.description}, or left out", lambda v: v is None or constraint.holds(v))
