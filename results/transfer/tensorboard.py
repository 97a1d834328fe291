"""TensorBoard: learning curves and recipes as event files."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..database.reader import Reading
from ..database.records import Trial


def write_events(store: Reading, folder: str | Path, runs: Iterable[str | int] = ()) -> int:
    """Write ``folder/RUN/trial-ID`` for each trial of the named runs, or of all, and return how many trials.

    Each has its curves, its costs and its final figures. A folder that holds anything already is refused: TensorBoard
    would draw both writings on top of each other. Figures that are not finite are left out.
    """
    from tensorboardX import SummaryWriter

    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"event files go into a new or empty folder, but {folder} has something in it; name another")
    names = [store.run(run).name for run in runs] or [run.name for run in store.runs()]
    count = 0
    for name in names:
        for trial in store.trials(name):
            with SummaryWriter(str(folder / name / f"trial-{trial.trial}"), write_to_disk=True) as writer:
                _write(writer, trial, store.curve(trial.trial))
            count += 1
    return count


def _write(writer: Any, trial: Trial, curves: dict[str, list[tuple[int, float]]]) -> None:
    from tensorboardX.summary import hparams

    for name, points in curves.items():
        for epoch, value in points:
            if math.isfinite(value):
                writer.add_scalar(name, value, epoch)
    figures = {f"final/{name}": getattr(trial, name) for name in ("val_accuracy", "val_loss", "params", "macs")}
    told = {name: float(value) for name, value in figures.items() if value is not None}
    recipe = {name: value for name, value in trial.recipe.items() if isinstance(value, bool | int | float | str)}
    # not writer.add_hparams: it opens a second file of the same name in the same second, and both are lost
    for summary in hparams(recipe, told):
        writer.file_writer.add_summary(summary)
    for name, value in told.items():
        writer.add_scalar(name, value)
