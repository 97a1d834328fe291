"""Warm start: the trials of earlier runs that the searcher of a new one learns from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from ...results.database.records import RunRecord, Trial
from ...results.database.store import Store
from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.domains import Choice
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from ...spaces.search_space.encoding import decisions_of
from ..experiment.experiment import Experiment


def earlier_trials(store: Store, experiment: Experiment, dataset_hash: str, before: datetime) -> list[Trial]:
    """Return the trials of the runs in ``search.warm_start`` from which the searcher can learn.

    These ended before the time ``before`` and are within the space, budget and recipes of ``experiment``. The time
    limit makes a resumed run learn from the same trials as before.

    Raises ``ValueError`` when a run is unknown, has other data than ``dataset_hash``, selects by another metric, or has
    no such trial.
    """
    trials: list[Trial] = []
    for name in experiment.file.search.warm_start:
        run = store.run(name)
        if run.dataset_hash != dataset_hash:
            raise ValueError(
                f"search.warm_start: earlier runs must use the same data, but run {name!r} used {run.dataset!r} with "
                f"the hash {run.dataset_hash[:12]}, and this run has {dataset_hash[:12]}; remove {name!r} from the list"
            )
        earlier, selection = Selection.from_config(run.config), experiment.selection
        if (earlier.metric, earlier.higher_is_better) != (selection.metric, selection.higher_is_better):
            raise ValueError(
                f"search.warm_start: earlier runs must select by the same metric, but run {name!r} selects by "
                f"{earlier.metric}, and this run by {selection.metric}; remove {name!r} from the list, or set "
                f"search.metric = {earlier.metric!r}"
            )
        trials += _usable(store, run, experiment, before)
    return trials


def _usable(store: Store, run: RunRecord, experiment: Experiment, before: datetime) -> list[Trial]:
    ended = [t for t in store.history(run.run_id) if t.state.final and t.ended_at is not None and t.ended_at < before]
    usable = list(_proposable(ended, experiment))
    if not usable:
        raise ValueError(
            f"search.warm_start: an earlier run must have ended trials that fit this run's space, budget and recipe, "
            f"but run {run.name!r} has 0 of {len(ended)} that fit; remove {run.name!r} from the list"
        )
    return usable


def _proposable(trials: Sequence[Trial], experiment: Experiment) -> Iterator[Trial]:
    """Yield the trials within the space, the budget and the recipes, with their decisions in this space."""
    for trial in trials:
        try:
            architecture, recipe = Architecture.from_json(trial.architecture), recipe_from_json(trial.recipe)
        except (ValueError, KeyError, TypeError):  # written by another version of archsieve
            continue
        decisions = decisions_of(experiment.space, architecture)
        if decisions is not None and experiment.constrained.allows(architecture) and fits(experiment.recipes, recipe):
            # The recipe of an older version gets the keys that were added later, with their defaults.
            yield replace(trial, choices=decisions, recipe=recipe.to_json())


def fits(recipes: RecipeSpace, recipe: Recipe) -> bool:
    """Return whether ``recipe`` is in the space ``recipes``: every free parameter in its domain, all others equal."""
    values, free_parameters = recipe.to_json(), recipes.free_parameters
    for name, domain in free_parameters.items():
        value = values[name]
        inside = value in domain.options if isinstance(domain, Choice) else domain.low <= value <= domain.high
        if not inside:
            return False
    # Fill the free parameters with the values of the recipe: any remaining difference is in a fixed one.
    filled = recipes.fill({name: values[name] for name in free_parameters}).to_json()
    return filled == values
