"""Ensembles: average the best trials of a run, selected on validation images and tested once."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...results.database.store import Store
from ...results.query.best import best as query_best
from ...spaces.architectures.budget import Budget
from ..experiment.experiment import search_file_of
from .retrain import OnEpoch, experiment_and_data, find_best_model, load_best_model, retrain_trial

if TYPE_CHECKING:
    from ...models.export.classifier import ImageModel

ENSEMBLE = "ensemble"  # kind of the event with the result


def ensemble_run(
    store: Store,
    run: str,
    folder: Path,
    *,
    top: int = 5,
    device: str = "cpu",
    on_trial: Callable[[Trial], OnEpoch] = lambda trial: lambda seed_index, epochs, result: None,
) -> dict[str, Any]:
    """Select an ensemble from the ``top`` best trials of ``run`` under its budget; return and record its metrics.

    A trial without saved weights is retrained with its own seed; ``on_trial`` returns the callback for its epochs.
    ``folder`` is the folder of the runs. The output of the ensemble is the mean of the members' probabilities. Members
    are selected on the validation images; the test images are used once, after the selection.

    Raises ``ValueError`` if the run has fewer than two finished trials.
    """
    import torch

    from ...models.training.ensemble import average_probabilities, select_members
    from ...models.training.evaluate import accuracy

    record = store.run(run)
    trials = query_best(store, budget=Budget.of(search_file_of(record).budget), run=run, top=top)
    if len(trials) < 2:
        raise ValueError(f"an ensemble needs at least 2 finished trials, but {run!r} has {len(trials)}; train more")
    _, data = experiment_and_data(store, trials[0])  # all trials of a run have the same data
    models = [_model(store, trial, folder, device, on_trial(trial)) for trial in trials]

    def probabilities_of(split: Any) -> torch.Tensor:
        return torch.stack([model.probabilities(split.images) for model in models])

    val = probabilities_of(data.val)
    # twice as many rounds as models: the selection may add a model several times, which gives it more weight
    counts = select_members(val, data.val.labels, 2 * top)
    members = [
        {"trial": trial.trial, "count": count, "val_accuracy": accuracy(probabilities, data.val.labels)}
        for trial, count, probabilities in zip(trials, counts, val, strict=True)
    ]
    detail = {"members": members, "val_accuracy": accuracy(average_probabilities(val, counts), data.val.labels)}
    if data.test is not None:
        test, labels = probabilities_of(data.test), data.test.labels
        for member, probabilities in zip(members, test, strict=True):
            member["test_accuracy"] = accuracy(probabilities, labels)
        detail["test_accuracy"] = accuracy(average_probabilities(test, counts), labels)
        # a count of 0 means that the trial was a candidate but is not in the ensemble
        detail["mean_member_test_accuracy"] = fmean(one["test_accuracy"] for one in members if one["count"])
    store.add_event(record.run_id, "info", ENSEMBLE, detail)
    return detail


def _model(store: Store, trial: Trial, folder: Path, device: str, on_epoch: OnEpoch) -> "ImageModel":
    """Return the saved model of ``trial``; retrain the trial first if it has none."""
    if find_best_model(store, trial, folder) is None:
        retrain_trial(store, trial, folder, device=device, on_epoch=on_epoch)
    return load_best_model(store, trial, folder)
