"""Checking a run beyond its rows: the files in its folder, and the searcher that its history must lead back to."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from ...results.database.reader import Reading
from ...results.database.records import History, RunRecord, RunStatus, Trial, TrialState
from ...results.maintenance.integrity import Broken, check_store
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost
from ...spaces.recipes.recipe import Recipe
from ...spaces.recipes.zero_shot_recipe import recorded_recipe
from ...spaces.search_space.encoding import decisions_of
from ..experiment.experiment import Experiment, file_of
from ..experiment.experiment import experiment as make_experiment
from ..runs.warm_start import fits
from ..trials.checkpoint_files import BrokenCheckpointError, CheckpointDir, checkpoints_of
from ..trials.spool import Spool

Seen = dict[tuple[str, Recipe], int]  # (fingerprint, recipe) -> the first trial of it


def check_runs(
    store: Reading, runs: Path, *, deep: bool = False, note: Callable[[str], None] = lambda said: None
) -> list[Broken]:
    """What is broken in the store, and in the runs' folders below ``runs``; searchers are rebuilt where ``deep``.

    ``note`` hears of what could not be checked.
    """
    found = check_store(store, runs, deep=deep)
    if any(broken.invariant == "file" for broken in found):
        return found
    for run in store.runs():
        history = store.history(run.run_id)
        if run.status is RunStatus.RUNNING and not any(b.invariant == "I3" and b.run == run.name for b in found):
            note(f"run {run.name}: it is being driven, and its checkpoints change while they are read: not checked")
        else:
            found += _checkpoints(run, history, runs / run.name)
            found += _spooled(run, runs / run.name)
        if deep:
            found += _searcher(run, history, note)
    return found


def _checkpoints(run: RunRecord, history: History, folder: Path) -> Iterator[Broken]:
    """I4 and I5: unfinished trials have whole checkpoints of what they have done, the others have none."""
    checkpoints = checkpoints_of(folder, run.config.get("resources", {}).get("checkpoints"))
    unfinished = {trial.trial for trial in history.unfinished}
    for left in sorted({*checkpoints.trials()} - unfinished):
        yield Broken("I5", run.name, f"{checkpoints.of_trial(left).url} is no unfinished trial's; a resume removes it")
    for trial in history.unfinished:
        yield from _checkpoint_dir(run, trial, checkpoints.of_trial(trial.trial))


def _checkpoint_dir(run: RunRecord, trial: Trial, checkpoint_dir: CheckpointDir) -> Iterator[Broken]:
    go_on = f"archsieve resume {run.name} goes on from what is whole"
    epochs = [0]
    for name in checkpoint_dir.names():
        if not name.endswith(".pt"):
            yield Broken("I5", run.name, f"{checkpoint_dir.url}/{name} was cut short while it was written; {go_on}")
    for epoch in checkpoint_dir.epochs():
        try:
            epochs.append(checkpoint_dir.read(epoch)[0].epoch)
        except BrokenCheckpointError as error:
            yield Broken("I5", run.name, f"{error}; {go_on}")
    if max(epochs) < trial.epochs_done:
        said = f"trial {trial.trial} has done {trial.epochs_done} epochs, its newest checkpoint is of {max(epochs)}"
        yield Broken("I4", run.name, f"{said}; {go_on}")


def _spooled(run: RunRecord, folder: Path) -> Iterator[Broken]:
    for path in Spool(folder / "spool").files():
        yield Broken("I5", run.name, f"{path} holds results; bring them in with: archsieve resume {run.name}")


def _searcher(run: RunRecord, history: History, note: Callable[[str], None]) -> Iterator[Broken]:
    """I6: each trial as the space, the prices and the budget have it, and the searcher's view of them all."""
    try:
        experiment = make_experiment(file_of(run))
    except ValueError as error:
        note(f"run {run.name}: its searcher cannot be rebuilt here: {error}")
        return
    seen: Seen = {}
    for trial in history:
        try:
            for said in _wrong_trial(experiment, trial, seen):
                yield Broken("I6", run.name, f"trial {trial.trial} {said}; do not use its figures")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            said = f"trial {trial.trial} cannot be read: {type(error).__name__}: {error}"
            yield Broken("I6", run.name, f"{said}; bring back a backup (archsieve db backup makes them)")
            return
    if history.trials:
        yield from _rebuilt(experiment, run, history, seen)


def _wrong_trial(experiment: Experiment, trial: Trial, seen: Seen) -> Iterator[str]:
    architecture, recipe = Architecture.from_json(trial.architecture), recorded_recipe(trial.recipe)
    if (first := seen.setdefault((trial.fingerprint, recipe), trial.trial)) != trial.trial:
        yield f"is trial {first} again"
    if not fits(experiment.recipes, recipe):
        yield "has a recipe that its run does not have"
    if trial.state is TrialState.COMPLETED and trial.epochs_done != recipe.epochs:
        yield f"is said to be complete after {trial.epochs_done} of {recipe.epochs} epochs"
    price = cost(architecture, experiment.sieve.batch_size)
    if architecture.fingerprint != trial.fingerprint:
        yield f"is said to be {trial.fingerprint[:12]}, but is {architecture.fingerprint[:12]}"
    if differ := [name for name, value in price.to_json().items() if getattr(trial, name, value) != value]:
        yield f"has other {', '.join(differ)} than its architecture"
    if broken := experiment.budget.broken(price):
        yield f"breaks the budget: {', '.join(broken)}"
    if decisions_of(experiment.space, architecture) != dict(trial.choices):
        yield "has other choices than its architecture"


def _rebuilt(experiment: Experiment, run: RunRecord, history: History, seen: Seen) -> Iterator[Broken]:
    """What the searcher would propose after this history is asked for; that it can be is what is checked."""
    plan = experiment.plan(experiment.sieve)
    try:
        proposal = plan.ask(history, random.Random(0))
    except Exception as error:
        yield Broken("I6", run.name, f"its searcher fails on its history: {type(error).__name__}: {error}")
        return
    if proposal is not None and proposal.key in seen:
        yield Broken("I6", run.name, f"its searcher proposes again what was tried: {proposal.architecture}")
