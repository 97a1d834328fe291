"""The trial cache: what an earlier run has trained under the same conditions is not trained again."""

from collections.abc import Mapping
from typing import Any

from ...results.database.records import RunRecord, Trial
from ...results.database.store import Store
from ...spaces.recipes.recipe import Recipe
from ...spaces.recipes.zero_shot_recipe import recorded_recipe
from ..searchers.base import Proposal


class TrialCache:
    """Finds the completed trial of another run whose figures a proposal would come to again.

    It has the same architecture, recipe (epochs included), data as they were split, folds and precision, and its seed
    was drawn in the same way: one for each trial, by its run's seed and its number. Which seed it was is chance, as
    it is in any run. Where latency is limited nothing is found: that is a matter of this run's own workers.
    """

    def __init__(self, store: Store, run: RunRecord) -> None:
        self._store, self._run = store, run
        self._conditions = conditions(run.config)
        self._runs: dict[str, Mapping[str, Any]] = {}

    def find(self, proposal: Proposal) -> Trial | None:
        """The first such trial, or None."""
        if self._run.config["budget"].get("latency_ms") is not None:
            return None
        trained = self._store.trained(proposal.architecture.fingerprint, self._run.dataset_hash)
        return next((trial for trial in trained if self._alike(trial, proposal.recipe)), None)

    def _alike(self, trial: Trial, recipe: Recipe) -> bool:
        try:
            same = recorded_recipe(trial.recipe) == recipe
        except (ValueError, TypeError):  # of another version of archsieve
            return False
        return same and trial.run != self._run.name and conditions(self._config(trial.run)) == self._conditions

    def _config(self, run: str) -> Mapping[str, Any]:
        if run not in self._runs:
            self._runs[run] = self._store.run(run).config
        return self._runs[run]


def conditions(config: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What decides a trial's figures besides architecture, recipe and data; None for another program's run."""
    try:
        folds = config["search"].get("folds")
        space = config["space"]
        start = (space["weights"], space["frozen"]) if space.get("backbone") is not None else None
        return folds, None if folds is None else config["data"]["seed"], config["resources"]["precision"], start
    except (KeyError, TypeError, AttributeError):
        return None
