"""The limits of a budget as SQL conditions and as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement

from ...spaces.architectures.budget import Budget, format_count
from ..database import schema
from ..database.records import DEVICE_COSTS
from ..database.rows import device_cost


@dataclass(frozen=True)
class Limit:
    """One bound of a budget: ``cost`` is at most ``bound``, or at least ``bound`` if ``at_most`` is false."""

    cost: str
    bound: float
    at_most: bool

    @property
    def column(self) -> ColumnElement[Any]:
        """The limited column of the table ``trial``, or the limited cost on a device."""
        return device_cost(self.cost) if self.cost in DEVICE_COSTS else schema.trial.c[self.cost]

    @property
    def condition(self) -> ColumnElement[bool]:
        """True for the trials that meet the limit."""
        return self.column <= self.bound if self.at_most else self.column >= self.bound

    @property
    def nearest_first(self) -> ColumnElement[Any]:
        """The sort key that puts the trial nearest to the limit first when no trial meets the limit."""
        return self.column.asc() if self.at_most else self.column.desc()

    def __str__(self) -> str:
        return self.format_with(None)[0]

    def format_with(self, value: float | None) -> tuple[str, str]:
        """Return the limit as text and ``value`` as text, both rounded to three digits.

        Both are written in full if rounding would make the bound and the value look equal.
        """
        bound_text, value_text = _format_rounded(self.bound), "" if value is None else _format_rounded(value)
        if bound_text == value_text:
            bound_text, value_text = f"{self.bound:,}", f"{value:,}"
        return f"{self.cost} {'<=' if self.at_most else '>='} {bound_text}", value_text


def _format_rounded(value: float) -> str:
    """Format ``value`` with up to three digits and a unit: 5M, 5.3M, 59.9k, 2.35."""
    text = format_count(value) if value >= 1000 else f"{value:.3g}"
    digits, unit = text.rstrip("kMGT"), text[len(text.rstrip("kMGT")) :]
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + unit


def budget_from_config(config: Mapping[str, Any]) -> Budget:
    """Return the budget of a run's settings, or a budget without limits if the settings have no readable budget.

    Runs imported from another program can have settings in any form.
    """
    try:
        return Budget.of(config.get("budget") or {})
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        return Budget()


def limits(budget: Budget) -> list[Limit]:
    """Return the bounds of ``budget``, upper bounds first."""
    pairs = budget.limits().items()
    upper = [Limit(cost, high, True) for cost, (_, high) in pairs if high is not None]
    upper += [Limit(cost, high, True) for cost, high in budget.device_limits().items()]
    # budget.limits() has only the costs that are computed from the architecture; latency is measured.
    if budget.latency_ms is not None:
        upper.append(Limit("latency_ms", budget.latency_ms, True))
    return upper + [Limit(cost, low, False) for cost, (low, _) in pairs if low]


def within_budget(budget: Budget) -> list[ColumnElement[bool]]:
    """Return the SQL conditions that are true for the trials inside ``budget``."""
    return [limit.condition for limit in limits(budget)]
