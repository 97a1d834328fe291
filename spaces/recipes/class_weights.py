"""Class weights of the training loss: none, balanced, or a table of class names and weights.

A recipe stores a table as JSON text, because recipes are hashed, compared and recorded as plain values.
"""

import json
from collections.abc import Mapping
from typing import Any

from ..parameters.constraints import Constraint, is_real

NONE = "none"
BALANCED = "balanced"


def as_text(value: Any) -> Any:
    """Return a table as JSON text with sorted names; any other value unchanged.

    >>> as_text({"dog": 3, "cat": 1})
    '{"cat": 1.0, "dog": 3.0}'
    """
    if not isinstance(value, Mapping) or not _is_table(value):
        return value  # the constraint refuses it
    return json.dumps({name: float(weight) for name, weight in sorted(value.items())}, ensure_ascii=False)


def table_of(value: str) -> dict[str, float] | None:
    """Return the table in the text of :func:`as_text`; None for "none" and "balanced"."""
    table: dict[str, float] | None = None if value in (NONE, BALANCED) else json.loads(value)
    return table


def check_class_names(value: str, classes: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless a table has exactly the names ``classes``."""
    table = table_of(value)
    if table is None or set(table) == set(classes):
        return
    missing, extra = sorted(set(classes) - set(table)), sorted(set(table) - set(classes))
    problem = f"has no weight for {missing[0]!r}" if missing else f"names {extra[0]!r}, which is not a class"
    known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    raise ValueError(
        f"recipe.class_weights must name each class of the data once, but it {problem}; the classes are {known}"
    )


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and is_real(weight) and weight >= 0 for name, weight in value.items())
        and any(value.values())
    )


def _holds(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if value in (NONE, BALANCED):
        return True
    try:
        return _is_table(json.loads(value))
    except ValueError:
        return False


class_weights = Constraint(
    "none, balanced, or a table of class names and weights of at least 0, not all 0, such as { cat = 1.0, dog = 3.0 }",
    _holds,
)
