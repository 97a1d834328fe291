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
        signal.raise_signal(deferred[0])
