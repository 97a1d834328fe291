"""The watch over Ray's own processes: when one dies, the run ends with a message that states how to resume it.

Ray itself would end this process without a message, after up to a minute. Until then its calls may hang in native code,
so a thread watches: it first asks the run to stop, then interrupts the main thread, and at last ends the process.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ...results.database.errors import StoreError
from .errors import RayLostError

RESUMABLE = 75  # exit code; EX_TEMPFAIL of sysexits.h
CHECK_S = 0.5
INTERRUPT_AFTER_S = 5.0  # after the death: time for the run to stop by itself
EXIT_AFTER_S = 20.0  # after the death; Ray would end the process after 60 s
CLUSTER_CHECK_S = 5.0
CLUSTER_FAILURES = 6  # consecutive failed connections: a short interruption of the network is not a death
_WATCHED = {"raylet": "node manager (raylet)", "gcs_server": "state server (GCS)"}


def ray_death(run: str) -> RayLostError | None:
    """Return the error of a local Ray with a dead process; None if all run, or if Ray is not local.

    ``run`` is the name of the run in the error's advice.
    """
    if dead := _dead_processes():
        return _error(f"on this machine these have ended: {', '.join(dead)}", run)
    return None


def _dead_processes() -> list[str]:
    node = _node()
    processes = [] if node is None else node.dead_processes()
    return [f"{_WATCHED[name]}, {_how(one.returncode)}" for name, one in processes if name in _WATCHED]


def _node() -> Any:
    """Return Ray's record of the processes that this process has started; None without a running Ray."""
    worker = sys.modules.get("ray._private.worker")
    return None if worker is None else worker._global_node


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def _error(facts: str, run: str) -> RayLostError:
    return RayLostError(
        f"Ray's own processes must run during a search, but {facts}; finished epochs are saved; check whether memory "
        f"was short, then continue the run with: archsieve resume {run}"
    )


class RayWatch:
    """Watches Ray while :meth:`active` is entered; ``on_death`` is called in another thread, once."""

    def __init__(self, run: str, on_death: Callable[[RayLostError], object]) -> None:
        self.run = run
        self.error: RayLostError | None = None
        self._on_death = on_death
        self._active, self._left = threading.Event(), threading.Event()
        self._main = threading.current_thread() is threading.main_thread()
        self._failures, self._cluster_checked_at = 0, time.monotonic()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Watch inside the block. Ray's own start and end, when its processes come and go, are outside."""
        self._active.set()
        try:
            yield
        finally:
            self.error = self.error or ray_death(self.run)  # not yet noticed by the thread
            self._active.clear()

    def loop(self) -> None:
        """Watch until the end of :func:`watch_ray`."""
        while not self._left.wait(CHECK_S):
            if self._active.is_set() and self.error is None:
                self.error = ray_death(self.run) or self._cluster_death()
                if self.error is not None:
                    self._end(self.error)
                    return

    def leave(self) -> None:
        """End the thread."""
        self._left.set()

    def _cluster_death(self) -> RayLostError | None:
        """Return the error of a cluster whose state server has not accepted connections for a while."""
        node = _node()
        if node is None or node.head or time.monotonic() - self._cluster_checked_at < CLUSTER_CHECK_S:
            return None
        host, _, port = node.gcs_address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CLUSTER_CHECK_S).close()
            self._failures = 0
        except OSError as error:
            self._failures += 1
            if self._failures >= CLUSTER_FAILURES:
                return _error(f"the cluster's state server at {node.gcs_address} does not answer ({error})", self.run)
        self._cluster_checked_at = time.monotonic()
        return None

    def _end(self, error: RayLostError) -> None:
        self._on_death(error)
        if not self._left.wait(INTERRUPT_AFTER_S) and self._main:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if not self._left.wait(EXIT_AFTER_S - INTERRUPT_AFTER_S):
            sys.stderr.write(f"\narchsieve: {error}\n")
            sys.stderr.flush()
            os._exit(RESUMABLE)  # the main thread hangs in native code of Ray, where no exception reaches it


@contextlib.contextmanager
def watch_ray(run: str, on_death: Callable[[RayLostError], object]) -> Iterator[RayWatch]:
    """Provide a watch for the run ``run``.

    Raises :class:`RayLostError` in place of the errors that follow from a death of Ray.
    """
    watch = RayWatch(run, on_death)
    threading.Thread(target=watch.loop, name="ray-watch", daemon=True).start()
    try:
        yield watch
    except StoreError:
        raise  # has another cause
    except BaseException as error:
        if watch.error is None or watch.error is error:
            raise
        raise watch.error from error
    finally:
        watch.leave()
