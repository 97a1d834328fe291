"""What decoding sees in the images of a data set: odd sizes, ranges that are not used, and images without content."""

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decoding_rules import Decoding

SMALL_PART = 0.25  # a crop that keeps less than this fraction of an image is noted
UNUSED_RANGE = 1 / 8  # integers whose largest value is below this fraction of the range of their type are noted


@dataclass(frozen=True)
class ImageFacts:
    """What is known of one image after it was decoded.

    ``size``: width and height of the file in pixels. ``kept``: the fraction of its area that the result shows.
    ``used_range``: the largest value as a fraction of the range of its type, for integers of 16 bits; else None.
    """

    size: tuple[int, int]
    kept: float = 1.0
    used_range: float | None = None


@dataclass
class Observations:
    """Counts over the images of a data set, all splits together, for :meth:`notes`.

    They are JSON (:meth:`to_json`), because a cache of pixels keeps them for runs that decode nothing.
    """

    n: int = 0
    n_constant: int = 0
    constant: str = ""
    n_small_part: int = 0
    smallest_part: float = 1.0
    small_part: str = ""
    n_deep: int = 0
    used_range: float = 0.0
    checksum: int | None = None
    identical: bool = True

    def add(self, pixels: NDArray[np.uint8], facts: ImageFacts, name: str) -> None:
        """Count one image: its decoded ``pixels`` (C, S, S), its facts, and the name of its file."""
        self.n += 1
        checksum = zlib.crc32(np.ascontiguousarray(pixels).data)
        self.checksum = checksum if self.checksum is None else self.checksum
        self.identical &= checksum == self.checksum
        if is_constant(pixels):
            self.n_constant += 1
            self.constant = min(self.constant or name, name)
        if facts.kept < SMALL_PART:
            self.n_small_part += 1
            self.smallest_part, self.small_part = min((facts.kept, name), (self.smallest_part, self.small_part))
        if facts.used_range is not None:
            self.n_deep += 1
            self.used_range = max(self.used_range, facts.used_range)

    def notes(self, decoding: Decoding) -> tuple[str, ...]:
        """Return what a user should know before training on these images, a sentence each with its numbers."""
        notes = []
        if self.n > 1 and self.identical:
            notes.append(f"all {self.n:,} images are identical after decoding; no network can tell them apart")
        elif self.n_constant:
            notes.append(
                f"{self.n_constant:,} of {self.n:,} images have a single colour after decoding, for example "
                f"{self.constant}"
            )
        if self.n_small_part:
            notes.append(
                f"{self.n_small_part:,} of {self.n:,} images lose more than {1 - SMALL_PART:.0%} of their area by "
                f'cropping; {self.small_part} keeps {self.smallest_part:.1%}; set resize = "pad" or "stretch" to '
                "keep the whole image"
            )
        if self.n_deep and self.used_range < UNUSED_RANGE:
            highest = round(self.used_range * 65535)
            notes.append(
                f"{self.n_deep:,} of {self.n:,} images have 16 bits, but their largest value is {highest:,} of 65,535, "
                f"so that at most {round(self.used_range * 255) + 1} of 256 levels are used; set value_range, for "
                f"example value_range = [0, {_full_scale(highest)}]"
            )
        return tuple(notes)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> "Observations":
        """Return the observations of :meth:`to_json`."""
        return cls(**form)


def _full_scale(value: int) -> int:
    """Return the largest value of 8, 10, 12 or 14 bits that hold ``value``: sensors have an even number of bits."""
    return int(2 ** max(8, 2 * -(-value.bit_length() // 2)) - 1)


def is_constant(pixels: NDArray[np.uint8]) -> bool:
    """Return whether an image (C, S, S) has a single colour."""
    return bool((pixels == pixels[:, :1, :1]).all())
