"""Run names: which names are allowed, and a free name if one is taken."""

import re
from collections.abc import Container

from .errors import PathEscapeError

MAX_NAME_LENGTH = 100  # characters
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{MAX_NAME_LENGTH - 1}}}")


def check_run_name(name: str) -> str:
    """Return ``name`` if it can name a run, and a folder and a file on every system; raise ``ValueError`` otherwise.

    The folder of a run has the run's name, so a name that is a path could select a folder elsewhere. Such a name raises
    :class:`PathEscapeError`, a subclass of ``ValueError``.
    """
    if isinstance(name, str) and (set("/\\") & set(name) or name in (".", "..")):
        raise PathEscapeError(
            f"a run name must not be a path, but got {name!r}; nothing was read or written; "
            "use a name such as 'digits-2'"
        )
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(
            f"a run name is 1 to {MAX_NAME_LENGTH} letters, digits, '.', '_' or '-' and must not start with '.' or "
            f"'-', but got {name!r}; use a name such as 'digits-2'"
        )
    return name


def free_name(name: str, taken: Container[str]) -> str:
    """Return the first of ``name-2``, ``name-3``, ... that is not ``taken``, shortened to the allowed length."""
    number = 2
    while (candidate := name[: MAX_NAME_LENGTH - len(f"-{number}")] + f"-{number}") in taken:
        number += 1
    return candidate
