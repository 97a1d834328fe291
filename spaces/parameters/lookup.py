"""Table look-ups whose failure names the nearest entry and lists the rest."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Say that ``name`` is no ``what``, which one is nearest, and which there are.

    >>> unknown("searcher", "evoluton", ["grid", "evolution"])
    "unknown searcher 'evoluton'; did you mean 'evolution'? choose from evolution, grid"
    """
    from difflib import get_close_matches  # 30 ms that only a mistake should cost

    names = sorted(known)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what} {name!r}; {hint}choose from {', '.join(names)}"


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return ``table[name]``; a ``ValueError`` names the nearest key where there is none."""
    try:
        return table[name]
    except (KeyError, TypeError):
        raise ValueError(unknown(what, name, table)) from None
