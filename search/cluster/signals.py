"""Signals that stop a run resumably: handled for a while, in the main thread, where Python lets one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def handled(by: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Let ``by`` hear them inside; in another thread than the main one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, by) for number in STOPPED_BY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """One that comes inside is heard afterwards."""
    came: list[int] = []
    with handled(lambda number, frame: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])
