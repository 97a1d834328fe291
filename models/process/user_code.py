"""User code: the line of the user's own file that raised an exception, without the frames of libraries."""

import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
_FOLDERS = tuple(PACKAGE / name for name in ("spaces", "models", "results", "search"))
_LIBRARIES = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))


def raised_at(error: BaseException) -> str:
    """Return ``file:line`` of the innermost frame of user code in the traceback of ``error``.

    Frames of archsieve, of Python and of installed packages are skipped. Without user code it is the innermost frame
    that is not of archsieve, then the innermost of all. For a syntax error it is the line of the error. The text is
    empty if there is no traceback.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    foreign = [frame for frame in frames if not _is_below(frame.filename, _FOLDERS)]
    # "<string>" is code that a library has generated, such as __init__ of a dataclass
    own = [f for f in foreign if f.filename != "<string>" and not _is_below(f.filename, _LIBRARIES)]
    frame = next((group[-1] for group in (own, foreign, frames) if group), None)
    return "" if frame is None else f"{frame.filename}:{frame.lineno}"


def at_line(error: BaseException, *, folder: bool = True) -> str:
    """Return `` at file:line`` for the end of a message; an empty text if the line is unknown.

    Without ``folder`` only the name of the file is given, which is the same on all machines.
    """
    place = raised_at(error)
    return place and f" at {place if folder else Path(place).name}"


def _is_below(filename: str, folders: tuple[Path, ...]) -> bool:
    path = Path(filename).resolve()
    return any(path.is_relative_to(folder) for folder in folders)
