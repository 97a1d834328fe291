"""Look-ups in tables of names; the error for an unknown name suggests the nearest one and lists all."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the error message for an unknown ``name``: what kind of thing it is, the nearest name, all known names.

    >>> unknown("searcher", "evoluton", ["grid", "evolution"])
    "unknown searcher 'evoluton'; did you mean 'evolution'? choose from evolution, grid"
    """
    from difflib import get_close_matches  # the import takes 30 ms, which a correct name should not cost

    names = sorted(known)
    matches = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {matches[0]!r}? " if matches else ""
    return f"unknown {what} {name!r}; {hint}choose from {', '.join(names)}"


def check_unregistered(other: Any, new: Any, what: str, name: str) -> None:
    """Raise ``ValueError`` if ``name`` is registered by another class or function than ``new``; ``other`` may be None.

    The same one again comes from a module that is reloaded, or from a notebook cell that is run again.
    """
    if other is not None and (other.__module__, other.__qualname__) != (new.__module__, new.__qualname__):
        raise ValueError(
            f"the {what} must be unique, but {name!r} is registered by {other.__module__}.{other.__qualname__} and "
            f"again by {new.__module__}.{new.__qualname__}; choose another {what.split(maxsplit=1)[0]}"
        )


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return ``table[name]``; raise ``ValueError`` with the nearest key if ``name`` is not in the table."""
    try:
        return table[name]
    except (KeyError, TypeError):  # TypeError: names come from search files and may be unhashable, such as a list
        raise ValueError(unknown(what, name, table)) from None
