"""Budgets: hard limits on the cost of an architecture, with units such as "60k" and "2GB"."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from ..parameters.lookup import look_up, unknown
from .device_cost import DEFAULT_PRECISION, PRECISIONS

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES = {
    **{f"{unit}B": factor for unit, factor in _DECIMAL.items()},
    **{f"{unit}iB": 1024**power for power, unit in enumerate(["", "K", "M", "G", "T"]) if unit},
}
LATENCY = "latency_ns"  # name of the predicted latency, in nanoseconds, among the costs of a constrained space
RAM, FLASH = "ram_bytes", "flash_bytes"  # names of the costs on a device

# An exponent of at most three digits, because the number is computed exactly: 1e999999999 would fill the memory.
_NUMBER = re.compile(r"(?P<digits>(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?(?:[eE]\+?\d{1,3})?)(?P<unit>[A-Za-z]*)")
_AMBIGUOUS = re.compile(r"\d{1,3}\.\d{3}B?")  # 1.000 is one thousand in many countries


class HasCosts(Protocol):
    """An object with the four costs of closed form that a budget can limit."""

    @property
    def params(self) -> int: ...
    @property
    def macs(self) -> int: ...
    @property
    def activations(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...


BYTES = ("memory_bytes", "ram", "flash")  # ends of the names of limits in bytes
_MAX_DIGITS = 100  # of a count; Python refuses to read a number of 4,300 digits


def parse_count(value: int | float | str, what: str, *, in_bytes: bool = False) -> int:
    """Parse a non-negative integer: 5000000, "5M", "2.5k", "1e6"; with ``in_bytes`` also "2GB" and "512MiB".

    k, M, G and T are powers of 1,000; KiB, MiB, GiB and TiB are powers of 1,024. "5m" is refused, because it could mean
    milli. A comma separates groups of three digits, as in "1,000,000". "1,5M" and "1.000" are refused, because many
    countries use the comma as the decimal point. Raises ``ValueError`` for anything else; ``what`` is its name there.
    """
    units = {**_DECIMAL, **(_BYTES if in_bytes else {})}
    examples = '"2GB", "512MiB"' if in_bytes else '"60k", "5M", "1.2G"'
    rule = f"{what} must be a whole number of at least 0, written like 60000 or {examples}"
    if isinstance(value, str):
        if len(value) > _MAX_DIGITS:
            raise ValueError(f"{rule}, but got {len(value):,} characters")
        # 1_000 is accepted, as in Python
        match = None if _AMBIGUOUS.fullmatch(value) else _NUMBER.fullmatch(value.replace("_", ""))
        if match is None and re.search(r"\d[.,]\d", value):
            raise ValueError(f'{rule}, but got {value!r}; write "1.5M", "1,500,000" or "1500000", for example')
        if match is None or match["unit"] not in units:
            unit = match is not None and next((u for u in units if u.lower() == match["unit"].lower()), None)
            hint = f'; did you mean "{match["digits"]}{unit}"?' if match and unit else ""
            raise ValueError(f"{rule}, but got {value!r}{hint}")
        number = _exact_product(match["digits"].replace(",", ""), units[match["unit"]])  # None for "2.5" or "1.2345k"
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        number = None
    else:
        number = int(value) if value == int(value) else None
    if number is None or number < 0:
        raise ValueError(f"{rule}, but got {value!r}")
    return number


def _exact_product(digits: str, factor: int) -> int | None:
    """Return ``digits * factor`` without floating point rounding; None if the product is not an integer."""
    from fractions import Fraction

    exact = Fraction(digits) * factor
    return int(exact) if exact.denominator == 1 else None


def format_count(value: float) -> str:
    """Return ``value`` with three significant digits and a unit: 59.9k, 6.00M, 412."""
    for unit, factor in reversed(_DECIMAL.items()):
        # 0.9995: a value that would round to 1000 of the smaller unit is written as 1.00 of this one
        if unit and abs(value) >= factor * 0.9995:
            scaled = value / factor
            return f"{scaled:.{max(0, 2 - int(math.log10(abs(scaled)) + 1e-9))}f}{unit}"
    return f"{value:g}"


def format_cost(name: str, value: int, sign: str = "", number_format: str = ",") -> str:
    """Return a cost as text: ``params 60,000``, ``predicted latency_ms <= 2.5``; ``sign`` goes between both.

    Predicted latency is given in nanoseconds and written in milliseconds.
    """
    if name == LATENCY:
        name, number = "predicted latency_ms", f"{value / 1e6:.4g}"
    else:
        number = f"{value:{number_format}}"
    return f"{name} {sign} {number}" if sign else f"{name} {number}"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits that every proposed architecture must keep; ``None`` means no limit.

    ``params`` are trainable parameters, ``macs`` multiply-accumulates of convolutions and linear layers at batch 1,
    ``activations`` elements in the outputs of those layers at batch 1, ``memory_bytes`` predicted training memory.
    The fields ``min_...`` are lower limits. Strings may have units:
    ``Budget(params="60k", macs="6M", memory_bytes="2GB")``.

    ``ram`` and ``flash`` limit the bytes of memory and of constants on a device that runs the network with numbers of
    ``precision``: "float32" (None, the default) or "int8"; ``device_cost.py`` computes them.

    ``latency_ms`` limits the median time of a forward pass. It has no closed form, therefore :meth:`limits` and
    :meth:`allows` ignore it. A search predicts the latency before training and measures it afterwards
    (:meth:`meets_latency_limit`).
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
    ram: int | None = None
    flash: int | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "latency_ms":
                check_latency(value, "budget.latency_ms")
            elif f.name == "precision":
                if value is not None:
                    look_up(dict.fromkeys(PRECISIONS, True), value, "budget.precision")
            elif value is not None:
                parsed = parse_count(value, f"budget.{f.name}", in_bytes=f.name.endswith(BYTES))
                object.__setattr__(self, f.name, parsed)  # the dataclass is frozen
        for name, (low, high) in self.limits().items():
            if high is not None and low > high:
                raise ValueError(
                    f"budget.min_{name} <= budget.{name} must hold, but got {low} and {high}; lower the first or raise "
                    "the second"
                )

    @classmethod
    def of(cls, limits: Mapping[str, Any]) -> "Budget":
        """Return the budget of the section ``[budget]`` of a search file.

        Raises ``ValueError`` for an unknown key, with the nearest known one.
        """
        known = {f.name for f in fields(cls)}
        for name in limits:
            if name not in known:
                raise ValueError(f"budget.{name}: {unknown('budget key', name, known)}")
        return cls(**limits)

    def limits(self) -> dict[str, tuple[int, int | None]]:
        """Return ``(lower, upper)`` by cost name, only for the limited costs of closed form.

        A missing lower limit is 0; a missing upper limit is None.
        """
        names = ("params", "macs", "activations", "memory_bytes")
        pairs = {name: (getattr(self, f"min_{name}"), getattr(self, name)) for name in names}
        # callers iterate over the result, so a cost without any limit must be absent
        return {name: (low or 0, high) for name, (low, high) in pairs.items() if (low, high) != (None, None)}

    def device_limits(self) -> dict[str, int]:
        """Return the limits on a device by the name of their cost, ``ram_bytes`` and ``flash_bytes``."""
        limits = {RAM: self.ram, FLASH: self.flash}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def device_precision(self) -> str:
        """The precision of the numbers on the device."""
        return self.precision or DEFAULT_PRECISION

    @property
    def names_device(self) -> bool:
        """Whether the budget is about a device: a limit of RAM or flash, or a precision."""
        return bool(self.device_limits()) or self.precision is not None

    @property
    def has_limits(self) -> bool:
        """Whether there is any limit, latency excepted."""
        return bool(self.limits() or self.device_limits())

    def allows(self, cost: HasCosts) -> bool:
        """Return whether ``cost`` keeps every limit, those of latency and of the device excepted."""
        return all(
            low <= getattr(cost, name) and (high is None or getattr(cost, name) <= high)
            for name, (low, high) in self.limits().items()
        )

    def broken(self, cost: HasCosts) -> list[str]:
        """Return one text for each limit that ``cost`` breaks, such as ``params 61,000 > 60,000``."""
        violations = []
        for name, (low, high) in self.limits().items():
            value = getattr(cost, name)
            if value < low:
                violations.append(f"{name} {value:,} < {low:,}")
            elif high is not None and value > high:
                violations.append(f"{name} {value:,} > {high:,}")
        return violations

    @property
    def latency_ns(self) -> int | None:
        """The limit of the latency in nanoseconds, rounded down; None without a limit."""
        return None if self.latency_ms is None else int(1e6 * self.latency_ms)

    def meets_latency_limit(self, latency_ms: float | None) -> bool:
        """Return whether a measured latency keeps the limit; None (not measured) breaks any limit."""
        return self.latency_ms is None or (latency_ms is not None and latency_ms <= self.latency_ms)

    def __str__(self) -> str:
        pairs = self.limits().items()
        uppers = [f"{name} <= {format_count(high)}" for name, (_, high) in pairs if high is not None]
        lowers = [f"{name} >= {format_count(low)}" for name, (low, _) in pairs if low]
        device = [f"{name} <= {format_count(high)}" for name, high in self.device_limits().items()]
        if device:
            device[-1] += f" in {self.device_precision}"
        latency = [f"latency_ms <= {self.latency_ms:g} as measured"] if self.latency_ms is not None else []
        return " and ".join(uppers + lowers + device + latency) or "no limit"


def check_latency(value: Any, what: str) -> None:
    """Raise ``ValueError`` if ``value`` is neither None nor a positive finite number of milliseconds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value) and value > 0):
        raise ValueError(f"{what} must be a number of milliseconds above 0, as in 2.5, but got {value!r}")
