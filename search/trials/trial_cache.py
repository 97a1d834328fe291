"""The trial cache: a trial that an earlier run has trained under the same conditions is not trained again."""

from collections.abc import Mapping
from typing import Any

from ...results.database.records import RunRecord, Trial
from ...results.database.store import Store
from ...results.database.training_records import loaded_weights
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import leaves
from ...spaces.blocks.layers import ModuleLayer
from ...spaces.metrics.registry import is_built_in
from ...spaces.metrics.selection import Selection
from ...spaces.networks.patterns import PRETRAINED
from ...spaces.recipes.recipe import Recipe, is_model_file
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from ..searchers.base import Proposal
from .metrics import summary


class TrialCache:
    """Finds a completed trial of another run that has the metrics a proposal would get.

    Such a trial has the same architecture, recipe (including the epochs), data and split, folds and precision, and its
    run recorded every metric of this run. If that run selected by another metric, the best epoch must be the same,
    because the trial was tested with the weights of that epoch. The seed may differ: each run draws the seed of a trial
    from the run's seed and the trial's number, so any of them is a fair draw.

    With a latency budget the cache finds nothing, because the latency depends on the workers of this run. An
    architecture with custom modules, a custom metric and a custom training need the same plug-ins, by their hashes.
    Weights in a file need the same content. Of a teacher in a file no content is recorded, so the cache finds nothing.
    """

    def __init__(self, store: Store, run: RunRecord) -> None:
        self._store, self._run = store, run
        self._conditions = conditions(run.config)
        self._selection = Selection.from_config(run.config)
        self._runs: dict[str, Mapping[str, Any]] = {}

    def find(self, proposal: Proposal) -> Trial | None:
        """Return the first equivalent trial for ``proposal``, or None."""
        if self._run.config["budget"].get("latency_ms") is not None or is_model_file(proposal.recipe.effective.teacher):
            return None
        plugins = plugin_hashes(self._run.config)
        custom = _has_custom_modules(proposal.architecture) or self._has_custom_metrics or "train" in self._run.config
        if custom and not plugins:  # modules of a script or a notebook, of which no hash is recorded
            return None
        trained = self._store.trained(proposal.architecture.fingerprint, self._run.dataset_hash)
        same = (trial for trial in trained if self._is_equivalent(trial, proposal.recipe) and self._has_metrics(trial))
        same = (trial for trial in same if not custom or plugin_hashes(self._config(trial.run)) == plugins)
        return next((trial for trial in same if self._has_weights(trial, proposal.architecture)), None)

    def _is_equivalent(self, trial: Trial, recipe: Recipe) -> bool:
        try:
            same = recipe_from_json(trial.recipe) == recipe
        except (ValueError, TypeError):  # a recipe of another version of archsieve
            return False
        return same and trial.run != self._run.name and conditions(self._config(trial.run)) == self._conditions

    @property
    def _has_custom_metrics(self) -> bool:
        return not all(is_built_in(name) for name in self._selection.computed)

    def _has_metrics(self, trial: Trial) -> bool:
        """Return whether the trial has the metrics of this run, and its best epoch is the best by them, too."""
        recorded = Selection.from_config(self._config(trial.run))
        if not set(self._selection.recorded) <= set(recorded.recorded):
            return False
        if self._selection.in_int8 and self._selection.stored_name not in self._store.curve(trial.trial):
            return False
        if (recorded.metric, recorded.minimized) == (self._selection.metric, self._selection.minimized):
            return True
        curve = self._store.curve(trial.trial)
        return summary(curve, selection=self._selection, recipe=trial.recipe).get("best_epoch") == trial.best_epoch

    def _has_weights(self, trial: Trial, architecture: Architecture) -> bool:
        """Return whether the trial started from the weights that the files of this run have now."""
        weights = self._run.config["space"].get("weights")
        if weights in (None, PRETRAINED):
            return True
        from ...models.networks.pretrained import weights_digest

        started = loaded_weights(self._store, trial.run, trial.trial)
        return (started or {}).get("sha256") == weights_digest(architecture, weights)

    def _config(self, run: str) -> Mapping[str, Any]:
        if run not in self._runs:
            self._runs[run] = self._store.run_settings(run).config
        return self._runs[run]


def _has_custom_modules(architecture: Architecture) -> bool:
    layers = leaves(architecture.body, architecture.input_shape)
    return any(isinstance(layer, ModuleLayer) for layer, _ in layers)


def plugin_hashes(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of each plug-in that a run has recorded, by module; none if it used a script or a notebook."""
    plugins = config.get("plugins", {})
    registered = plugins.get("registered", {})
    hashes = {module: plugin["sha256"] for module, plugin in {**plugins.get("recorded", {}), **registered}.items()}
    return {} if "__main__" in hashes or None in hashes.values() else hashes


def conditions(config: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return the settings that influence a trial's metrics in addition to architecture, recipe and data.

    None for a run that was imported from another tool: its conditions are unknown.
    """
    try:
        folds = config["search"].get("folds")
        space = config["space"]
        pretrained = space.get("backbone") is not None or space.get("weights") is not None
        start = (space["weights"], space["frozen"]) if pretrained else None
        # The seed of the data decides the folds. Without folds it only decides the split, which the hash of the data
        # covers already.
        seed, train = None if folds is None else config["data"]["seed"], config.get("train")
        return train, folds, seed, config["resources"]["precision"], start, config["search"].get("fidelity")
    except (KeyError, TypeError, AttributeError):
        return None
