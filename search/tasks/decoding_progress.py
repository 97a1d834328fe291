"""The progress of decoding a data set, as lines on stderr."""

import sys
import time


class DecodingProgress:
    """Print how many images are decoded, how many a second, and the remaining time.

    The first line comes ``first_after_s`` seconds after the first image, so that a small data set prints none; then one
    follows every ``every_s`` seconds, and one for the last image.
    """

    def __init__(self, first_after_s: float = 2.0, every_s: float = 5.0) -> None:
        self._started: float | None = None
        self._next, self._printed = first_after_s, False
        self._every_s = every_s

    def __call__(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` images are decoded."""
        if self._started is None:
            self._started = time.monotonic()
        elapsed = time.monotonic() - self._started
        if elapsed < self._next and not (done == total and self._printed):
            return
        rate = done / elapsed if elapsed else 0.0
        left = f"{(total - done) / rate:,.0f} s left" if done < total and rate else "done"
        print(f"decoding images: {done:,} of {total:,}, {rate:,.0f} a second, {left}", file=sys.stderr)
        self._next, self._printed = elapsed + self._every_s, True
