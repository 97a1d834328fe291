"""Import of Optuna studies: convert a finished study to a run document for the database."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...results.database.records import FINAL_METRICS, TrialState
from ...results.transfer.run_document import RunDocument
from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from .imported_run import ImportedTrial, Origin, Params, document_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

# waiting trials are left out: they have no parameters
_STATES = {
    "COMPLETE": TrialState.COMPLETED,
    "PRUNED": TrialState.STOPPED_EARLY,
    "FAIL": TrialState.FAILED,
    "RUNNING": TrialState.INTERRUPTED,
}
_LARGER_IS_BETTER = {name: name.endswith("accuracy") for name in FINAL_METRICS}


def document_of_study(
    study: "Study",
    *,
    dataset: str,
    name: str | None = None,
    metric: str = "val_accuracy",
    architecture: Callable[[Params], Architecture] | None = None,
) -> RunDocument:
    """Return ``study`` as a run document.

    :func:`~archsieve.results.transfer.importer.import_documents` writes it to a database.

    Args:
        study: The study, with a single objective.
        dataset: Name of the data set.
        name: Name of the run; by default that of the study.
        metric: The metric that the objective is: ``val_accuracy`` (a fraction), ``val_loss``, or another metric such as
            ``f1_macro``, which then ranks the trials. For a value that was computed on test data use
            ``test_accuracy``: it is stored, but never selects a trial.
        architecture: A function that returns the architecture for a trial's parameters. Without it, each trial must
            have its architecture as JSON in the user attribute ``architecture``.

    The other parameters of a trial become its recipe: ``recipe.NAME`` in a filter expression. Raises ``ValueError`` if
    the study has several objectives, a direction that does not fit ``metric``, or no trial.
    """
    if len(study.directions) != 1:
        raise ValueError(
            f"the study must have one objective, but it has {len(study.directions)}; import a study with one objective"
        )
    direction = study.direction.name.lower()
    # a loss stored as an accuracy would select the worst trial as the best one
    selection = BY_ACCURACY if metric in FINAL_METRICS else Selection.of(metric)
    larger = _LARGER_IS_BETTER.get(metric, selection.higher_is_better)
    if (direction == "maximize") != larger:
        example = "val_accuracy" if direction == "maximize" else "val_loss"
        raise ValueError(
            f"metric must fit the direction of the study, but got {metric!r} and {direction}; pass "
            f"the metric of the study's values, as in metric={example!r}"
        )
    trials = [_imported(trial, metric) for trial in study.get_trials(deepcopy=False) if trial.state.name in _STATES]
    origin = Origin("optuna", type(study.sampler).__name__, dataset, architecture, selection)
    return document_of(name or study.study_name, trials, origin)


def _imported(trial: "FrozenTrial", metric: str) -> ImportedTrial:
    """Convert one trial of the study."""
    # an Optuna objective may number its steps from 0; epochs of the database start at 1
    first = min(trial.intermediate_values, default=1)
    curve = [(step - min(first, 1) + 1, {metric: value}) for step, value in sorted(trial.intermediate_values.items())]
    state = _STATES[trial.state.name]
    # a pruned trial may have no final value: then the value of its last step counts
    value = trial.value if trial.value is not None or not curve else curve[-1][1][metric]
    return ImportedTrial(
        params=trial.params,
        state=state,
        metrics={} if value is None or not state.finished else {metric: value},
        curve=curve,
        started_at=_utc(trial.datetime_start),
        ended_at=_utc(trial.datetime_complete),
        reason={TrialState.STOPPED_EARLY: "pruned", TrialState.FAILED: "failed under Optuna"}.get(state),
        architecture=trial.user_attrs.get("architecture"),
    )


def _utc(time: datetime | None) -> datetime | None:
    """Return a time of Optuna, which is local time without a time zone, in UTC."""
    return None if time is None else time.astimezone(UTC)
