"""Explaining: a run's finished zero-shot model read back from its file, and what it goes by on the test images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.artifacts import checked
from ...results.database.reader import Reading
from ...results.database.records import Trial
from ...results.database.zero_shot_records import MODEL, is_zero_shot, table_of
from ...spaces.parameters.lookup import unknown
from ..experiment.experiment import data_of, file_of
from ..experiment.experiment import experiment as make_experiment
from ..runs.explanations import explanations

if TYPE_CHECKING:
    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.saved_model import ZeroShotModel


def explained_classes(store: Reading, trial: Trial, runs: Path, classes: Sequence[str]) -> list[dict[str, Any]]:
    """An entry for each of the unseen ``classes``, or for all of them; see :mod:`~archsieve.search.runs.explanations`.

    Raises ``ValueError`` where the trial has no model, its data have changed, or a class is not an unseen one.
    """
    import torch

    model = finished_model(store, trial, runs)
    data = _same_data(store, trial)
    unseen = [data.classes[k] for k in data.unseen.tolist()]
    for name in classes:
        if name not in unseen:
            raise ValueError(unknown("unseen class", name, unseen))
    chosen = data.unseen if not classes else torch.tensor([data.classes.index(name) for name in classes])
    return explanations(model, data, chosen)


def finished_model(store: Reading, trial: Trial, runs: Path) -> "ZeroShotModel":
    """The model that was trained on all seen classes at the end of the trial's run, its file checked by size and sum.

    Only the chosen trial of a zero-shot run has one: to look at the test with others would be to choose by it.
    """
    from ...models.zero_shot.saved_model import ZeroShotModel

    if not is_zero_shot(trial):
        raise ValueError(f"what is explained is a zero-shot model, but trial {trial.trial} is a classifier of images")
    files = [row for row in store.artifacts(trial.trial) if row["kind"] == MODEL]
    if not files:
        table = table_of(store, trial.run)
        cure = (
            f"explain trial {table['trial']}, the chosen one"
            if table is not None
            else f"its run was stopped before its end: archsieve resume {trial.run}"
        )
        raise ValueError(f"the model of a run's chosen trial is kept, but trial {trial.trial} has none; {cure}")
    return ZeroShotModel.load(checked(runs, files[-1]))


def write_page(path: Path, trial: Trial, classes: Sequence[dict[str, Any]]) -> Path:
    """A page with pictures, and the path it was written to."""
    from ...results.database.atomic_file import whole
    from ...results.report.page_parts import page, section
    from ...results.report.zero_shot_section import explanation_parts

    if path.is_dir():
        raise ValueError(f"a page is a file, but {path} is a folder; write to {path / 'explain.html'}")
    title = f"archsieve: what trial {trial.trial} of {trial.run} goes by"
    with whole(path) as draft:
        draft.write_text(page(title, [section("Unseen classes", *explanation_parts(classes))], plotly=False), "utf-8")
    return path


def _same_data(store: Reading, trial: Trial) -> "ZeroShotData":
    """The data of the trial's run, loaded again."""
    run = store.run(trial.run)
    data: ZeroShotData
    data, _ = data_of(run, make_experiment(file_of(run)))
    return data
