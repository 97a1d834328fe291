"""Diagnosis of a trial, or of the first proposal of a search file, for ``archsieve doctor``."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.records import History, Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.feasibility import check_feasible
from ...spaces.constrained.sampling import sample_one
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import Recipe
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from ..experiment.experiment import Experiment
from ..searchers.base import proposal_rng
from .retrain import experiment_and_data, find_best_model

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.diagnostics.context import Finding
    from ...results.database.reader import StoreReader

N_DRAWS = 256  # draws from which the largest fast enough network is selected


@dataclass(frozen=True)
class DiagnosisTarget:
    """A network to diagnose, with its recipe, experiment and data; ``trained`` is its retrained network or None."""

    architecture: Architecture
    recipe: Recipe
    seed: int
    experiment: Experiment
    data: "ImageData"
    trained: Any = None


def target_of_file(experiment: Experiment) -> DiagnosisTarget:
    """Return the first proposal of the search.

    Raises ``ValueError`` if the task is not classification.
    """
    if experiment.task.name != CLASSIFICATION:
        raise ValueError(
            f"archsieve doctor needs a classification task, but the data {experiment.file.data.name!r} are zero-shot; "
            "leave out data.texts"
        )
    seed = experiment.file.search.seed
    # the same random numbers as for trial 0 of a run, so that the search would propose the diagnosed network
    proposal = experiment.plan(experiment.constrained).ask(History(), proposal_rng(seed, 0))
    assert proposal is not None  # the check of the search file rejects an empty constrained space
    data, _ = experiment.task.load(experiment.file)
    return DiagnosisTarget(proposal.architecture, proposal.recipe, seed, experiment, data)


def target_of_trial(store: "StoreReader", trial: Trial, folder: Path) -> DiagnosisTarget:
    """Return the network of ``trial``, with its weights if it was retrained.

    ``folder`` is the folder of the runs. Raises ``ValueError`` if the trial is not a classifier or its data changed.
    """
    experiment, data = experiment_and_data(store, trial)
    model = find_best_model(store, trial, folder)
    recipe = recipe_from_json(trial.recipe)
    trained = None if model is None else model.network
    return DiagnosisTarget(Architecture.from_json(trial.architecture), recipe, trial.seed, experiment, data, trained)


def diagnose_target(
    target: DiagnosisTarget,
    checks: Sequence[str] | None = None,
    *,
    on_check: Callable[[str], None] = lambda name: None,
) -> Iterator["Finding"]:
    """Yield the finding of each of ``checks``, by default of all; ``on_check`` is called before each with its name."""
    from ...models.data.normalisation import prepared_for
    from ...models.diagnostics.run_checks import CHECKS, DiagnosticContext, diagnose
    from ...models.networks.pretrained import build_pretrained

    weights = target.experiment.file.space.weights

    def make(seed: int) -> Any:
        return build_pretrained(target.architecture, target.recipe, seed=seed, weights=weights)[0]

    data = prepared_for(target.data, target.architecture)
    context = DiagnosticContext(make, data, target.recipe, target.seed, trained=target.trained)
    yield from diagnose(context, checks or list(CHECKS), on_check=on_check)


def smaller_network(target: DiagnosisTarget, step_ms: float, max_step_ms: float) -> Architecture | None:
    """Return the largest of ``N_DRAWS`` random networks whose predicted training step takes at most ``max_step_ms``.

    The prediction assumes that the time is proportional to the multiply-accumulates, and that a step of ``target``
    takes ``step_ms`` (both in milliseconds). Returns None if no network of the space is small enough.
    """
    original = target.experiment.constrained
    macs = int(target.architecture.cost.macs * max_step_ms / step_ms)
    try:
        budget = replace(original.budget, macs=min(macs, original.budget.macs or macs))
        constrained = ConstrainedSpace(original.space, budget, original.batch_size, original.latency_model)
        check_feasible(constrained)
    except ValueError:  # BudgetError, or a lower limit above the new limit
        return None
    # the fingerprint breaks ties, so that one seed gives one answer
    rng = random.Random(target.seed)
    return max((sample_one(constrained, rng) for _ in range(N_DRAWS)), key=lambda one: (one.cost.macs, one.fingerprint))
