"""Free parameters of a recipe as tables of a search file: a range, or options with weights."""

from collections.abc import Callable, Mapping
from typing import Any

from ..parameters.domains import Choice, Range
from ..parameters.lookup import unknown

RANGE_KEYS = ("low", "high", "log", "prior")
CHOICE_KEYS = ("options", "weights")


def parameter_of_table(name: str, table: Mapping[str, Any]) -> Choice | Range:
    """Return the free parameter that ``table``, the value of the recipe key ``name``, describes.

    >>> parameter_of_table("lr", {"low": 0.001, "high": 1.0, "log": True, "prior": 0.1})
    Range(low=0.001, high=1.0, log=True, integer=False, prior=0.1)
    >>> parameter_of_table("optimizer", {"options": ["sgd", "adamw"], "weights": [3, 1]})
    Choice(options=('sgd', 'adamw'), weights=(3, 1))

    Raises ``ValueError`` that names the key and the fix.
    """
    for key in table:
        if key not in (*RANGE_KEYS, *CHOICE_KEYS):
            raise ValueError(unknown(f"key of recipe.{name}", key, (*RANGE_KEYS, *CHOICE_KEYS)))
    if "options" in table or "weights" in table:
        return _choice(name, table)
    if "low" not in table or "high" not in table:
        raise ValueError(
            f"recipe.{name} is a range and needs low and high; write it like {{ low = 0.01, high = 1.0, log = true }}"
        )
    if type(table.get("log", False)) is not bool:
        raise ValueError(
            f"recipe.{name}.log must be true or false, but got {table['log']!r}; use true for a logarithmic range"
        )
    try:
        return Range(table["low"], table["high"], table.get("log", False), prior=table.get("prior"))
    except ValueError as error:
        raise ValueError(f"recipe.{name}: {error}") from None


def written_options(value: Any) -> list[Any]:
    """Return the options of a recipe key as it is written: those of a list or of a table, else the value alone."""
    options = value.get("options") if isinstance(value, Mapping) else value
    return options if isinstance(options, list) else [options]


def with_options(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return ``value``, a recipe key as it is written, with ``change`` applied to each of its options."""
    if isinstance(value, Mapping):
        return {**value, "options": with_options(value["options"], change)} if "options" in value else value
    return [change(option) for option in value] if isinstance(value, list) else change(value)


def _choice(name: str, table: Mapping[str, Any]) -> Choice:
    options, weights = table.get("options"), table.get("weights")
    if others := [key for key in table if key in RANGE_KEYS]:
        raise ValueError(
            f"recipe.{name} must be a range with low and high, or options with weights, but got options and "
            f"{', '.join(others)}; remove one of them"
        )
    if not isinstance(options, list | tuple) or not (weights is None or isinstance(weights, list | tuple)):
        raise ValueError(
            f"recipe.{name} needs a list of options and a list of weights; write it like "
            '{ options = ["sgd", "adamw"], weights = [3, 1] }'
        )
    try:
        return Choice(tuple(options), None if weights is None else tuple(weights))
    except ValueError as error:
        raise ValueError(f"recipe.{name}: {error}") from None
