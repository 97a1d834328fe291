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
from ...spaces.recipes.parameter_table import with_options, written_options
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
    if not any(map(is_trial_name, written_options(teachers))):
        return experiment
    location = parse_location(database or runs / "archsieve.db")
    with open_store(location, read_only=True) as store:
        files = with_options(teachers, lambda teacher: _file(teacher, store, runs_folder(location)))
    return replace(experiment, file=experiment.file.model_copy(update={"recipe": {**recipe, "teacher": files}}))


def _file(teacher: Any, store: StoreReader, folder: Path) -> Any:
    if not is_trial_name(teacher):
        return teacher
    trial = find_trial(store, teacher)
    models = saved_models(store, trial, folder, Selection.from_config(store.run(trial.run).config))
    if not models:
        raise no_weights(trial)
    return str(verified_path(folder, max(models, key=lambda model: model.score).artifact).resolve())
