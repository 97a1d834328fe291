"""Bounds of the memory that decoding takes: of one image, and of all threads together."""

import ctypes
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Pillow takes 4 bytes for a pixel, and up to 8 more while an image with alpha or more than 8 bits is converted: at most
# 1.2 GB for one image, and for all that are decoded at once.
MAX_PIXELS = 100_000_000
MAX_PIXELS_AT_ONCE = 100_000_000
LARGE = 8_000_000  # pixels of an image whose memory is returned to the system at once


class PixelGate:
    """Lets threads decode at the same time while their images have at most ``limit`` pixels together.

    An image of more than ``limit`` pixels is decoded alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._pixels = limit, 0
        self._changed = threading.Condition()

    @contextmanager
    def enter(self, pixels: int) -> Iterator[None]:
        """Wait until an image of ``pixels`` pixels may be decoded, and count it inside the ``with`` block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pixels or self._pixels + pixels <= self._limit)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()


def release_memory() -> None:
    """Return the free memory of all threads to the system, with the C library of GNU; elsewhere do nothing.

    It would keep up to 32 MB blocks of each large image for the thread that decoded it, so that eight threads hold the
    memory of eight images although only one is decoded at a time.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


class QuietPillow:
    """Ignores the warnings of Pillow, for all threads, while at least one of them is inside ``with``.

    Pillow warns of damaged metadata and of sizes, which decoding checks itself. ``warnings.catch_warnings`` alone is
    not safe with threads: the last to leave would restore the filters that another one has set.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)
