"""Consulting: a trial, or the first proposal of a search file, brought before the doctor."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.records import History, Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.budget import Budget
from ...spaces.constrained.constrained_space import BudgetError, ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.constrained.sampling import sample_one
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import Recipe
from ...spaces.recipes.zero_shot_recipe import recorded_recipe
from ..experiment.experiment import Experiment
from .retrain import best_model, loaded

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.diagnostics.context import Finding
    from ...results.database.reader import Reading

SMALLER = 256  # draws among which the largest network that is quick enough is sought


@dataclass(frozen=True)
class Case:
    """A network with its recipe, and what its experiment knows; ``trained`` is its kept network, where there is one."""

    architecture: Architecture
    recipe: Recipe
    seed: int
    experiment: Experiment
    data: "ImageData"
    trained: Any = None


def case_of_file(experiment: Experiment) -> Case:
    """What the search would try first."""
    if experiment.task.name != CLASSIFICATION:
        raise ValueError(
            f"the doctor examines classifiers, but {experiment.file.data.name!r} is zero-shot; leave out data.texts"
        )
    seed = experiment.file.search.seed
    proposal = experiment.plan(experiment.sieve).ask(History(), random.Random(f"{seed}/0"))
    assert proposal is not None  # an empty sieve was refused before
    data, _ = experiment.task.load(experiment.file)
    return Case(proposal.architecture, proposal.recipe, seed, experiment, data)


def case_of_trial(store: "Reading", trial: Trial, folder: Path) -> Case:
    """The trial's network, with its kept weights where it was trained anew."""
    experiment, data = loaded(store, trial)
    model = best_model(store, trial, folder)
    recipe = recorded_recipe(trial.recipe)
    trained = None if model is None else model.network
    return Case(Architecture.from_json(trial.architecture), recipe, trial.seed, experiment, data, trained)


def findings(
    case: Case, checks: Sequence[str] | None = None, *, on_check: Callable[[str], None] = lambda name: None
) -> Iterator["Finding"]:
    """What each check finds."""
    from ...models.diagnostics.run_checks import CHECKS, Patient, diagnose
    from ...models.networks.build import build_for

    def make(seed: int) -> Any:
        return build_for(case.architecture, case.recipe, seed=seed)

    patient = Patient(make, case.data, case.recipe, case.seed, trained=case.trained)
    yield from diagnose(patient, checks or list(CHECKS), on_check=on_check)


def smaller(case: Case, step_ms: float, wanted_ms: float) -> Architecture | None:
    """The largest network of the space, of some draws, that is predicted to take ``wanted_ms`` a step at most.

    By its multiply-accumulates: those of ``case`` take ``step_ms``. None where nothing in the space is so small.
    """
    plain = case.experiment.sieve
    macs = int(case.architecture.cost.macs * wanted_ms / step_ms)
    limits = {**dict(case.experiment.file.budget), "macs": min(macs, plain.budget.macs or macs)}
    sieve = ConstrainedSpace(plain.space, Budget.of(limits), plain.batch_size)
    try:
        check_feasible(sieve)
    except BudgetError:
        return None
    rng = random.Random(case.seed)
    return max((sample_one(sieve, rng) for _ in range(SMALLER)), key=lambda one: (one.cost.macs, one.fingerprint))
