"""The reaper: a small process that kills the remaining processes of a dead driver's Ray.

Ray's daemons end with the driver, but its agents stay for another minute. The reaper finds both kinds in two ways:

- All of them inherit a mark in their environment from the driver.
- Some overwrite their environment, and so the mark, with their title. Those have files of the driver's Ray session
  open. The session folder is named after its start time and the driver's process id.

The driver holds a pipe to the reaper. When the driver ends, for any reason, the pipe closes, and the reaper kills the
remaining processes. Then it removes the folder of the driver's Ray.
"""

# Only the standard library, so /proc is read by hand: the process runs this file alone with -I -S,
# which has no site-packages. It must end Ray even when an installed package is broken.
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

MARK = "ARCHSIEVE_RAY_OF"
SCAN_INTERVAL_S = 0.3  # a process that was just starting during one scan is found by the next one
TIMEOUT_S = 60


@contextlib.contextmanager
def reap_on_exit(folder: Path | None = None) -> Iterator[None]:
    """Kill what starts inside the block, and its children, at the latest when this process ends.

    ``folder`` is Ray's folder in a folder of its own; both are removed then.

    Needs Linux's /proc; without it, nothing is killed.
    """
    if not Path("/proc/self/environ").exists():
        yield
        return
    mark, since = uuid.uuid4().hex, f"{datetime.now():session_%Y-%m-%d_%H-%M-%S}"
    command = [sys.executable, "-I", "-S", __file__, mark, since, str(os.getpid()), str(folder or "")]
    null = subprocess.DEVNULL
    # A new session, so that Ctrl-C in a terminal does not end the reaper together with the driver.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True):
        os.environ[MARK] = mark
        try:
            yield
        finally:
            os.environ.pop(MARK, None)


def remaining_processes(mark: str, since: str, driver: int) -> list[int]:
    """Return the ids of the processes that carry the mark, or work for the Ray that process ``driver`` started."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and (has_mark(pid, mark) or serves_ray(pid, since, driver))]


def has_mark(pid: int, mark: str) -> bool:
    """Return whether the process has the mark in its environment."""
    with contextlib.suppress(OSError):  # it has ended in the meantime, or belongs to another user
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def serves_ray(pid: int, since: str, driver: int) -> bool:
    """Return whether the process has a title of Ray and an open file in a session folder of the driver.

    Session names start with the start time. A Ray that an earlier process with the same id started has a name earlier
    than ``since`` and does not match.
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
    """Kill the remaining processes of the driver's Ray until none is left, for at most ``TIMEOUT_S`` seconds."""
    until = time.monotonic() + TIMEOUT_S
    while (pids := remaining_processes(mark, since, driver)) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(SCAN_INTERVAL_S)


if __name__ == "__main__":
    sys.stdin.read()  # returns when the driver closes its end of the pipe, or dies
    reap(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    if sys.argv[4]:
        shutil.rmtree(sys.argv[4], ignore_errors=True)
        shutil.rmtree(Path(sys.argv[4]).parent, ignore_errors=True)  # the lock of a dead driver remains until here
