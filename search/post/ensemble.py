"""Ensembles: average the best trials of a run, selected on validation images and tested once."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...results.database.store import Store
from ...results.query.best import best as query_best
from ...spaces.architectures.budget import Budget
from ...spaces.metrics.selection import Selection
from ..experiment.experiment import search_file_of
from .retrain import OnEpoch, experiment_and_data, find_best_model, load_best_model, retrain_trial

if TYPE_CHECKING:
    import torch

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

    from ...models.training.ensemble import average_probabilities, metric_values, select_members

    record = store.run(run)
    trials = query_best(store, budget=Budget.of(search_file_of(record).budget), run=run, top=top)
    if len(trials) < 2:
        raise ValueError(f"an ensemble needs at least 2 finished trials, but {run!r} has {len(trials)}; train more")
    experiment, data = experiment_and_data(store, trials[0])
    selection = experiment.selection
    _check_computed(selection)
    models = [_model(store, trial, folder, device, on_trial(trial)) for trial in trials]

    values_of = partial(metric_values, labels=data.val.labels, metrics=selection.computed)

    def probabilities_of(split: Any) -> torch.Tensor:
        return torch.stack([model.probabilities(split.images) for model in models])

    val = probabilities_of(data.val)
    # twice as many rounds as models: the selection may add a model several times, which gives it more weight
    counts = select_members(val, data.val.labels, 2 * top, selection)
    members = [
        {"trial": trial.trial, "count": count, **values_of(probabilities)}
        for trial, count, probabilities in zip(trials, counts, val, strict=True)
    ]
    detail: dict[str, Any] = {"members": members, **values_of(average_probabilities(val, counts))}
    if data.test is not None:
        problems = _add_test(detail, probabilities_of(data.test), counts, data.test.labels, selection)
        for problem in problems:
            store.add_event(record.run_id, "warning", "test_metric_failed", {"reason": problem})
    store.add_event(record.run_id, "info", ENSEMBLE, detail)
    return detail


def _check_computed(selection: Selection) -> None:
    if selection.reported:
        raise ValueError(
            f"members are selected by the metric of the run, but only its training function computes {selection.metric}"
            ": their mean has no value; search with a metric of archsieve, or register one with av.register_metric"
        )


def _add_test(
    detail: dict[str, Any],
    probabilities: "torch.Tensor",
    counts: Sequence[int],
    labels: "torch.Tensor",
    selection: Selection,
) -> list[str]:
    """Add the metrics of the test images to ``detail`` and its members; return why custom metrics failed there.

    ``probabilities`` (M, N, K) are those of the members, ``counts`` (M,) how often each is in the ensemble.
    """
    from ...models.training.ensemble import average_probabilities, metrics_on_test

    mean = average_probabilities(probabilities, counts)
    *tests, whole = [metrics_on_test(one, labels, selection.computed) for one in (*probabilities, mean)]
    for member, tested in zip(detail["members"], tests, strict=True):
        member |= tested.values
    detail |= whole.values | _means_of_members(detail["members"], whole.values)
    return list(dict.fromkeys(problem for tested in (*tests, whole) for problem in tested.problems))


def _means_of_members(members: list[dict[str, Any]], names: Iterable[str]) -> dict[str, float]:
    """Return the mean of each metric over the members; a count of 0 is a candidate that is not in the ensemble.

    A custom metric that failed for a member has no mean.
    """
    chosen = [member for member in members if member["count"]]
    measured = [name for name in names if all(name in one for one in chosen)]
    return {f"mean_member_{name}": fmean(one[name] for one in chosen) for name in measured}


def _model(store: Store, trial: Trial, folder: Path, device: str, on_epoch: OnEpoch) -> "ImageModel":
    """Return the saved model of ``trial``; retrain the trial first if it has none."""
    if find_best_model(store, trial, folder) is None:
        retrain_trial(store, trial, folder, device=device, on_epoch=on_epoch)
    return load_best_model(store, trial, folder)
