"""The rules by which an image file becomes pixels, as a value."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from .errors import DataError

RULES: Final = 2  # the current version of the rules
RESIZES = ("crop", "pad", "stretch")
INTERPOLATIONS = ("bilinear", "bicubic")
ON_BAD = ("error", "skip")  # what happens with an image that cannot be decoded
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Decoding:
    """How an image file becomes pixels, uint8 (``channels``, ``image_size``, ``image_size``).

    ``resize``: "crop" resizes the shorter side and crops the middle, "pad" resizes the longer side and fills the rest
    with ``background``, "stretch" resizes both sides. ``interpolation`` is "bilinear" or "bicubic", both averaged over
    the pixels that become one. ``crop_pct`` is the share of the shorter side that "crop" keeps, as in timm: the shorter
    side is resized to floor(``image_size`` / ``crop_pct``) pixels. ``background`` is an RGB colour; transparency shows
    it.
    ``value_range`` (low, high) becomes 0 to 255 where the values are float or integers of more than 8 bits; None is the
    range of their type, and [0, 1] for float. ``rules`` is 2, or 1 for exactly the pixels of version 0.1.0.

    Raises :class:`DataError` for values that cannot work.
    """

    image_size: int
    channels: int = 3
    resize: str = "crop"
    background: tuple[int, int, int] = WHITE
    value_range: tuple[float, float] | None = None
    rules: int = RULES
    interpolation: str = INTERPOLATIONS[0]
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        if type(self.image_size) is not int or self.image_size < 1:
            raise DataError(
                f"image_size must be a whole number of pixels of at least 1, but got {self.image_size!r}; use 64, for "
                "example"
            )
        for name, allowed in (
            ("channels", (1, 3)),
            ("resize", RESIZES),
            ("rules", (1, RULES)),
            ("interpolation", INTERPOLATIONS),
        ):
            if (value := getattr(self, name)) not in allowed:
                raise DataError(
                    f"{name} must be one of {', '.join(map(str, allowed))}, but got {value!r}; use {allowed[0]!r}"
                )
        # JSON and TOML have lists and no tuples
        object.__setattr__(self, "background", check_background(self.background))
        object.__setattr__(self, "value_range", check_value_range(self.value_range))
        object.__setattr__(self, "crop_pct", check_crop_pct(self.crop_pct))
        if self.resize != "crop" and self.crop_pct != 1:
            raise DataError(
                f'crop_pct needs resize = "crop", but got crop_pct {self.crop_pct} and resize {self.resize!r}; leave '
                "crop_pct out"
            )
        options = self.resize, self.background, self.value_range, self.interpolation, self.crop_pct
        if self.rules == 1 and options != ("crop", WHITE, None, INTERPOLATIONS[0], 1.0):
            raise DataError(
                "decoding_rules = 1 gives the pixels of version 0.1.0, which has no resize, background, value_range, "
                f"interpolation or crop_pct, but got {', '.join(map(repr, options))}; leave them out, or use "
                "decoding_rules = 2"
            )

    @property
    def resized_side(self) -> int:
        """The pixels of the shorter side before "crop" cuts the middle out."""
        # the small number undoes the rounding of shares such as 224 / 232 to six digits
        return self.image_size if self.crop_pct == 1 else math.floor(self.image_size / self.crop_pct + 1e-3)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON, without the default interpolation and the default crop_pct.

        Hashes and names of cache files depend on the result. They are those of the versions before these options.
        """
        form = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        if self.interpolation == INTERPOLATIONS[0]:
            del form["interpolation"]
        if self.crop_pct == 1:
            del form["crop_pct"]
        return form

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> "Decoding":
        """Return the decoding of :meth:`to_json`. Raises :class:`DataError` for an unknown or a missing key."""
        known = {field.name for field in fields(cls)}
        if (unknown := sorted(set(form) - known)) or "image_size" not in form:
            raise DataError(
                f"a decoding must have image_size and only the keys {', '.join(sorted(known))}, but got "
                f"{unknown or sorted(form)}; use a file of this version of archsieve"
            )
        return cls(**form)


def check_background(color: object) -> tuple[int, int, int]:
    """Return an RGB colour as a tuple. Raises :class:`DataError` if it is not three whole numbers in 0..255."""
    if isinstance(color, tuple | list) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color):
        red, green, blue = color
        return red, green, blue
    raise DataError(
        f"background must be three whole numbers from 0 to 255, but got {color!r}; use [255, 255, 255] for white"
    )


def check_value_range(limits: object) -> tuple[float, float] | None:
    """Return (low, high) as a tuple. Raises :class:`DataError` unless low < high, both finite; None stays None."""
    if limits is None:
        return None
    if isinstance(limits, tuple | list) and len(limits) == 2 and all(_is_number(limit) for limit in limits):
        low, high = (float(limit) for limit in limits)
        if low < high:
            return low, high
    raise DataError(f"value_range must be two numbers, low < high, but got {limits!r}; use [0, 4095] for 12-bit data")


def check_crop_pct(value: object) -> float:
    """Return the share of a side as a float. Raises :class:`DataError` unless it is above 0 and at most 1."""
    if _is_number(value) and 0 < value <= 1:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise DataError(f"crop_pct must be a number above 0 and at most 1, but got {value!r}; use 0.875, for example")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
