"""What a report tells of: one run, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import Budget
from ...spaces.parameters.task_kinds import ZERO_SHOT, task_name
from ..database.reader import Reading
from ..database.records import DatasetRecord, History, RunRecord, Trial, TrialState
from ..database.zero_shot_records import CALIBRATED_H
from ..query.best import best
from ..query.budget_filter import budget_in

TOP = 5


@dataclass(frozen=True)
class Told:
    """A run and what belongs to it."""

    store: Reading
    run: RunRecord

    @cached_property
    def history(self) -> History:
        """All trials."""
        return self.store.history(self.run.run_id)

    @cached_property
    def budget(self) -> Budget:
        """What the run had to keep to."""
        return budget_in(self.run.config)

    @cached_property
    def best(self) -> list[Trial]:
        """The best trials inside the budget."""
        return best(self.store, budget=self.budget, run=self.run.run_id, top=TOP)

    @cached_property
    def is_zero_shot(self) -> bool:
        """Whether classes are recognised by their texts."""
        return task_name(self.run.config.get("data", {})) == ZERO_SHOT

    @property
    def selected_by(self) -> str:
        """What ``val_accuracy`` is in this run."""
        return CALIBRATED_H if self.is_zero_shot else "validation accuracy"

    @cached_property
    def failed(self) -> list[Trial]:
        """The trials that failed."""
        return [trial for trial in self.history if trial.state is TrialState.FAILED]

    @cached_property
    def data(self) -> DatasetRecord:
        """The data set."""
        return self.store.dataset(self.run.dataset_hash)

    @cached_property
    def driver(self) -> Mapping[str, Any]:
        """The process that drove the run first."""
        return next(iter(self.store.provenance(self.run.run_id)), {})


def architecture_of(trial: Trial) -> Architecture | None:
    """The trial's network; None where another program wrote what cannot be read."""
    try:
        return Architecture.from_json(trial.architecture)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
