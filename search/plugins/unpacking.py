"""Unpacked plug-ins: a folder for each process, which is removed when the process ends.

The owner of a folder holds a lock on it as long as it lives. A worker that was killed cannot remove its folder; the
next process that unpacks plug-ins on this machine does, and the driver does when it ends.
"""

import atexit
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from .sources import digest_of

PREFIX = f"archsieve-plugins-{os.getuid() if hasattr(os, 'getuid') else 0}-"
LOCK = ".lock"
WAIT_S = 5  # for the workers of a driver that ends
_locks: list[int] = []  # file descriptors, open as long as this process lives
_shipped: set[str] = set()  # the start of the folders of this driver's workers


def unpack(sources: Mapping[str, bytes]) -> Path:
    """Write source files to a new folder of this process and return it."""
    remove_unused()
    # locked before it has the name under which other processes look for unused folders
    made = Path(tempfile.mkdtemp(prefix=f"new-{_prefix(sources)}"))
    _locks.append(_locked(made))
    for path, content in sources.items():
        target = made / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    folder = made.with_name(made.name.removeprefix("new-"))
    made.rename(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_unused() -> list[str]:
    """Remove the folders whose process has ended; return the names of those that are in use."""
    in_use = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            lock = _locked(folder)
        except OSError:  # in use, or another process removes it now
            in_use.append(folder.name)
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
    return in_use


def remove_at_exit(sources: Mapping[str, bytes]) -> None:
    """Remove the folders of this driver's workers when Python ends, as soon as the workers have ended."""
    _shipped.add(_prefix(sources))
    atexit.unregister(_wait_and_remove)
    atexit.register(_wait_and_remove)


def _wait_and_remove() -> None:
    ray, until = sys.modules.get("ray"), time.monotonic() + WAIT_S
    while any(name.startswith(tuple(_shipped)) for name in remove_unused()):
        # the workers of a Ray that the user has started outlive this function
        if time.monotonic() > until or (ray is not None and ray.is_initialized()):
            return
        time.sleep(0.1)


def _prefix(sources: Mapping[str, bytes]) -> str:
    return f"{PREFIX}{digest_of(sources)[:12]}-"


def _locked(folder: Path) -> int:
    """Return a file descriptor with an exclusive lock on ``folder``; raise ``OSError`` if another process has it."""
    import fcntl  # not on Windows, where Ray runs no cluster

    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
