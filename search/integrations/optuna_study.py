"""Optuna studies: a finished one as a run of the database."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...results.database.records import FIGURES, TrialState
from ...results.transfer.run_document import Document
from ...spaces.architectures.architecture import Architecture
from .imported_run import ForeignTrial, Origin, Params, document_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_STATES = {
    "COMPLETE": TrialState.COMPLETED,
    "PRUNED": TrialState.STOPPED_EARLY,
    "FAIL": TrialState.FAILED,
    "RUNNING": TrialState.INTERRUPTED,
}
_LARGER_IS_BETTER = {name: name.endswith("accuracy") for name in FIGURES}


def document_of_study(
    study: "Study",
    *,
    dataset: str,
    name: str | None = None,
    figure: str = "val_accuracy",
    architecture: Callable[[Params], Architecture] | None = None,
) -> Document:
    """``study`` as a run, to be brought in by :func:`~archsieve.results.transfer.importer.bring_in`.

    ``figure`` says what the study's one objective is: ``val_accuracy``, a fraction, or ``val_loss``. A value that was
    computed on test data is ``test_accuracy``: it is kept, and nothing is ever chosen by it.
    ``architecture`` makes a trial's network of its parameters; left out, each trial has to have it as JSON under the
    user attribute ``architecture``. The trials' other parameters become their recipe, ``recipe.NAME`` in a question.
    Raises ``ValueError`` where the study has several objectives or another direction, or no trial.
    """
    if len(study.directions) != 1:
        raise ValueError(f"a run is chosen by one figure, but the study has {len(study.directions)} objectives")
    direction = study.direction.name.lower()
    if figure not in _LARGER_IS_BETTER or (direction == "maximize") != _LARGER_IS_BETTER[figure]:
        raise ValueError(f"the study would {direction} its value, so it is no {figure}; say what it is: figure=...")
    trials = [_foreign(trial, figure) for trial in study.get_trials(deepcopy=False) if trial.state.name in _STATES]
    origin = Origin("optuna", type(study.sampler).__name__, dataset, architecture)
    return document_of(name or study.study_name, trials, origin)


def _foreign(trial: "FrozenTrial", figure: str) -> ForeignTrial:
    first = min(trial.intermediate_values, default=1)  # Optuna counts steps as it is told; epochs begin at 1
    curve = [(step - min(first, 1) + 1, {figure: value}) for step, value in sorted(trial.intermediate_values.items())]
    state = _STATES[trial.state.name]
    value = trial.value if trial.value is not None or not curve else curve[-1][1][figure]
    return ForeignTrial(
        params=trial.params,
        state=state,
        figures={} if value is None or not state.finished else {figure: value},
        curve=curve,
        started_at=_utc(trial.datetime_start),
        ended_at=_utc(trial.datetime_complete),
        reason={TrialState.STOPPED_EARLY: "pruned", TrialState.FAILED: "failed under Optuna"}.get(state),
        architecture=trial.user_attrs.get("architecture"),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna's moments are of the local zone and do not say so."""
    return None if moment is None else moment.astimezone(UTC)
