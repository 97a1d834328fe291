"""The process of a rank other than the first: ``python -m archsieve.models.ranks.rank_process FD FD``.

It makes one object, calls the methods that the first rank asks for, and ends with it.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

PR_SET_PDEATHSIG = 1  # of prctl(2)


def main(connection_fd: int, alive_fd: int) -> None:
    """Serve the first rank over the socket ``connection_fd`` until it closes the pipe ``alive_fd``."""
    end_with_parent(alive_fd)
    connection = Connection(connection_fd)
    try:
        served = _make(connection)
        while True:
            _answer(connection, served)
    except (EOFError, ConnectionError):
        return  # the first rank has closed the connection
    except _RankFailedError:
        # Without a normal end: threads of the process group may wait for other ranks. The open sockets close now, so
        # that the other ranks fail, too, instead of waiting for this one.
        os._exit(1)


class _RankFailedError(Exception):
    """The error of this rank has been sent, and the process ends."""


def _make(connection: Connection) -> Any:
    from .shared_objects import shared

    try:
        settings = pickle.loads(connection.recv_bytes())
        data = None if settings.data_fd is None else shared(settings.data_fd)
        device = settings.prepare()
        connection.send_bytes(pickle.dumps(("ready", None)))
        ranks = settings.join()
        served = settings.factory(ranks, device, data, *settings.args)
    except Exception as error:
        _send_error(connection, error)
    connection.send_bytes(pickle.dumps(("value", None)))
    return served


def _answer(connection: Connection, served: Any) -> None:
    method, arguments, kept = pickle.loads(connection.recv_bytes())
    try:
        getattr(served, method)(*arguments)
    except kept:
        pass  # the first rank has raised the same error
    except BaseException as error:
        _send_error(connection, error)
    connection.send_bytes(pickle.dumps(("value", None)))


def _send_error(connection: Connection, error: BaseException) -> None:
    try:
        message = pickle.dumps(("error", error))
        pickle.loads(message)  # some errors can be pickled, but not restored
    except Exception:
        message = pickle.dumps(("error", RuntimeError(f"{type(error).__name__}: {error}")))
    with contextlib.suppress(OSError):
        connection.send_bytes(message)
    raise _RankFailedError from error


def end_with_parent(alive_fd: int) -> None:
    """Let this process end as soon as its parent ends, however that happens.

    On Linux the kernel kills it. Elsewhere, and if the parent has ended before that was set, a thread sees that the
    pipe ``alive_fd`` is closed, because the parent has its only other end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait() -> None:
        os.read(alive_fd, 1)
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first rank decides
    main(*map(int, sys.argv[1:]))
