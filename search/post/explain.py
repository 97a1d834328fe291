"""Explanations of a run's final zero-shot model: the words and test images behind its predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.artifacts import verified_path
from ...results.database.reader import StoreReader
from ...results.database.records import Trial
from ...results.database.zero_shot_records import MODEL, is_zero_shot, latest_test_table
from ...spaces.parameters.lookup import unknown
from ..experiment.experiment import experiment as make_experiment
from ..experiment.experiment import load_run_data
from ..experiment.foreign_paths import check_paths
from ..experiment.stored_settings import search_file_of
from ..runs.explanations import explanations

if TYPE_CHECKING:
    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.saved_model import ZeroShotModel


def explain_classes(store: StoreReader, trial: Trial, runs: Path, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return one entry for each of the unseen ``classes``, all without ``classes``, from the highest PR-AUC on.

    The entries are those of :mod:`~archsieve.search.runs.explanations`. Raises ``ValueError`` if the trial has no
    model, its data have changed, or a class is not an unseen one.
    """
    import torch

    model = load_final_model(store, trial, runs)
    data = _same_data(store, trial)
    unseen = [data.classes[k] for k in data.unseen.tolist()]
    for name in classes:
        if name not in unseen:
            raise ValueError(unknown("unseen class", name, unseen))
    selected = data.unseen if not classes else torch.tensor([data.classes.index(name) for name in classes])
    entries = explanations(model, data, selected)
    return sorted(entries, key=lambda entry: -entry["pr_auc"])  # the easiest class first


def load_final_model(store: StoreReader, trial: Trial, runs: Path) -> "ZeroShotModel":
    """Load the model that was trained on all seen classes at the end of the trial's run.

    Checks the size and the sha256 of its file. Only the selected trial of a zero-shot run has a model: with models of
    other trials, a user could select by test results. Raises ``ValueError`` if the trial has none.
    """
    from ...models.zero_shot.saved_model import ZeroShotModel

    if not is_zero_shot(trial):
        raise ValueError(
            f"only a zero-shot model can be explained, but trial {trial.trial} is an image classifier; choose the "
            "selected trial of a zero-shot run"
        )
    files = [row for row in store.artifacts(trial.trial) if row["kind"] == MODEL]
    if not files:
        table = latest_test_table(store, trial.run)
        fix = (
            f"explain trial {table['trial']}, the selected one"
            if table is not None
            else f"its run was stopped before its test, so continue it: archsieve resume {trial.run}"
        )
        raise ValueError(f"only the selected trial of a run has a saved model, but trial {trial.trial} has none; {fix}")
    return ZeroShotModel.load(verified_path(runs, files[-1]))  # the newest, if a resumed run was tested again


def write_page(path: Path, trial: Trial, classes: Sequence[dict[str, Any]]) -> Path:
    """Write an HTML page with the explanations of ``classes`` and their images; return its path."""
    from ...results.database.atomic_file import atomic_write
    from ...results.report.page_parts import page, section
    from ...results.report.zero_shot_section import explanation_parts

    if path.is_dir():
        raise ValueError(f"the output must be a file, but {path} is a folder; write to {path / 'explain.html'}")
    title = f"archsieve: explanation of trial {trial.trial} of {trial.run}"
    # a temporary file that replaces the target at the end: a crash leaves no half-written page
    with atomic_write(path) as draft:
        draft.write_text(
            page(title, [section("Unseen classes", *explanation_parts(classes, whole=True))], plotly=False), "utf-8"
        )
    return path


def _same_data(store: StoreReader, trial: Trial) -> "ZeroShotData":
    """Load the data of the trial's run again; ``load_run_data`` raises ``ValueError`` if they have changed."""
    run = store.run(trial.run)
    check_paths(store, run)
    data: ZeroShotData
    data, _ = load_run_data(run, make_experiment(search_file_of(run)))
    return data
