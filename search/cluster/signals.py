"""Signals that stop a run resumably. Python allows signal handlers in the main thread only."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
INTERRUPTED = 128 + signal.SIGINT  # exit code, as in shells
NOTHING_STARTED = "nothing was started"
_advice = ""  # what the user must know if this process is interrupted now


def advise(text: str) -> None:
    """Set what the message of an interruption states from now on, such as how to continue."""
    global _advice
    _advice = text


def interruption() -> str:
    """Return the message of an interruption at this moment."""
    return f"interrupted; {_advice}" if _advice else "interrupted"


def exit_on_interrupt() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt``, but end the process at once while a module is imported.

    An exception inside the import of a native module, such as torch, can abort the process with a crash.
    Nothing is installed where the parent process ignores Ctrl-C, as for background jobs of a shell.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _imports(frame):
            os.write(2, f"archsieve: {interruption()}\n".encode())
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def _imports(frame: FrameType | None) -> bool:
    """Return whether an import is in progress in ``frame`` or one of its callers."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle the stop signals with ``handler`` inside the block; do nothing in a thread other than the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, previous_handler in previous.items():
            signal.signal(number, previous_handler)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Defer the signals that arrive inside the block until its end."""
    deferred: list[int] = []
    with handle_signals(lambda number, frame: deferred.append(number)):
        yield
    for number in deferred[:2]:  # the second one interrupts immediately
        signal.raise_signal(number)
