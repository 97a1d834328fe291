"""The reaper: a small process that ends what a killed driver leaves of its own Ray.

Ray's daemons end with the driver, but its agents hold on for a minute more. They all inherit a mark from the driver.
When the driver is gone, however it went, its pipe to the reaper closes, and what still carries the mark is ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

MARK = "ARCHSIEVE_RAY_OF"
BETWEEN_S = 0.3  # a process that was just being started is seen at the next look
AT_MOST_S = 60


@contextlib.contextmanager
def reaped() -> Iterator[None]:
    """What is started inside, and its children, end at the latest with this process; needs Linux's /proc."""
    if not Path("/proc/self/environ").exists():
        yield
        return
    mark = uuid.uuid4().hex
    command = [sys.executable, "-I", "-S", __file__, mark]
    null = subprocess.DEVNULL
    # a session of its own: Ctrl-C in a terminal is not for it
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True):
        os.environ[MARK] = mark
        try:
            yield
        finally:
            os.environ.pop(MARK, None)


def marked(mark: str) -> list[int]:
    """The ids of the living processes that carry the mark."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if folder.name.isdigit() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def reap(mark: str) -> None:
    """End what carries the mark, until nothing does."""
    until = time.monotonic() + AT_MOST_S
    while (left := marked(mark)) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(BETWEEN_S)


if __name__ == "__main__":
    sys.stdin.read()  # until the driver closes its end, or is no more
    reap(sys.argv[1])
