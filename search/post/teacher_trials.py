"""Teachers that are given as trials: the files of their trained networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...results.database.artifacts import verified_path
from ...results.database.reader import StoreReader
from ...results.database.store import open_store
from ...results.database.url import DatabaseLocation, parse_location, runs_folder
from ...results.query.trial_name import find_trial
from ...spaces.metrics.selection import Selection
from ...spaces.recipes.recipe import is_trial_name
from ..experiment.experiment import Experiment
from .retrain import no_weights, saved_models


def with_teacher_files(experiment: Experiment, database: str | DatabaseLocation | None, runs: Path) -> Experiment:
    """Return ``experiment`` with files for the teachers that are given as RUN:NUMBER of ``database``.

    None is the database in ``runs``, the folder of the runs.

    The file is that of the trial's best network, so that a resumed search has the same teacher. Raises ``ValueError``
    if there is no such trial, or if its network was not trained again and saved.
    """
    recipe = experiment.file.recipe
    teachers = recipe.get("teacher")
    if not any(map(is_trial_name, teachers if isinstance(teachers, list) else [teachers])):
        return experiment
    location = parse_location(database or runs / "archsieve.db")
    with open_store(location, read_only=True) as store:
        files = _files(teachers, store, runs_folder(location))
    return replace(experiment, file=experiment.file.model_copy(update={"recipe": {**recipe, "teacher": files}}))


def _files(teachers: Any, store: StoreReader, folder: Path) -> Any:
    if isinstance(teachers, list):
        return [_files(teacher, store, folder) for teacher in teachers]
    if not is_trial_name(teachers):
        return teachers
    trial = find_trial(store, teachers)
    models = saved_models(store, trial, folder, Selection.from_config(store.run(trial.run).config))
    if not models:
        raise no_weights(trial)
    return str(verified_path(folder, max(models, key=lambda model: model.score).artifact).resolve())
