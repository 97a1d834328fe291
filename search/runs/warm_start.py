"""Warm start: the trials of earlier runs that the searcher of a new one learns from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from ...results.database.records import RunRecord, Trial
from ...results.database.store import Store
from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.domains import Choice
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import recorded_recipe
from ...spaces.search_space.encoding import decisions_of
from ..experiment.experiment import Experiment


def earlier_trials(store: Store, experiment: Experiment, dataset_hash: str, before: datetime) -> list[Trial]:
    """The trials of ``search.warm_start`` that ended before this run began and that it could propose itself.

    Raises ``ValueError`` where a run is unknown, was made on other data, or has no such trial.
    """
    found: list[Trial] = []
    for name in experiment.file.search.warm_start:
        run = store.run(name)
        if run.dataset_hash != dataset_hash:
            raise ValueError(
                f"search.warm_start: what was learned on other data does not help, but run {name!r} was made on "
                f"{run.dataset!r} with the hash {run.dataset_hash[:12]}, not {dataset_hash[:12]}; leave it out"
            )
        found += _usable(store, run, experiment, before)
    return found


def _usable(store: Store, run: RunRecord, experiment: Experiment, before: datetime) -> list[Trial]:
    ended = [t for t in store.history(run.run_id) if t.state.final and t.ended_at is not None and t.ended_at < before]
    usable = list(_proposable(ended, experiment))
    if not usable:
        raise ValueError(
            f"search.warm_start: none of the {len(ended)} trials that run {run.name!r} has ended could be proposed by "
            "this one: they lie outside its space, budget or recipe, or there are none; leave it out"
        )
    return usable


def _proposable(trials: Sequence[Trial], experiment: Experiment) -> Iterator[Trial]:
    """The trials inside the space, the budget and the recipes, with this space's own decisions."""
    for trial in trials:
        try:
            architecture, recipe = Architecture.from_json(trial.architecture), recorded_recipe(trial.recipe)
        except (ValueError, KeyError, TypeError):  # of another version of archsieve
            continue
        decisions = decisions_of(experiment.space, architecture)
        if decisions is not None and experiment.sieve.allows(architecture) and fits(experiment.recipes, recipe):
            yield replace(trial, choices=decisions, recipe=recipe.to_json())  # with keys that were not there then


def fits(recipes: RecipeSpace, recipe: Recipe) -> bool:
    """Whether ``recipe`` is in the space ``recipes``."""
    told, holes = recipe.to_json(), recipes.holes
    for name, hole in holes.items():
        inside = told[name] in hole.options if isinstance(hole, Choice) else hole.low <= told[name] <= hole.high
        if not inside:
            return False
    fixed = recipes.fill({name: told[name] for name in holes}).to_json()
    return fixed == told
