"""User code: which module it is of, the line that raised an exception, and the error that names both."""

import importlib
import sys
import sysconfig
import traceback
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path
from typing import Any

from .lookup import shorten

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = tuple(ROOT / name for name in ("spaces", "models", "results", "search"))
_LIBRARIES = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))
_IMPORT_SYSTEM = ("<frozen", str(importlib.__file__))
ERRORS = (Exception, SystemExit)  # what user code may raise; SystemExit must not end a search


class PluginError(ValueError):
    """A plug-in cannot be found, imported or used; the message names the module, and the line where there is one."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message))


def module_of(part: Any) -> str | None:
    """Return the module that a class or function is of; None for one of archsieve."""
    module = getattr(part, "__module__", None) or "__main__"
    return None if module.partition(".")[0] == PACKAGE else str(module)


def raised(call: str, error: BaseException, code: Any) -> PluginError:
    """Return the error for an exception of ``code``, a function of the user; ``call`` describes what called it."""
    return PluginError(f"{call} raised {described(error)}{at_line(error, code)}; correct it")


def prints_to_stderr() -> AbstractContextManager[Any]:
    """Return a context in which ``print`` of user code writes to stderr: stdout is for the results of commands."""
    return redirect_stdout(sys.stderr)


def described(error: BaseException) -> str:
    """Return the type of an exception and, where it has one, its message as one line."""
    name, message = type(error).__name__, " ".join(text_of(error).split())
    return f"{name}: {message}" if message else name


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an exception; the name of its type where it has none."""
    return next(iter(text_of(error).strip().splitlines()), type(error).__name__)


def text_of(error: BaseException) -> str:
    """Return the message of an exception, or an empty text if it cannot be read."""
    try:
        return str(error)
    except Exception:  # a class of the user may have a wrong __str__
        return ""


def raised_at(error: BaseException, code: Any = None) -> str:
    """Return ``file:line`` of the innermost frame of user code in the traceback of ``error``.

    Frames of archsieve, of Python and of installed packages are skipped. Without user code it is the first line of the
    function ``code``, then the innermost frame that is not of archsieve, then the innermost of all. For a syntax error
    it is the line of the error. The text is empty if there is no traceback.
    """
    own, foreign, frames = _frames(error)
    return own or defined_at(code) or foreign or frames


def imported_at(error: BaseException) -> str:
    """Return ``file:line`` of the code that raised ``error`` in an import; an empty text if that is Python's own."""
    own, foreign, _ = _frames(error)
    return own or foreign


def _frames(error: BaseException) -> tuple[str, str, str]:
    """Return the innermost line of user code, of code that is not of archsieve, and of all code; empty without any."""
    if isinstance(error, SyntaxError) and error.filename:
        return (f"{error.filename}:{error.lineno}",) * 3
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(_IMPORT_SYSTEM)]
    foreign = [frame for frame in frames if not _is_below(frame.filename, _FOLDERS)]
    # "<string>" is code that a library has generated, such as __init__ of a dataclass
    own = [f for f in foreign if f.filename != "<string>" and not _is_below(f.filename, _LIBRARIES)]
    last, before, all_of = (
        f"{group[-1].filename}:{group[-1].lineno}" if group else "" for group in (own, foreign, frames)
    )
    return last, before, all_of


def defined_at(code: Any) -> str:
    """Return ``file:line`` of the definition of a function or method; an empty text if it is unknown."""
    compiled = getattr(code, "__code__", None)
    return "" if compiled is None else f"{compiled.co_filename}:{compiled.co_firstlineno}"


def at_line(error: BaseException, code: Any = None, *, folder: bool = True) -> str:
    """Return `` at file:line`` of :func:`raised_at` for the end of a message; an empty text if the line is unknown.

    Without ``folder`` only the name of the file is given, which is the same on all machines.
    """
    line = raised_at(error, code)
    return line and f" at {line if folder else Path(line).name}"


def at_definition(code: Any) -> str:
    """Return `` at file:line`` of :func:`defined_at` for the end of a message; an empty text if it is unknown."""
    line = defined_at(code)
    return line and f" at {line}"


def _is_below(filename: str, folders: tuple[Path, ...]) -> bool:
    path = Path(filename).resolve()
    return any(path.is_relative_to(folder) for folder in folders)
