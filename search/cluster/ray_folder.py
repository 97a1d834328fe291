"""The folder of a local Ray: private to this user, short enough for sockets, and removed with its driver.

Ray makes its own folders writable for every user. Another user could then rename a socket of a running search, so they
are placed inside a folder that only this user can enter.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import ResourceError

PREFIX = "as-ray-"  # short: the path of a socket below it has few bytes
MAX_SOCKET_BYTES = 107 if sys.platform == "linux" else 103  # of the path of a Unix socket, by the system
# What this file and Ray put below the chosen folder, up to Ray's longest socket.
_SOCKET = f"/{PREFIX}abcdefgh/r/session_2026-01-31_23-59-59_123456_{{pid}}/sockets/plasma_store"
_RAY, _LOCK = "r", "lock"  # Ray's part of the folder, and the file that the driver holds locked while it lives
_FALLBACK = "/tmp"


@contextlib.contextmanager
def private_folder() -> Iterator[Path | None]:
    """Provide a folder for a local Ray and remove it at the end. Folders that dead drivers have left are removed first.

    None on Windows, which has no such locks; Ray then uses its default.

    Raises :class:`ResourceError` when no folder is short enough, or none can be created.
    """
    if sys.platform == "win32":
        yield None
        return
    parent = parent_folder()
    sweep(parent)
    folder, lock = _create(parent)
    try:
        yield folder / _RAY
    finally:
        remove(folder)
        os.close(lock)


def parent_folder() -> Path:
    """Return the folder for Ray's folder: RAY_TMPDIR if it is set, TMPDIR if it is usable and short enough, or /tmp."""
    longest = MAX_SOCKET_BYTES - len(_SOCKET.format(pid=os.getpid()))
    chosen = os.environ.get("RAY_TMPDIR")
    if not chosen:
        temporary = os.environ.get("TMPDIR", _FALLBACK)
        usable = len(os.fsencode(temporary)) <= longest and os.access(temporary, os.W_OK | os.X_OK)
        return Path(temporary if usable else _FALLBACK)
    if len(os.fsencode(chosen)) <= longest:
        return Path(chosen)
    raise ResourceError(
        f"RAY_TMPDIR must have at most {longest} bytes, because the path of a socket has at most {MAX_SOCKET_BYTES}, "
        f"but {chosen} has {len(os.fsencode(chosen))}; set RAY_TMPDIR to a shorter folder, such as {_FALLBACK}"
    )


def sweep(parent: Path) -> None:
    """Remove the folders of this user in ``parent`` whose drivers are dead."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # removed by another process in the meantime, or not removable
            if _is_own(folder):
                _remove_stale(folder)


def remove(folder: Path) -> None:
    """Remove a folder; the lock file last, so that an interrupted removal is completed by a later sweep."""
    shutil.rmtree(folder / _RAY, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _create(parent: Path) -> tuple[Path, int]:
    """Create a folder for this process; return it with the descriptor that holds its lock."""
    while True:
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # its mode is 0700
        except OSError as error:
            raise ResourceError(
                f"Ray needs a writable folder on this machine, but {parent} is not writable: {error.strerror}; set "
                "RAY_TMPDIR to another folder, or use a running cluster with --address"
            ) from None
        with contextlib.suppress(FileNotFoundError):  # a sweep of another process came before the lock
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            if _locks(lock) and (folder / _LOCK).exists():
                return folder, lock
            os.close(lock)


def _locks(descriptor: int) -> bool:
    """Lock an open file; return False if another process holds its lock. The lock ends with this process."""
    import fcntl  # not on Windows

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: no other process can lock the file and remove the folder
    return True


def _is_own(folder: Path) -> bool:
    """Return whether ``folder`` is a folder, not a link, that belongs to this user and that no other user can enter."""
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) == 0o700


def _remove_stale(folder: Path) -> None:
    import fcntl

    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        folder.rmdir()  # a driver that is just creating it creates another one
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)
    finally:
        os.close(lock)
