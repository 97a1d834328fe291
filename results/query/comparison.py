"""Comparison: trials side by side, and what tells them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..database.records import COSTS, FIGURES, Trial

PROGRESS = ("state", "source", "epochs_done", "best_epoch", "duration_s", "seed")


@dataclass(frozen=True)
class Row:
    """One property of the trials compared, a value for each of them; None where a trial has none."""

    part: str
    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Whether the trials differ in it; 1 and 1.0 do not, 1 and True do."""
        first = self.values[0]
        return any((value != first) or (isinstance(value, bool) != isinstance(first, bool)) for value in self.values)


def compare(trials: Sequence[Trial]) -> list[Row]:
    """Figures, progress and costs of at least two trials, then those parts of recipe and choices in which they differ.

    Nothing here ranks them: that ``test_accuracy`` stands beside the rest is to read, not to choose by.
    """
    ids = [trial.trial for trial in trials]
    if len(set(ids)) < 2 or len(set(ids)) < len(ids):
        raise ValueError(f"a comparison takes two or more different trials, but got {ids}; name another")
    rows = [
        Row(part, name, tuple(_plain(getattr(trial, name)) for trial in trials))
        for part, names in (("figures", FIGURES), ("progress", PROGRESS), ("cost", (*COSTS, "latency_ms")))
        for name in names
    ]
    nested = [
        row
        for part in ("recipe", "choices")
        for row in _nested(part, [getattr(trial, part) for trial in trials])
        if row.differs
    ]
    return [row for row in rows if any(value is not None for value in row.values)] + nested


def _nested(part: str, tables: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The keys in the order in which the trials have them."""
    keys = dict.fromkeys(key for table in tables for key in table)
    return [Row(part, key, tuple(table.get(key) for table in tables)) for key in keys]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value
