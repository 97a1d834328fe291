"""Signals that stop a run resumably. Python allows signal handlers in the main thread only."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


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
    """Defer a signal that arrives inside the block until its end."""
    deferred: list[int] = []
    with handle_signals(lambda number, frame: deferred.append(number)):
        yield
    if deferred:
        _handle_now(deferred[0])


def _handle_now(number: int) -> None:
    """Call the handler of signal ``number``, or raise the signal if its default action applies.

    Not always by raising: Python then runs the handler a few instructions later, perhaps inside a destructor, which
    swallows the exception of the handler.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, None)
    else:
        signal.raise_signal(number)
