"""Comparison of trials: their metrics and costs, and the settings in which they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..database.records import COSTS, DEVICE_COSTS, FINAL_METRICS, Trial

PROGRESS = ("state", "source", "epochs_done", "best_epoch", "duration_s", "seed")


@dataclass(frozen=True)
class Row:
    """One property of the compared trials, with one value per trial; None for a trial that does not have it."""

    part: str
    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Whether the trials have different values: 1 and 1.0 count as equal, 1 and True as different."""
        first = self.values[0]
        # Python has True == 1, but a recipe with nesterov = 1 is not one with nesterov = true.
        return any((value != first) or (isinstance(value, bool) != isinstance(first, bool)) for value in self.values)


def compare(trials: Sequence[Trial]) -> list[Row]:
    """Return the metrics, progress and costs of at least two trials, then the recipe and choices that differ.

    A property that none of the trials has is left out. ``test_accuracy`` is included for information only: the
    comparison does not rank the trials.

    Raises ``ValueError`` for fewer than two trials, or for the same trial twice.
    """
    ids = [trial.trial for trial in trials]
    if len(set(ids)) < 2 or len(set(ids)) < len(ids):
        raise ValueError(f"a comparison needs two or more different trials, got {ids}; name another trial")
    rows = [
        Row(part, name, tuple(_plain_text(getattr(trial, name)) for trial in trials))
        for part, names in (
            ("metrics", FINAL_METRICS),
            ("progress", PROGRESS),
            ("cost", (*COSTS, *DEVICE_COSTS, "latency_ms")),
        )
        for name in names
    ]
    rows = _nested_rows("metrics", [trial.metrics for trial in trials]) + rows
    nested = [
        row
        for part in ("recipe", "choices")
        for row in _nested_rows(part, [getattr(trial, part) for trial in trials])
        if row.differs
    ]
    return [row for row in rows if any(value is not None for value in row.values)] + nested


def _nested_rows(part: str, tables: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return a row for each key, in the order in which the keys appear in the trials."""
    keys = dict.fromkeys(key for table in tables for key in table)
    return [Row(part, key, tuple(table.get(key) for table in tables)) for key in keys]


def _plain_text(value: Any) -> Any:
    """Return an enum of strings, such as the trial's state, as a plain string; other values unchanged."""
    return str(value) if isinstance(value, str) else value
