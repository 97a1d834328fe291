"""Look-ups in tables of names; the error for an unknown name suggests the nearest one and lists all."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


MAX_NAME = 80  # characters of an unknown name in a message
MAX_WORD = 500  # characters of a word in a message; longer ones are values that a message repeats


def shorten(message: str) -> str:
    """Return ``message`` with each very long word, such as a value that it repeats, cut to its first characters.

    >>> len(shorten("the name is " + 1_000 * "x" + "; use another"))
    126
    """
    return re.sub(rf"\S{{{MAX_WORD},}}", lambda word: f"{word[0][:MAX_NAME]}... ({len(word[0]):,} characters)", message)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the error message for an unknown ``name``: what kind of thing it is, the nearest name, all known names.

    >>> unknown("searcher", "evoluton", ["grid", "evolution"])
    "unknown searcher 'evoluton'; did you mean 'evolution'? choose from evolution, grid"
    """
    from difflib import get_close_matches  # the import takes 30 ms, which a correct name should not cost

    names = sorted(known)
    text = str(name)
    # the comparison of a very long name takes minutes
    matches = get_close_matches(text, names, n=1, cutoff=0.5) if len(text) <= MAX_NAME else []
    if len(text) > MAX_NAME:
        name = f"{text[:MAX_NAME]}..."
    hint = f"did you mean {matches[0]!r}? " if matches else ""
    return f"unknown {what} {name!r}; {hint}choose from {', '.join(names)}"


def check_unregistered(other: Any, new: Any, what: str, name: str) -> None:
    """Raise ``ValueError`` if ``name`` is registered by another class or function than ``new``; ``other`` may be None.

    The same one again comes from a module that is reloaded, or from a notebook cell that is run again.
    """
    if other is not None and _full_name(other) != _full_name(new):
        raise ValueError(
            f"the {what} must be unique, but {name!r} is registered by {_full_name(other)} and again by "
            f"{_full_name(new)}; choose another {what.split(maxsplit=1)[0]}"
        )


def _full_name(code: Any) -> str:
    return f"{code.__module__}.{getattr(code, '__qualname__', code)}"  # a partial function has no name


def check_part_name(name: object, decorator: str, what: str) -> None:
    """Raise ``ValueError`` for the ``name`` of a custom ``what`` that is not possible in search files and arguments.

    ``decorator`` registers it. Written without parentheses, it gets the class or function instead of a name.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"the name of a {what} must be a text, but got {got_instead(name, decorator, 'my-name')}")


def got_instead(name: object, decorator: str, example: str) -> str:
    """Return what a decorator got instead of a name, and how to write it, for the end of a message."""
    if code := getattr(name, "__qualname__", None):
        return f"{code}; write @{decorator}({example!r}) above it"
    return f"{name!r}; use a name such as {example!r}"


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return ``table[name]``; raise ``ValueError`` with the nearest key if ``name`` is not in the table."""
    try:
        return table[name]
    except (KeyError, TypeError):  # TypeError: names come from search files and may be unhashable, such as a list
        raise ValueError(unknown(what, name, table)) from None
