"""Thumbnails of the most confident mistakes of a run's best trial, for its report."""

from typing import TYPE_CHECKING, Any

from ...results.analysis.class_metrics import mistakes
from ...results.analysis.intervals import readable_predictions
from ...results.database.errors import RefusedError
from ...results.database.reader import StoreReader
from ...results.database.records import RunRecord
from ...results.query.best import best
from ...results.query.budget_filter import budget_from_config
from ...results.report.class_section import Thumbnails
from ...spaces.parameters.task_kinds import ZERO_SHOT
from ..experiment.experiment import Experiment, load_run_data
from ..experiment.experiment import experiment as make_experiment
from ..experiment.foreign_paths import check_paths
from ..experiment.stored_settings import search_file_of

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData, Split


def thumbnails_of(store: StoreReader, run: RunRecord, experiment: Experiment, data: Any) -> Thumbnails:
    """Return the thumbnails of the mistakes of the run's best trial, at most 12 of at most 64 pixels a side.

    An image that cannot be read any more has none.
    """
    winner = next(iter(best(store, budget=budget_from_config(run.config), run=run.run_id)), None)
    if winner is None or experiment.task.name == ZERO_SHOT:
        return Thumbnails()
    predictions, _ = readable_predictions(store, winner)
    if predictions is None:
        return Thumbnails()
    chosen = [one.image for one in mistakes(predictions, list(map(str, range(predictions.n_classes))))]
    try:
        return Thumbnails(_data_urls(_validated(experiment, data), chosen))
    except (ValueError, OSError) as error:
        return Thumbnails(reason=_reason(error))


def read_thumbnails(store: StoreReader, run: RunRecord) -> Thumbnails:
    """Load the data of a run again and return its thumbnails, or the reason why its images cannot be read.

    The data may be missing or changed, or the run may have been imported and name paths of another machine.
    """
    try:
        check_paths(store, run)
        experiment = make_experiment(search_file_of(run))
        return thumbnails_of(store, run, experiment, load_run_data(run, experiment))
    except (ValueError, OSError, RefusedError) as error:
        return Thumbnails(reason=_reason(error))


def _reason(error: Exception) -> str:
    return f"The images of these mistakes cannot be shown: {str(error)[:300]}"


def _validated(experiment: Experiment, data: "ImageData") -> "list[Split]":
    """Return the validation images of a trial: one split, or that of each fold."""
    from ...models.data.folds import cross_folds

    folds = experiment.file.search.folds
    return (
        [data.val] if folds is None else [fold.val for fold in cross_folds(data, folds, seed=experiment.file.data.seed)]
    )


def _data_urls(splits: "list[Split]", chosen: list[int]) -> dict[int, str]:
    import torch

    from ...models.zero_shot.explain import data_uri

    urls = {}
    for position in chosen:
        start = 0
        for split in splits:
            if start <= position < start + len(split):
                image = split.take(torch.tensor([position - start])).images[0].cpu()
                # a PNG has one channel or three
                urls[position] = data_uri(image if len(image) in (1, 3) else image[:1])
            start += len(split)
    return urls
