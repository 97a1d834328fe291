"""The reaper: a small process that ends what a killed driver leaves of its own Ray.

Ray's daemons end with the driver, but its agents hold on for a minute more. They all inherit a mark from the driver,
and those that write their title over their environment, and the mark with it, have files of the driver's Ray session
open, which is named by when it began and by the driver's process id. When the driver is gone, however it went, its pipe
to the reaper closes, and what is left of either is ended.
"""

# Only the standard library, so /proc is read by hand: the process runs this file alone with -I -S,
# which has no site-packages. It must end Ray even when an installed package is broken.
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

MARK = "ARCHSIEVE_RAY_OF"
BETWEEN_S = 0.3  # a process that was just being started is seen in the next scan
AT_MOST_S = 60


@contextlib.contextmanager
def reaped() -> Iterator[None]:
    """What is started inside, and its children, end at the latest with this process; needs Linux's /proc."""
    if not Path("/proc/self/environ").exists():
        yield
        return
    mark, since = uuid.uuid4().hex, f"{datetime.now():session_%Y-%m-%d_%H-%M-%S}"
    command = [sys.executable, "-I", "-S", __file__, mark, since, str(os.getpid())]
    null = subprocess.DEVNULL
    # a session of its own: Ctrl-C in a terminal is not for it
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True):
        os.environ[MARK] = mark
        try:
            yield
        finally:
            os.environ.pop(MARK, None)


def left_of(mark: str, since: str, driver: int) -> list[int]:
    """The ids of the living processes that carry the mark, or are workers and agents of the Ray ``driver`` started."""
    found = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [pid for pid in found if pid != os.getpid() and (carries(pid, mark) or serves(pid, since, driver))]


def carries(pid: int, mark: str) -> bool:
    """Whether the process has the mark in its environment."""
    with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def serves(pid: int, since: str, driver: int) -> bool:
    """Whether the process has a title of Ray's, and a file open in the folder of a session that the driver began.

    A Ray that somebody started earlier, by a process that had the driver's id, has an earlier name than ``since``.
    """
    with contextlib.suppress(OSError):
        process = Path(f"/proc/{pid}")
        return (process / "cmdline").read_bytes().startswith(b"ray::") and any(
            part >= since and part.startswith("session_") and part.endswith(f"_{driver}")
            for link in (process / "fd").iterdir()
            for part in link.readlink().parts
        )
    return False


def reap(mark: str, since: str, driver: int) -> None:
    """End what is left of the driver's Ray, until nothing is."""
    until = time.monotonic() + AT_MOST_S
    while (left := left_of(mark, since, driver)) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(BETWEEN_S)


if __name__ == "__main__":
    sys.stdin.read()  # until the driver closes its end, or is no more
    reap(sys.argv[1], sys.argv[2], int(sys.argv[3]))
