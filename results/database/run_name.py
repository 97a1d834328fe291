"""Run names: what a run may be called."""

import re
from collections.abc import Container

from .errors import OutsideError

LONGEST = 100
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")


def check_run_name(name: str) -> str:
    """Return ``name`` where it can name a run, a folder and a file on every system; raise ``ValueError`` otherwise.

    A run's folder is named by it: a name that would lead elsewhere raises :class:`OutsideError`, which is one too.
    """
    if isinstance(name, str) and (set("/\\") & set(name) or name in (".", "..")):
        raise OutsideError(
            f"a run name is a name and no path, but {name!r} would lead elsewhere; nothing was read or written; take "
            "something like 'digits-2'"
        )
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(
            f"a run name is 1 to {LONGEST} letters, digits, '.', '_' or '-' and starts with neither dot nor dash, "
            f"but got {name!r}; take something like 'digits-2'"
        )
    return name


def free_name(name: str, taken: Container[str]) -> str:
    """The first of ``name-2``, ``name-3``, ... that is not ``taken``."""
    number = 2
    while (candidate := name[: LONGEST - len(f"-{number}")] + f"-{number}") in taken:
        number += 1
    return candidate
