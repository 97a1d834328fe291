"""Warm start: the trials of earlier runs that the searcher of a new one learns from."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ...results.database.records import History, RunRecord, Trial
from ...results.database.store import Store
from ...results.query.priors import PRIORS
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.recorded import architecture_or_none
from ...spaces.metrics.selection import Selection
from ...spaces.recipes.recipe import Recipe, RecipeSpace
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from ...spaces.search_space.encoding import decisions_of
from ..experiment.experiment import Experiment
from ..searchers.earlier_runs import MIN_PRIOR_TRIALS, EarlierRun, overlap
from ..searchers.search_plan import SearchPlan

GP = "gp"
log = logging.getLogger("archsieve")
ALL = "all"  # the value of search.warm_start for every earlier run of the database


@dataclass(frozen=True)
class Earlier:
    """What a run learns from: ``trials`` on the same data that fit it, and ``runs`` that differ in something.

    ``names`` are the runs that these come from.
    """

    trials: tuple[Trial, ...] = ()
    runs: tuple[EarlierRun, ...] = ()
    names: tuple[str, ...] = ()


def learn_from(store: Store, experiment: Experiment, dataset_hash: str, before: datetime) -> Earlier:
    """Return what the searcher can learn from the runs in ``search.warm_start``.

    Trials of the same data and metric that are within the space, budget and recipes count as trials of the new run. A
    run without such trials is a prior. Only trials that ended before the time ``before`` count, which makes a resumed
    run learn from the same trials as before.

    Raises ``ValueError`` when a run is unknown, or nothing can be learned from it. With "all" such runs are left out.
    """
    wanted = experiment.file.search.warm_start
    if wanted == ALL:
        candidates: Iterable[RunRecord] = [run for run in store.runs() if run.created_at < before]
    else:
        # by id: two texts of the list may mean the same run
        candidates = {run.run_id: run for run in map(store.run, wanted)}.values()
    trials: list[Trial] = []
    runs: list[EarlierRun] = []
    used = []
    for run in candidates:
        try:
            usable = _usable(store, run, experiment, dataset_hash, before)
        except ValueError as error:
            if wanted != ALL:
                raise
            log.info("%s", error)
            continue
        used.append(run.name)
        if isinstance(usable, EarlierRun):
            runs.append(usable)
        else:
            trials += usable
    return Earlier(tuple(trials), tuple(runs), tuple(used))


def with_names(experiment: Experiment, earlier: Earlier) -> Experiment:
    """Return ``experiment`` with names in place of "all", so that a resumed run learns from the same runs."""
    search = experiment.file.search.model_copy(update={"warm_start": list(earlier.names)})
    return replace(experiment, file=experiment.file.model_copy(update={"search": search}))


def record_priors(store: Store, run_id: int, plan: SearchPlan, history: History) -> None:
    """Store how much the searcher trusts its priors, and how much of the scores they explain."""
    if history.finished and (notes := plan.notes(history)):
        store.add_event(run_id, "info", PRIORS, notes)


def _usable(
    store: Store, run: RunRecord, experiment: Experiment, dataset_hash: str, before: datetime
) -> list[Trial] | EarlierRun:
    """Return the trials of ``run`` that fit the new run, or the run as a prior if none does."""
    ended = [t for t in store.history(run.run_id) if t.state.final and t.ended_at is not None and t.ended_at < before]
    earlier, selection = Selection.from_config(run.config), experiment.selection
    same_metric = (earlier.metric, earlier.higher_is_better) == (selection.metric, selection.higher_is_better)
    same = same_metric and run.dataset_hash == dataset_hash
    if same and (fitting := list(_proposable(ended, experiment))):
        return fitting
    finished = sum(trial.state.finished for trial in ended)
    if finished < MIN_PRIOR_TRIALS:
        has = f"0 of {len(ended)} that fit" if same else f"none on these data and by this metric ({run.dataset!r})"
        raise ValueError(
            "search.warm_start: an earlier run must have ended trials on the same data that fit this run's space, "
            f"budget, recipe and metric, or at least {MIN_PRIOR_TRIALS} finished trials that do not, but run "
            f"{run.name!r} has {has}, and {finished} finished; remove {run.name!r} from the list"
        )
    if experiment.file.search.searcher != GP:
        raise ValueError(
            f"search.warm_start: only the searcher {GP!r} learns from runs that differ from this one in data, metric, "
            f"space, budget or recipe, but the searcher is {experiment.file.search.searcher!r} and run {run.name!r} "
            f"differs; remove {run.name!r} from the list, or set search.searcher = {GP!r}"
        )
    return _prior(run.name, ended, experiment)


def _prior(name: str, ended: Sequence[Trial], experiment: Experiment) -> EarlierRun:
    """Return the run ``name`` as a prior; raise ``ValueError`` if its networks have no layer of the space."""
    read = [(trial, network) for trial in ended if (network := architecture_or_none(trial.architecture)) is not None]
    earlier = EarlierRun(name, tuple(trial for trial, _ in read), tuple(network for _, network in read))
    if len(read) < MIN_PRIOR_TRIALS or overlap(earlier.networks, experiment.constrained) == 0:
        raise ValueError(
            f"search.warm_start: the networks of an earlier run must have layers of the space "
            f"{experiment.space.name!r}, but those of run {name!r} have 0 % of their layers in common with it "
            f"({len(read)} of {len(ended)} networks can be read); remove {name!r} from the list"
        )
    return earlier


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
        if values[name] not in domain:
            return False
    # Fill the free parameters with the values of the recipe: any remaining difference is in a fixed one.
    filled = recipes.fill({name: values[name] for name in free_parameters}).to_json()
    return filled == values
