"""Data of one run for its report, read from the database once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.budget import Budget
from ...spaces.metrics.registry import ACCURACY, TOP_5, metric_label
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.task_kinds import ZERO_SHOT, task_name
from ..analysis.differences import MAX_COMPARED, Winner, winner_of
from ..analysis.intervals import Measured, top_5_error, with_interval
from ..database.reader import StoreReader
from ..database.records import TEST_PREFIX, DatasetRecord, RunRecord, Trial
from ..database.zero_shot_records import CALIBRATED_H
from ..query.best import best
from ..query.budget_filter import budget_from_config
from ..query.run_summary import RunTotals, run_totals, sampled_recipes, trial_points

if TYPE_CHECKING:
    from ..query.run_summary import TrialPoints

N_BEST = 5
N_RANKED = MAX_COMPARED + 1
MAX_RECIPES = 2000  # read to find out which entries of the recipes differ


@dataclass(frozen=True)
class Headline:
    """The selecting metric of a trial with its interval, and its top-5 error; None for fewer than ten classes."""

    trial: Trial
    measured: Measured
    top_5_error: Measured | None


@dataclass(frozen=True)
class RunData:
    """A run with its trials, data set and budget, read from ``store`` on first use.

    A run can have 100,000 trials and more, so only the best trials are held with architecture and recipe.
    """

    store: StoreReader
    run: RunRecord

    @cached_property
    def points(self) -> "TrialPoints":
        """All finished trials that have a value of the selecting metric, the best first: an array with columns."""
        return trial_points(self.store, self.run.run_id, self.selection)

    @cached_property
    def totals(self) -> RunTotals:
        """Sums over all trials."""
        return run_totals(self.store, self.run.run_id)

    @cached_property
    def budget(self) -> Budget:
        """The budget of the run."""
        return budget_from_config(self.run.config)

    @cached_property
    def best(self) -> list[Trial]:
        """The best trials inside the budget, at most ``N_BEST``."""
        return self.best_trials(N_BEST)

    def best_trials(self, top: int) -> list[Trial]:
        """Return the ``top`` best trials inside the budget."""
        if top <= N_RANKED:
            return self.ranked[:top]
        return best(self.store, budget=self.budget, run=self.run.run_id, top=top)

    @cached_property
    def ranked(self) -> list[Trial]:
        """The best trials inside the budget: the best one, and those that are compared with it."""
        return best(self.store, budget=self.budget, run=self.run.run_id, top=N_RANKED)

    def headline(self, trial: Trial) -> Headline:
        """Return the headline values of ``trial``; they are computed once."""
        if trial.trial not in self._headlines:
            made = Headline(trial, with_interval(self.store, trial), top_5_error(self.store, trial))
            self._headlines[trial.trial] = made
        return self._headlines[trial.trial]

    @cached_property
    def _headlines(self) -> dict[int, Headline]:
        return {}

    @cached_property
    def measured(self) -> list[Measured]:
        """The selecting metric of each of the best trials, with its interval."""
        return [self.headline(trial).measured for trial in self.best]

    @cached_property
    def top_5_errors(self) -> list[float | None]:
        """The top-5 error of each of the best trials; None for fewer than ten classes."""
        errors = [self.headline(trial).top_5_error for trial in self.best]
        return [None if error is None else error.value for error in errors]

    @cached_property
    def test_top_5_errors(self) -> list[float | None]:
        """The top-5 error of each of the best trials on the test images, which selects nothing."""
        found = [self.store.test_metrics(trial.trial).get(TEST_PREFIX + TOP_5) for trial in self.best]
        return [None if accuracy is None else 1 - accuracy for accuracy in found]

    @cached_property
    def winner(self) -> Winner:
        """The best trial, which must exist, with those that are not distinguishable from it."""
        return winner_of(self.store, self.ranked)

    @cached_property
    def is_zero_shot(self) -> bool:
        """Whether the networks recognize classes by texts that describe them."""
        return task_name(self.run.config.get("data", {})) == ZERO_SHOT

    @property
    def selected_by(self) -> str:
        """What the metric that selects in this run measures."""
        return CALIBRATED_H if self.is_zero_shot else self.selection.label

    @cached_property
    def selection(self) -> Selection:
        """The metric that selects in this run, and those that are recorded with it."""
        return Selection.from_config(self.run.config)

    @property
    def best_word(self) -> str:
        """How a text calls the best value of the metric."""
        return "highest" if self.selection.higher_is_better else "lowest"

    @property
    def metric_word(self) -> str:
        """How a text calls the metric where it is clear that it is measured on validation images."""
        return metric_label(self.selection.metric)

    @property
    def metric_points(self) -> str:
        """How a text calls one hundredth of the metric."""
        share = self.selection.metric == ACCURACY
        return f"percentage points of {self.metric_word}" if share else f"hundredths of {self.metric_word}"

    @cached_property
    def varied(self) -> frozenset[str]:
        """The entries of the recipe that differ between the trials of the run; of a long run, between a sample."""
        recipes = [*sampled_recipes(self.store, self.run, MAX_RECIPES), *(trial.recipe for trial in self.best)]
        names = {name for recipe in recipes for name in recipe}
        return frozenset(name for name in names if any(one.get(name) != recipes[0].get(name) for one in recipes))

    @cached_property
    def dataset(self) -> DatasetRecord:
        """The data set of the run."""
        return self.store.dataset(self.run.dataset_hash)

    @cached_property
    def driver(self) -> Mapping[str, Any]:
        """The provenance of the process that started the run; empty if it was not recorded."""
        return next(iter(self.store.provenance(self.run.run_id)), {})
