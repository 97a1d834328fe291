"""Budgets: hard limits on what an architecture may cost, written with units."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from ..parameters.lookup import unknown

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES = {
    **{f"{unit}B": factor for unit, factor in _DECIMAL.items()},
    **{f"{unit}iB": 1024**power for power, unit in enumerate(["", "K", "M", "G", "T"]) if unit},
}
LATENCY = "latency_ns"  # predicted latency as a cost that adds up over the layers

_NUMBER = re.compile(r"(?P<digits>\d+(?:\.\d+)?(?:[eE]\+?\d+)?)(?P<unit>[A-Za-z]*)")


class Priced(Protocol):
    """Anything with the four costs a budget may limit."""

    @property
    def params(self) -> int: ...
    @property
    def macs(self) -> int: ...
    @property
    def activations(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...


def parse_count(value: int | float | str, what: str, *, in_bytes: bool = False) -> int:
    """The whole number that ``value`` writes: 5000000, "5M", "2.5k", "1e6"; with ``in_bytes`` also "2GB" and "512MiB".

    k, M, G and T are powers of 1,000; KiB, MiB, GiB and TiB powers of 1,024. "5m" is refused: it could be milli.
    """
    units = {**_DECIMAL, **(_BYTES if in_bytes else {})}
    forms = '"2GB", "512MiB"' if in_bytes else '"60k", "5M", "1.2G"'
    rule = f"{what} must be a whole number of at least 0, written like 60000 or {forms}"
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.replace("_", "").replace(",", ""))
        if match is None or match["unit"] not in units:
            near = match is not None and next((u for u in units if u.lower() == match["unit"].lower()), None)
            hint = f'; did you mean "{match["digits"]}{near}"?' if match and near else ""
            raise ValueError(f"{rule}, but got {value!r}{hint}")
        found = _exact(match["digits"], units[match["unit"]])
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        found = None
    else:
        found = int(value) if value == int(value) else None
    if found is None or found < 0:
        raise ValueError(f"{rule}, but got {value!r}")
    return found


def _exact(digits: str, factor: int) -> int | None:
    """``digits * factor`` without the rounding of floating point; None where that is no whole number."""
    from fractions import Fraction

    exact = Fraction(digits) * factor
    return int(exact) if exact.denominator == 1 else None


def format_count(value: float) -> str:
    """``value`` with three significant digits and a unit: 59.9k, 6.00M, 412."""
    for unit, factor in reversed(_DECIMAL.items()):
        if unit and abs(value) >= factor * 0.9995:
            scaled = value / factor
            return f"{scaled:.{max(0, 2 - int(math.log10(abs(scaled)) + 1e-9))}f}{unit}"
    return f"{value:g}"


def spelled(name: str, value: int, sign: str = "", form: str = ",") -> str:
    """A cost in words: ``params 60,000``, ``predicted latency_ms <= 2.5``."""
    name, said = (name, f"{value:{form}}") if name != LATENCY else ("predicted latency_ms", f"{value / 1e6:.4g}")
    return f"{name} {sign} {said}" if sign else f"{name} {said}"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits that no proposed architecture may break; ``None`` is no limit.

    ``params`` are trainable parameters, ``macs`` multiply-accumulates of convolutions and linear layers at batch 1,
    ``activations`` elements in the outputs of those layers at batch 1, ``memory_bytes`` predicted training memory.
    The ``min_`` twins are lower bounds. Strings carry units: ``Budget(params="60k", macs="6M", memory_bytes="2GB")``.

    ``latency_ms`` limits the median time of a forward pass. It has no closed form: :meth:`limits` and :meth:`allows`
    leave it out; a search predicts it before training and measures it afterwards (:meth:`in_time`).
    """

    params: int | None = None
    macs: int | None = None
    activations: int | None = None
    memory_bytes: int | None = None
    min_params: int | None = None
    min_macs: int | None = None
    min_activations: int | None = None
    min_memory_bytes: int | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "latency_ms":
                check_latency(value, "budget.latency_ms")
            elif value is not None:
                parsed = parse_count(value, f"budget.{f.name}", in_bytes=f.name.endswith("memory_bytes"))
                object.__setattr__(self, f.name, parsed)
        for name, (low, high) in self.limits().items():
            if high is not None and low > high:
                raise ValueError(f"budget.min_{name} <= budget.{name} must hold, but got {low} and {high}")

    @classmethod
    def of(cls, limits: Mapping[str, Any]) -> "Budget":
        """The budget of a search file's table; an unknown key is refused, the nearest named."""
        known = {f.name for f in fields(cls)}
        for name in limits:
            if name not in known:
                raise ValueError(f"budget.{name}: {unknown('budget key', name, known)}")
        return cls(**limits)

    def limits(self) -> dict[str, tuple[int, int | None]]:
        """``(at least, at most)`` by cost name, for the costs of closed form that are limited at all."""
        names = ("params", "macs", "activations", "memory_bytes")
        pairs = {name: (getattr(self, f"min_{name}"), getattr(self, name)) for name in names}
        return {name: (low or 0, high) for name, (low, high) in pairs.items() if (low, high) != (None, None)}

    def allows(self, cost: Priced) -> bool:
        """Whether ``cost`` lies inside every limit."""
        return all(
            low <= getattr(cost, name) and (high is None or getattr(cost, name) <= high)
            for name, (low, high) in self.limits().items()
        )

    def broken(self, cost: Priced) -> list[str]:
        """One phrase for each limit that ``cost`` breaks: ``params 61,000 > 60,000``."""
        phrases = []
        for name, (low, high) in self.limits().items():
            value = getattr(cost, name)
            if value < low:
                phrases.append(f"{name} {value:,} < {low:,}")
            elif high is not None and value > high:
                phrases.append(f"{name} {value:,} > {high:,}")
        return phrases

    @property
    def latency_ns(self) -> int | None:
        """The limit of the latency in whole nanoseconds."""
        return None if self.latency_ms is None else int(1e6 * self.latency_ms)

    def in_time(self, latency_ms: float | None) -> bool:
        """Whether a measured latency keeps the limit; where there is one, what was not measured does not."""
        return self.latency_ms is None or (latency_ms is not None and latency_ms <= self.latency_ms)

    def __str__(self) -> str:
        pairs = self.limits().items()
        highs = [f"{name} <= {format_count(high)}" for name, (_, high) in pairs if high is not None]
        lows = [f"{name} >= {format_count(low)}" for name, (low, _) in pairs if low]
        timed = [f"latency_ms <= {self.latency_ms:g} as measured"] if self.latency_ms is not None else []
        return " and ".join(highs + lows + timed) or "no limit"


def check_latency(value: Any, what: str) -> None:
    """Raise where ``value`` is no limit of milliseconds; None is no limit."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and math.isfinite(value) and value > 0):
        raise ValueError(f"{what} must be a number of milliseconds above 0, as in 2.5, but got {value!r}")
