"""Records of a profile: modules, operators, uncounted operators, and differences between two counters."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .operators import UNKNOWN, family_of, is_free


@dataclass(frozen=True)
class OperatorRow:
    """A counted operator: the number of its calls and its multiply-accumulates."""

    operator: str
    calls: int
    macs: int

    @property
    def family(self) -> str:
        """The family of the operator."""
        return family_of(self.operator)


@dataclass(frozen=True)
class NotCounted:
    """An operator without a count; ``why`` is its family with zero cost by convention, or "unknown"."""

    operator: str
    calls: int
    why: str


@dataclass(frozen=True)
class ModuleRow:
    """A module with its own parameters or operators; ``calls`` is 0 if the forward pass does not run it."""

    name: str
    kind: str
    calls: int
    out_shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Difference:
    """A difference between the other counter's multiply-accumulates and ours, with the reason."""

    operator: str
    ours: int
    theirs: int
    why: str


@dataclass(frozen=True)
class CrossCheck:
    """The count of another counter: total, operators, uncounted operators, and differences from ours."""

    name: str
    version: str
    total_macs: int
    operators: tuple[OperatorRow, ...]
    not_counted: tuple[NotCounted, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class ModuleProfile:
    """The cost of a module on one input of ``input_shape``.

    ``params`` counts trainable parameters, ``params_total`` all parameters. ``macs`` are the multiply-accumulates that
    papers report: ``conv_macs`` of convolutions, ``linear_macs`` of matrix products with a weight, and
    ``attention_macs`` of matrix products of two activations, such as query with key. A weight may be computed from
    other weights. ``other_macs`` are all others that have a formula; with them the sum is ``total_macs``.
    ``activations`` is the number of output elements of convolutions and linear layers. ``device`` is where the forward
    pass ran. ``notes`` explain how far the numbers can be trusted.
    """

    input_shape: tuple[int, ...]
    device: str
    params: int
    params_total: int
    conv_macs: int
    linear_macs: int
    attention_macs: int
    other_macs: int
    activations: int
    modules: tuple[ModuleRow, ...]
    operators: tuple[OperatorRow, ...]
    not_counted: tuple[NotCounted, ...]
    notes: tuple[str, ...] = ()
    cross_check: CrossCheck | None = None

    @property
    def macs(self) -> int:
        """The multiply-accumulates of convolutions, linear layers and attention."""
        return self.conv_macs + self.linear_macs + self.attention_macs

    @property
    def total_macs(self) -> int:
        """All multiply-accumulates that have a formula."""
        return self.macs + self.other_macs

    @property
    def unknown(self) -> tuple[NotCounted, ...]:
        """The operators without a formula that do not have zero cost by convention."""
        return tuple(row for row in self.not_counted if not is_free(row.operator))

    def to_json(self) -> dict[str, Any]:
        """Return the profile as JSON-serialisable types; the modules are named ``layers``."""
        fields = asdict(self)
        modules = fields.pop("modules")
        # two FLOPs per multiply-accumulate
        sums = {"macs": self.macs, "total_macs": self.total_macs, "flops": 2 * self.macs}
        return {**fields, **sums, "layers": modules}


def not_counted(calls: Mapping[str, int]) -> tuple[NotCounted, ...]:
    """Return a row for each operator without a count: unknown operators first, then by descending calls."""
    rows = (NotCounted(name, times, _why(name)) for name, times in calls.items())
    return tuple(sorted(rows, key=lambda row: (is_free(row.operator), -row.calls, row.operator)))


def _why(operator: str) -> str:
    family = family_of(operator)
    return family if is_free(operator) or family == UNKNOWN else f"a {family} that this counter does not count"


def by_family(rows: Iterable[OperatorRow]) -> dict[str, int]:
    """Return the multiply-accumulates by family."""
    macs: dict[str, int] = {}
    for row in rows:
        macs[row.family] = macs.get(row.family, 0) + row.macs
    return macs
