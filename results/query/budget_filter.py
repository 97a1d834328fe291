"""Limits: a budget as conditions on the trials, and as words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement

from ...spaces.architectures.budget import Budget, format_count
from ..database import schema


@dataclass(frozen=True)
class Limit:
    """One bound of a budget: ``cost`` at most (or at least) ``bound``."""

    cost: str
    bound: float
    at_most: bool

    @property
    def column(self) -> Column[Any]:
        """The column of ``trial`` that is limited."""
        return schema.trial.c[self.cost]

    @property
    def condition(self) -> ColumnElement[bool]:
        """Holds for the trials inside the limit."""
        return self.column <= self.bound if self.at_most else self.column >= self.bound

    @property
    def nearest_first(self) -> ColumnElement[Any]:
        """The order in which the trial nearest to the limit comes first, where all are outside."""
        return self.column.asc() if self.at_most else self.column.desc()

    def __str__(self) -> str:
        return self.beside(None)[0]

    def beside(self, value: float | None) -> tuple[str, str]:
        """The limit in words, and ``value``; in full digits where rounding would hide the difference."""
        bound, other = _short(self.bound), "" if value is None else _short(value)
        if bound == other:
            bound, other = f"{self.bound:,}", f"{value:,}"
        return f"{self.cost} {'<=' if self.at_most else '>='} {bound}", other


def _short(value: float) -> str:
    """``value`` with up to three digits and a unit: 5M, 5.3M, 59.9k, 2.35."""
    text = format_count(value) if value >= 1000 else f"{value:.3g}"
    digits, unit = text.rstrip("kMGT"), text[len(text.rstrip("kMGT")) :]
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + unit


def budget_in(config: Mapping[str, Any]) -> Budget:
    """The budget in a run's settings; no limit where they are another program's and cannot be read."""
    try:
        return Budget.of(config.get("budget") or {})
    except (ValueError, AttributeError):
        return Budget()


def limits(budget: Budget) -> list[Limit]:
    """The bounds of ``budget``, the upper ones first."""
    pairs = budget.limits().items()
    highs = [Limit(cost, high, True) for cost, (_, high) in pairs if high is not None]
    if budget.latency_ms is not None:
        highs.append(Limit("latency_ms", budget.latency_ms, True))
    return highs + [Limit(cost, low, False) for cost, (low, _) in pairs if low]


def inside(budget: Budget) -> list[ColumnElement[bool]]:
    """The conditions that hold for the trials inside ``budget``."""
    return [limit.condition for limit in limits(budget)]
