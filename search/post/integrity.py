"""Integrity check of runs beyond the database: the files of a run, and the searcher rebuilt from its history.

The invariants I1 to I6 are those of :data:`~archsieve.results.maintenance.integrity.INVARIANTS`.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ...results.database.errors import RefusedError
from ...results.database.reader import StoreReader
from ...results.database.records import History, RunRecord, RunStatus, Trial, TrialState
from ...results.maintenance.integrity import Violation, check_store
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost
from ...spaces.recipes.recipe import Recipe
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe, recipe_from_json
from ...spaces.search_space.encoding import decisions_of
from ..experiment.experiment import Experiment
from ..experiment.experiment import experiment as make_experiment
from ..experiment.foreign_paths import check_paths, foreign_paths
from ..experiment.stored_settings import search_file_of
from ..runs.warm_start import fits
from ..trials.checkpoint_files import (
    BrokenCheckpointError,
    CheckpointDir,
    Checkpoints,
    checkpoints_of,
    identity_of_trial,
)
from ..trials.spool import Spool

Seen = dict[tuple[str, Recipe], int]  # (fingerprint, recipe) -> id of its first trial


def check_runs(
    store: StoreReader, runs: Path, *, deep: bool = False, note: Callable[[str], None] = lambda message: None
) -> list[Violation]:
    """Return the broken invariants of the store and of the run folders in ``runs``.

    ``deep`` also rebuilds the searcher of each run. ``note`` is called with a message for each check that is skipped.
    """
    elsewhere = runs_elsewhere(store, runs)
    problems = check_store(store, runs, deep=deep, elsewhere=elsewhere)
    if any(broken.invariant == "file" for broken in problems):  # the rows of a damaged file cannot be trusted
        return problems
    for run in store.runs():
        history = store.history(run.run_id)
        # a run that is marked running breaks I3 if its driver is dead: then its files do not change
        if run.status is RunStatus.RUNNING and not any(b.invariant == "I3" and b.run == run.name for b in problems):
            note(f"run {run.name}: its files are not checked, because it is running and changes them")
        elif run.name in elsewhere:
            note(f"run {run.name}: its files are not checked, because {runs / run.name} does not exist; use --runs")
        elif paths := foreign_paths(store, run):
            note(f"run {run.name}: its files are not checked, because it was imported with paths: {', '.join(paths)}")
        else:
            problems += _checkpoints(run, history, runs / run.name)
            problems += _spooled(run, runs / run.name)
        if deep:
            problems += _searcher(store, run, history, note)
    return problems


def runs_elsewhere(store: StoreReader, runs: Path) -> set[str]:
    """Return the names of runs on a server whose files are not below ``runs``: another machine or folder has them.

    The files of a run in an SQLite database are next to it, so there a missing folder is a loss.
    """
    if store.engine.dialect.name == "sqlite":
        return set()
    return {run.name for run in store.runs() if not (runs / run.name).is_dir()}


def repair_runs(store: StoreReader, runs: Path) -> Iterator[str]:
    """Repair what is safe to repair without training, and yield what was done.

    Removes checkpoints of trials that have ended, which a worker may have written after another process took its run
    over, and saved reports of such trials. A run that is running is left to ``resume``. Damaged results are not
    repaired.
    """
    elsewhere = runs_elsewhere(store, runs)
    for run in store.runs():
        if run.status is RunStatus.RUNNING or run.name in elsewhere or foreign_paths(store, run):
            continue
        ended = {trial.trial: trial for trial in store.history(run.run_id).ended}
        checkpoints = _checkpoints_of(run, runs / run.name)
        for trial_id in sorted({*checkpoints.trials()} & set(ended)):
            directory = checkpoints.of_trial(trial_id)
            if names := directory.own_names(identity_of_trial(ended[trial_id])):
                directory.clear(identity_of_trial(ended[trial_id]))
                yield f"run {run.name}: removed {', '.join(names)} of the ended trial {trial_id} from {directory.url}"
        yield from _repaired_spool(run, ended, Spool(runs / run.name / "spool"))


def _repaired_spool(run: RunRecord, ended: Mapping[int, Trial], spool: Spool) -> Iterator[str]:
    """Remove the saved reports of a run if all of them belong to trials that have ended with their result."""
    if not (files := spool.files()):
        return
    entries = list(spool.entries())
    stored = (
        entry.trial in ended and entry.identity in (None, identity_of_trial(ended[entry.trial])) for entry in entries
    )
    if all(stored):
        spool.clear()
        yield f"run {run.name}: removed {len(files)} files of reports whose trials have ended"


def _checkpoints_of(run: RunRecord, folder: Path) -> Checkpoints:
    return checkpoints_of(folder, run.config.get("resources", {}).get("checkpoints"))


def _checkpoints(run: RunRecord, history: History, folder: Path) -> Iterator[Violation]:
    """Check I4 and I5: unfinished trials have complete checkpoints of their finished epochs, other trials have none."""
    checkpoints = _checkpoints_of(run, folder)
    ended = {trial.trial: trial for trial in history.ended}
    unfinished = {trial.trial for trial in history.unfinished}
    for trial_id in sorted({*checkpoints.trials()} - unfinished):
        directory = checkpoints.of_trial(trial_id)
        own = trial_id in ended and directory.own_names(identity_of_trial(ended[trial_id]))
        fix = "archsieve db check --repair removes its checkpoints" if own else "move its files to another place"
        yield Violation("I5", run.name, f"{directory.url} belongs to no unfinished trial; {fix}")
    for trial in history.unfinished:
        yield from _checkpoint_dir(run, trial, checkpoints.of_trial(trial.trial))


def _checkpoint_dir(run: RunRecord, trial: Trial, checkpoint_dir: CheckpointDir) -> Iterator[Violation]:
    """Check the checkpoint directory of an unfinished trial."""
    fix = f"archsieve resume {run.name} continues from the newest complete checkpoint"
    epochs = [0]  # epoch 0 needs no checkpoint
    for name in checkpoint_dir.names():
        if not name.endswith(".pt"):  # a checkpoint gets its final name after it is written
            yield Violation("I5", run.name, f"{checkpoint_dir.url}/{name} is incomplete; {fix}")
    for epoch in checkpoint_dir.epochs():
        try:
            epochs.append(checkpoint_dir.read(epoch)[0].epoch)
        except BrokenCheckpointError as error:
            yield Violation("I5", run.name, f"{error}; {fix}")
    if max(epochs) < trial.epochs_done:
        fact = f"trial {trial.trial} has {trial.epochs_done} finished epochs, its newest checkpoint has {max(epochs)}"
        yield Violation("I4", run.name, f"{fact}; {fix}")


def _spooled(run: RunRecord, folder: Path) -> Iterator[Violation]:
    """Check I5: no results are left in files of the spool."""
    for path in Spool(folder / "spool").files():
        fix = f"archsieve resume {run.name} writes them; for a complete run use archsieve db check --repair"
        yield Violation("I5", run.name, f"{path} holds results that are not in the database; {fix}")


def _searcher(store: StoreReader, run: RunRecord, history: History, note: Callable[[str], None]) -> Iterator[Violation]:
    """Check I6: each trial fits the space, costs and budget of its run, and the searcher works with the history."""
    try:
        check_paths(store, run)
        experiment = make_experiment(search_file_of(run))
    except (ValueError, RefusedError) as error:  # such as an imported run, which has no search file
        note(f"run {run.name}: its searcher is not checked, because it cannot be rebuilt: {error}")
        return
    seen: Seen = {}
    for trial in history:
        try:
            for fact in _wrong_trial(experiment, trial, seen):
                yield Violation("I6", run.name, f"trial {trial.trial} {fact}; do not use its metrics")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            fact = f"trial {trial.trial} cannot be read: {type(error).__name__}: {error}"
            yield Violation("I6", run.name, f"{fact}; restore a backup: archsieve db restore BACKUP")
            return  # the searcher reads all trials, so it would fail with the same error
    if history.trials:
        yield from _rebuilt(experiment, run, history, seen)


def _wrong_trial(experiment: Experiment, trial: Trial, seen: Seen) -> Iterator[str]:
    """Yield each fact about ``trial`` that contradicts its run; add the trial to ``seen``."""
    architecture, recipe = Architecture.from_json(trial.architecture), recipe_from_json(trial.recipe)
    if (first := seen.setdefault((trial.fingerprint, recipe), trial.trial)) != trial.trial:
        yield f"repeats trial {first}"
    if not fits(experiment.recipes, recipe):
        yield "has a recipe outside the recipes of its run"
    in_closed_form = isinstance(recipe, ZeroShotRecipe) and recipe.is_closed  # solved in one epoch
    if trial.state is TrialState.COMPLETED and trial.epochs_done != recipe.epochs and not in_closed_form:
        yield f"is marked completed after {trial.epochs_done} of {recipe.epochs} epochs"
    # these columns are derived from the architecture, so they are computed again and compared
    costs = cost(architecture, experiment.constrained.batch_size)
    if architecture.fingerprint != trial.fingerprint:
        recorded, computed = trial.fingerprint[:12], architecture.fingerprint[:12]
        yield f"has the recorded fingerprint {recorded}, but its architecture has {computed}"
    if differ := [name for name, value in costs.to_json().items() if getattr(trial, name, value) != value]:
        yield f"has recorded {', '.join(differ)} that differ from those of its architecture"
    if broken := experiment.budget.broken(costs):
        yield f"is outside the budget: {', '.join(broken)}"
    if decisions_of(experiment.space, architecture) != dict(trial.choices):
        yield "has recorded choices that differ from those of its architecture"


def _rebuilt(experiment: Experiment, run: RunRecord, history: History, seen: Seen) -> Iterator[Violation]:
    """Check that the rebuilt searcher can make a proposal after this history, and that the proposal is new."""
    plan = experiment.plan(experiment.constrained)
    try:
        proposal = plan.ask(history, random.Random(0))
    except Exception as error:  # a broken history can make a searcher raise any exception, and the check reports it
        yield Violation("I6", run.name, f"its searcher fails on its history: {type(error).__name__}: {error}")
        return
    if proposal is not None and proposal.key in seen:
        yield Violation("I6", run.name, f"its searcher proposes an old trial again: {proposal.architecture}")
