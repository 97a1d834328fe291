"""Constraints on the value of a hyperparameter, each with a description in words and a test."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .lookup import shorten


@dataclass(frozen=True, slots=True)
class Constraint:
    """A condition on a value.

    ``description`` completes the sentence "must be ..." of an error message. ``holds`` tests a value of any type and
    raises nothing. ``nearest`` gives the valid values nearest to a wrong one as text, empty if there are none.
    """

    description: str
    holds: Callable[[Any], bool]
    nearest: Callable[[Any], str] | None = None


def check(constraint: Constraint, value: Any, name: str) -> None:
    """Raise ``ValueError`` if ``value`` breaks ``constraint``; ``name`` is how the user knows the value.

    >>> check(positive_int, 0, "conv: width")
    Traceback (most recent call last):
        ...
    ValueError: conv: width must be a whole number of at least 1, but got 0
    """
    if not constraint.holds(value):
        nearest = constraint.nearest(value) if constraint.nearest else ""
        fix = f"; use {nearest}" if nearest else ""
        raise ValueError(shorten(f"{name} must be {constraint.description}, but got {value!r}{fix}"))


def _is_int(value: Any, minimum: int) -> bool:
    # an exact type check, because bool is a subclass of int and True is not a size
    return type(value) is int and value >= minimum


positive_int = Constraint("a whole number of at least 1", lambda v: _is_int(v, 1))
non_negative_int = Constraint("a whole number of at least 0", lambda v: _is_int(v, 0))
odd_int = Constraint(
    "an odd whole number of at least 1",
    lambda v: _is_int(v, 1) and v % 2 == 1,
    lambda v: (f"{v - 1} or {v + 1}" if v > 0 else "1") if type(v) is int else "",
)
boolean = Constraint("true or false", lambda v: type(v) is bool)


def real(description: str, holds: Callable[[float], bool]) -> Constraint:
    """Return the constraint "a finite number for which ``holds`` is true"; ``description`` names the range."""
    return Constraint(description, lambda v: is_real(v) and holds(v))


def is_real(value: Any) -> bool:
    """Return whether ``value`` is a finite number; True and False are not numbers here."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of float
        return False


def one_of(*options: str) -> Constraint:
    """Return the constraint "one of ``options``"."""
    return Constraint(f"one of {', '.join(options)}", lambda v: v in options)


def optional(constraint: Constraint) -> Constraint:
    """Return ``constraint`` extended by None, the value of a field that is left out."""
    return Constraint(f"{constraint.description}, or left out", lambda v: v is None or constraint.holds(v))
