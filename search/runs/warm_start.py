"""Earlier runs: a searcher that knows what they have tried."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from ...results.database.records import History, RunRecord, Trial
from ...results.database.store import Store
from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.domains import Choice
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import recorded_recipe
from ...spaces.search_space.encoding import decisions_of
from ..experiment.experiment import Experiment
from ..searchers import Proposal, Searcher


class Informed(Searcher):
    """``searcher``, told of ``earlier`` trials as if they were its own run's: it learns from them, repeats none of
    them, and none of them counts.
    """

    def __init__(self, searcher: Searcher, earlier: Sequence[Trial]) -> None:
        super().__init__(searcher.sieve, searcher.recipes)
        self.searcher, self.earlier = searcher, _before(earlier, "")

    def ask(self, history: History, rng: random.Random) -> Proposal | None:
        if history.trials and self.earlier and self.earlier[0].run != history.trials[0].run:
            self.earlier = _before(self.earlier, history.trials[0].run)  # once: searchers know trials again by identity
        return self.searcher.ask(History((*self.earlier, *history.trials)), rng)


def _before(trials: Sequence[Trial], run: str) -> tuple[Trial, ...]:
    """``trials`` as if they were ``run``'s own, before all that it tries itself: numbered up to -1."""
    return tuple(replace(trial, run=run, number=place - len(trials)) for place, trial in enumerate(trials))


def informed(searcher: Searcher, experiment: Experiment, store: Store, run_id: int) -> Searcher:
    """``searcher``, told of the earlier runs that the experiment names."""
    if not experiment.file.search.warm_start:
        return searcher
    run = store.run(run_id)
    return Informed(searcher, earlier_trials(store, experiment, run.dataset_hash, run.created_at))


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
