"""Ensembling: the best trials of a run together, chosen on validation images and tested once."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...results.database.store import Store
from ...results.query.best import best as query_best
from ...spaces.architectures.budget import Budget
from ..experiment.experiment import file_of
from .retrain import Heard, best_model, kept_model, loaded, retrain_trial

if TYPE_CHECKING:
    from ...models.export.classifier import ImageModel

ENSEMBLE = "ensemble"  # the event that tells of it


def ensemble_run(
    store: Store,
    run: str,
    folder: Path,
    *,
    top: int = 5,
    device: str = "cpu",
    on_trial: Callable[[Trial], Heard] = lambda trial: lambda place, epochs, result: None,
) -> dict[str, Any]:
    """Choose among the ``top`` best trials of ``run`` under its budget, and return what was found.

    A trial without kept weights is trained anew by its own seed. The ensemble is the mean of probabilities; its
    members are chosen on the validation images, and the test images are looked at once, when they are.
    """
    import torch

    from ...models.training.ensemble import averaged, select
    from ...models.training.evaluate import accuracy

    record = store.run(run)
    trials = query_best(store, budget=Budget.of(file_of(record).budget), run=run, top=top)
    if len(trials) < 2:
        raise ValueError(f"an ensemble takes 2 finished trials at least, but run {run!r} has {len(trials)}")
    _, data = loaded(store, trials[0])
    models = [_model(store, trial, folder, device, on_trial(trial)) for trial in trials]

    def said(split: Any) -> torch.Tensor:
        return torch.stack([model.probabilities(split.images) for model in models])

    val = said(data.val)
    counts = select(val, data.val.labels, 2 * top)
    members = [
        {"trial": trial.trial, "count": count, "val_accuracy": accuracy(own, data.val.labels)}
        for trial, count, own in zip(trials, counts, val, strict=True)
    ]
    detail = {"members": members, "val_accuracy": accuracy(averaged(val, counts), data.val.labels)}
    if data.test is not None:
        test, labels = said(data.test), data.test.labels
        for member, own in zip(members, test, strict=True):
            member["test_accuracy"] = accuracy(own, labels)
        detail["test_accuracy"] = accuracy(averaged(test, counts), labels)
        inside = [member["test_accuracy"] for member in members if member["count"]]
        detail["mean_member_test_accuracy"] = fmean(inside)
    store.add_event(record.run_id, "info", ENSEMBLE, detail)
    return detail


def _model(store: Store, trial: Trial, folder: Path, device: str, on_epoch: Heard) -> "ImageModel":
    """The trial's kept network, trained anew where there is none."""
    if best_model(store, trial, folder) is None:
        retrain_trial(store, trial, folder, device=device, on_epoch=on_epoch)
    return kept_model(store, trial, folder)
