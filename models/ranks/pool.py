"""The pool of ranks: the first rank starts the others as processes and keeps them between trainings."""

import contextlib
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore

from .errors import RankLostError, RankStartError
from .ranks import Ranks
from .shared_objects import share

START_TIMEOUT_S = 300  # until a process has imported torch and the process group has started
TIMEOUT_S = 600  # of one exchange between the ranks: the largest lead of one rank over another within an epoch
END_TIMEOUT_S = 5  # until a process that is asked to end is killed
ABORT_S = 30  # until a first rank that hangs in NCCL ends itself
POLL_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class RankSettings:
    """What a rank gets at its start.

    ``factory`` is called with its :class:`Ranks`, its device, the shared data and ``args``, and returns the object
    whose methods the first rank calls. ``threads`` are those of torch in one rank. ``data_fd`` is the descriptor of the
    shared data, or None.
    """

    rank: int
    size: int
    gpu: bool
    store: str
    threads: int
    sync_batch_norm: bool
    factory: Callable[..., Any]
    args: tuple[Any, ...]
    data_fd: int | None

    def prepare(self) -> torch.device:
        """Set the threads and the GPU of this process, and return its device."""
        torch.set_num_threads(self.threads)
        if not self.gpu:
            return torch.device("cpu")
        torch.cuda.set_device(self.rank)
        return torch.device("cuda", self.rank)

    def join(self) -> Ranks:
        """Join the process group, and return this rank. Raises :class:`RankStartError` with the reason."""
        # A file, not a port: every process of the machine could connect to a port.
        store = FileStore(self.store, self.size)
        backend = "nccl" if self.gpu else "gloo"
        try:
            with _loopback():
                dist.init_process_group(
                    backend, store=store, rank=self.rank, world_size=self.size, timeout=timedelta(seconds=TIMEOUT_S)
                )
                # the connections of a group start with the first exchange
                dist.all_reduce(torch.zeros(1, device="cuda" if self.gpu else "cpu"))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:400]
            raise RankStartError(
                f"{self.size} processes must be able to exchange gradients with {backend}, but its start failed: "
                f"{reason}; correct the cause (NCCL_DEBUG=INFO shows more), or set resources.gpus_per_trial to 1"
            ) from error
        return Ranks(self.rank, self.size, self.sync_batch_norm)


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Let the libraries listen on the loopback interface only: all ranks are on one machine."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    chosen = {} if loopback is None else {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    new = {name: value for name, value in chosen.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


