"""Export of learning curves and recipes as TensorBoard event files."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..database.reader import StoreReader
from ..database.records import Trial
from ..database.run_name import check_run_name


def write_events(store: StoreReader, folder: str | Path, runs: Iterable[str | int] = ()) -> int:
    """Write the folder ``folder/RUN/trial-ID`` for each trial of ``runs``, or of all runs; return the number of trials.

    The event files have the learning curves, the final metrics and costs, and the recipe as hyperparameters. Values of
    curves that are not finite are left out.

    Raises ``ValueError`` for an unknown run, and if ``folder`` is a file or not empty: TensorBoard would draw old and
    new event files on top of each other.
    """
    from tensorboardX import SummaryWriter

    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"event files need a new or empty folder, but {folder} is not empty; name another folder")
    # A name becomes a folder; a database from elsewhere may have any name.
    names = [store.run(run).name for run in runs] or [run.name for run in store.runs()]
    count = 0
    for name in map(check_run_name, names):
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
    final = {f"final/{name}": getattr(trial, name) for name in ("val_accuracy", "val_loss", "params", "macs")}
    final |= {f"final/{name}": value for name, value in trial.metrics.items()}
    final_values = {name: float(value) for name, value in final.items() if value is not None}
    # TensorBoard's hyperparameters can only have these types.
    recipe = {name: value for name, value in trial.recipe.items() if isinstance(value, bool | int | float | str)}
    # Not writer.add_hparams(): within the same second, it opens a second file with the same name, and both are lost.
    for summary in hparams(recipe, final_values):
        writer.file_writer.add_summary(summary)
    for name, value in final_values.items():
        writer.add_scalar(name, value)
