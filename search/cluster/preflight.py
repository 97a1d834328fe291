"""Preflight: check disk, shared memory and open files before a run starts."""

import os
import shutil
import sys
from pathlib import Path

from .errors import ResourceError

DISK_BYTES = 256 * 2**20  # a run's database, checkpoints and log, and Ray's own session
SHARED_BYTES = 64 * 2**20  # the default size of /dev/shm in a container
FILES = 1024  # Ray opens hundreds of files, each worker some dozens
WANTED_FILES = 65_536  # the limit that Ray recommends


def check_machine(folder: Path, *, elsewhere: bool = False) -> None:
    """Check that this machine can run a search whose files go below ``folder``.

    Raises the soft limit of open files to what Ray recommends, as far as the hard limit allows.

    Args:
        folder: where the run writes; it need not exist yet.
        elsewhere: the trials run on a cluster, so this machine's shared memory and open files do not matter.

    Raises:
        ResourceError: when the run would fail later for lack of disk, shared memory or open files.
    """
    # The folder may not exist yet; its nearest parent is on the same file system.
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(nearest).free
    if free < DISK_BYTES:
        raise ResourceError(
            f"a run needs at least {_mib(DISK_BYTES)} of disk space, but {nearest.absolute()} has {_mib(free)} free; "
            "free some space, or choose another folder with --runs"
        )
    if not elsewhere and sys.platform == "linux":
        _check_shared()
    if not elsewhere and sys.platform != "win32":
        _check_files()


def _check_shared() -> None:
    shared = Path("/dev/shm")
    if not shared.exists():
        return  # Ray uses the disk instead
    size = shutil.disk_usage(shared).total
    if size < SHARED_BYTES:
        raise ResourceError(
            f"Ray shares the data through /dev/shm, which must have at least {_mib(SHARED_BYTES)}, but has "
            f"{_mib(size)}; start the container with --shm-size=1g"
        )


def _check_files() -> None:
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        # A process may raise its soft limit without any privilege; Ray's processes inherit it.
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft != resource.RLIM_INFINITY and soft < FILES:
        raise ResourceError(
            f"Ray needs at least {FILES:,} open files, but process {os.getpid()} may open {soft:,}; raise the limit "
            f"with ulimit -n {WANTED_FILES}"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
