"""Records of a profile: modules, operators, what is not counted, and where two witnesses differ."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .operators import UNKNOWN, family_of, is_free


@dataclass(frozen=True)
class OperatorRow:
    """An operator that is counted: how often it ran and its multiply-accumulates."""

    operator: str
    calls: int
    macs: int

    @property
    def family(self) -> str:
        """What kind of work it is."""
        return family_of(self.operator)


@dataclass(frozen=True)
class NotCounted:
    """An operator without a count: ``why`` is the family that costs nothing by convention, or that it is unknown."""

    operator: str
    calls: int
    why: str


@dataclass(frozen=True)
class ModuleRow:
    """A module with parameters or work of its own; ``calls`` 0 says that the forward pass never runs it."""

    name: str
    kind: str
    calls: int
    out_shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Difference:
    """Where a witness counts otherwise than we do, and why."""

    operator: str
    ours: int
    theirs: int
    why: str


@dataclass(frozen=True)
class Witness:
    """What another counter says: its total, its operators, what it leaves out, and how that differs from ours."""

    name: str
    version: str
    total_macs: int
    operators: tuple[OperatorRow, ...]
    not_counted: tuple[NotCounted, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class ModuleProfile:
    """What a module costs on one input of ``input_shape``.

    ``params`` are trainable parameters, ``params_total`` all. ``macs`` are the multiply-accumulates of convolutions and
    linear layers, the number papers print; ``attention_macs`` those of products of two activations, as attention has
    them; ``other_macs`` whatever else torch's counter counts. The three make ``total_macs``, exactly half of
    ``torch.utils.flop_counter``. ``activations``: elements in the outputs of what ``macs`` counts. ``device`` says
    where the forward pass ran; ``notes`` what to know about the numbers.
    """

    input_shape: tuple[int, ...]
    device: str
    params: int
    params_total: int
    macs: int
    attention_macs: int
    other_macs: int
    activations: int
    modules: tuple[ModuleRow, ...]
    operators: tuple[OperatorRow, ...]
    not_counted: tuple[NotCounted, ...]
    notes: tuple[str, ...] = ()
    witness: Witness | None = None

    @property
    def total_macs(self) -> int:
        """All that torch's counter counts."""
        return self.macs + self.attention_macs + self.other_macs

    @property
    def unknown(self) -> tuple[NotCounted, ...]:
        """The operators that nobody counts and no convention calls free."""
        return tuple(row for row in self.not_counted if not is_free(row.operator))

    def to_json(self) -> dict[str, Any]:
        """The profile as JSON's own types; the modules are its ``layers``."""
        told = asdict(self)
        return {**told, "total_macs": self.total_macs, "flops": 2 * self.macs, "layers": told.pop("modules")}


def not_counted(calls: Mapping[str, int]) -> tuple[NotCounted, ...]:
    """The rows of operators without a count, the unknown first, then the most frequent."""
    rows = (NotCounted(name, times, _why(name)) for name, times in calls.items())
    return tuple(sorted(rows, key=lambda row: (is_free(row.operator), -row.calls, row.operator)))


def _why(operator: str) -> str:
    family = family_of(operator)
    return family if is_free(operator) or family == UNKNOWN else f"a {family} that this counter leaves out"


def by_family(rows: Iterable[OperatorRow]) -> dict[str, int]:
    """Multiply-accumulates by family."""
    found: dict[str, int] = {}
    for row in rows:
        found[row.family] = found.get(row.family, 0) + row.macs
    return found