class RankPool:
    """The ranks of this process: it is the first one, and the others are its child processes.

    The others end with this process, however it ends. Use it as a context manager, or call :meth:`close`. A process has
    at most one pool at a time, because it has one default process group. On Linux the thread that starts the pool must
    live as long as the pool.

    Args:
        size: Number of ranks, at least 2.
        gpu: Whether each rank has a GPU of its own; the first rank has the first one.
        threads: Threads of torch in each of the other ranks.
        factory: Makes the object of another rank, see :class:`RankSettings`; it must be importable.
        args: Further arguments of ``factory``.
        data: An object that the other ranks share, see :mod:`.shared_objects`.
        sync_batch_norm: See :class:`Ranks`.

    Raises:
        RankStartError: if a process or the process group does not start.
    """

    def __init__(
        self,
        size: int,
        factory: Callable[..., Any],
        args: tuple[Any, ...] = (),
        *,
        gpu: bool = False,
        threads: int = 1,
        data: Any = None,
        sync_batch_norm: bool = False,
    ) -> None:
        self._folder = tempfile.mkdtemp(prefix="archsieve-ranks-")  # mode 0700
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection] = []
        self._alive, self._alive_end = os.pipe()
        self._busy = threading.Event()
        self._closed = False
        self._gpu = gpu
        data_fd = None if data is None else share(data)
        store = str(Path(self._folder) / "store")
        fixed = (size, gpu, store, threads, sync_batch_norm, factory, args, data_fd)
        try:
            for rank in range(1, size):
                self._start_process(RankSettings(rank, *fixed))
            self._receive("ready", START_TIMEOUT_S)
            self.ranks = RankSettings(0, *fixed).join()
            self._receive("value", START_TIMEOUT_S)
        except BaseException as error:
            self._raise_cause(error)
        finally:
            if data_fd is not None:
                os.close(data_fd)
        if gpu:
            threading.Thread(target=self._watch, name="watch ranks", daemon=True).start()

    @property
    def pids(self) -> list[int]:
        """The process ids of the other ranks."""
        return [process.pid for process in self._processes]

    @property
    def is_open(self) -> bool:
        """Whether the ranks can work: not after :meth:`close`, nor after an error that only one rank had."""
        return not self._closed

    def call(self, method: str, *args: Any, here: Callable[[], T], kept: tuple[type[BaseException], ...] = ()) -> T:
        """Call ``method`` with ``args`` on the object of every other rank, and ``here`` in this one at the same time.

        Returns the result of ``here``. An exception of a type in ``kept`` is one that all ranks raise together, and
        the pool stays open. After any other one it is closed: raises that of the rank that failed first, or
        :class:`RankLostError` if a rank has ended without one.
        """
        try:
            message = pickle.dumps((method, args, kept))
            for connection in self._connections:
                connection.send_bytes(message)
        except OSError as error:
            self._raise_cause(RankLostError(str(error)))
        self._busy.set()
        try:
            result = here()
        except BaseException as error:
            if isinstance(error, RankLostError) or not isinstance(error, kept):
                self._raise_cause(error)
            self._finish()
            raise
        self._finish()
        return result

    def close(self) -> None:
        """End the other ranks and the process group. May be called twice."""
        if self._closed:
            return
        self._closed = True
        for connection in self._connections:
            connection.close()
        until = time.monotonic() + END_TIMEOUT_S
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))
        self._kill()
        for end in (self._alive, self._alive_end):
            os.close(end)
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):  # of a group whose other ranks have died
                dist.destroy_process_group()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "RankPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start_process(self, settings: RankSettings) -> None:
        ours, theirs = Pipe()
        fds = [theirs.fileno(), self._alive]
        passed = [*fds, *([] if settings.data_fd is None else [settings.data_fd])]
        # The package may be importable in this process only because of its sys.path.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        module = f"{__package__}.rank_process"
        self._connections.append(ours)
        with theirs:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, *map(str, fds)],
                    pass_fds=passed,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": path},
                )
            )
        ours.send_bytes(pickle.dumps(settings))

    def _finish(self) -> None:
        """Wait until every rank has answered."""
        try:
            self._receive("value")
        except BaseException as error:
            self._raise_cause(error)
        self._busy.clear()

    def _receive(self, kind: str, timeout_s: float | None = None) -> None:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        for rank, connection in enumerate(self._connections, start=1):
            while not connection.poll(POLL_S):
                if until is not None and time.monotonic() > until:
                    raise RankStartError(
                        f"a rank must start within {timeout_s:g} s, but rank {rank} did not; use fewer ranks on this "
                        "machine"
                    )
            try:
                received, value = pickle.loads(connection.recv_bytes())
            except (EOFError, OSError):
                raise RankLostError(self._how_ended(rank)) from None
            if received == "error":
                raise value
            assert received == kind

    def _raise_cause(self, error: BaseException) -> NoReturn:
        """Close the pool and raise the cause of ``error``: that of another rank if this one has only noticed it."""
        cause = error
        if isinstance(error, RankLostError):
            cause = self._cause_elsewhere() or error
        # They may wait for this rank and cannot read a request to end.
        self._kill()
        self.close()
        if cause is error:
            raise error
        raise cause from error

    def _cause_elsewhere(self) -> BaseException | None:
        """Return the error that another rank has sent, or how one has ended; None if neither is known."""
        ended: BaseException | None = None
        for rank, connection in enumerate(self._connections, start=1):
            try:
                while connection.poll(END_TIMEOUT_S):
                    received, value = pickle.loads(connection.recv_bytes())
                    cause: BaseException | None = value if received == "error" else None
                    if cause is not None and not isinstance(cause, RankLostError):
                        return cause
            except (EOFError, OSError):
                how = self._how_ended(rank)
                ended = ended if ended is not None or how.endswith("exit code 1") else RankLostError(how)
        return ended

    def _how_ended(self, rank: int) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._processes[rank - 1].wait(END_TIMEOUT_S)
        code = self._processes[rank - 1].returncode
        if code is None:
            how = "does not answer"
        else:
            how = f"ended with signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"rank {rank} of {len(self._processes) + 1}, process {self._processes[rank - 1].pid}, {how}"

    def _kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _watch(self) -> None:
        """End a wait for a GPU that never ends because another rank has died: NCCL does not notice it by itself."""
        while not self._closed:
            time.sleep(POLL_S)
            if self._busy.is_set() and any(process.poll() is not None for process in self._processes):
                dist.distributed_c10d._abort_process_group()
                time.sleep(ABORT_S)
                if self.is_open:
                    os._exit(1)  # as if this process had died: the trial continues from its checkpoint
                return
