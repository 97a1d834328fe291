"""The machine: what must be there before a run begins, told with numbers."""

import os
import shutil
import sys
from pathlib import Path

from .ray_runtime import ResourceError

DISK_BYTES = 256 * 2**20  # a run's database, checkpoints and log, and Ray's own session
SHARED_BYTES = 64 * 2**20  # /dev/shm of a container that was started without a thought
FILES = 1024  # Ray opens hundreds, each worker some dozens
WANTED_FILES = 65_536  # what Ray asks for


def check_machine(folder: Path, *, elsewhere: bool = False) -> None:
    """Raise :class:`ResourceError` where a run below ``folder`` would end on its way.

    ``elsewhere`` the trials run on a cluster, whose memory and files are not this machine's. Where more files may be
    open than are, as many as Ray asks for are allowed.
    """
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(nearest).free
    if free < DISK_BYTES:
        raise ResourceError(
            f"a run takes {_mib(DISK_BYTES)} of disk at least, but {_mib(free)} are free at {nearest.absolute()}; free "
            "some, or name another place with --runs"
        )
    if not elsewhere and sys.platform == "linux":
        _check_shared()
    if not elsewhere and sys.platform != "win32":
        _check_files()


def _check_shared() -> None:
    shared = Path("/dev/shm")
    if not shared.exists():
        return  # Ray takes the disk instead
    size = shutil.disk_usage(shared).total
    if size < SHARED_BYTES:
        raise ResourceError(
            f"Ray shares the data through /dev/shm, which must hold {_mib(SHARED_BYTES)} at least, but holds "
            f"{_mib(size)}; start the container with --shm-size=1g"
        )


def _check_files() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft != resource.RLIM_INFINITY and soft < FILES:
        raise ResourceError(
            f"Ray opens hundreds of files, and {FILES:,} must be allowed, but {soft:,} are (process {os.getpid()}); "
            f"raise the limit: ulimit -n {WANTED_FILES}"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
