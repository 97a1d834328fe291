"""Ensembles: average the best trials of a run, or their weights, selected on validation images and tested once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...results.database.store import Store
from ...results.query.best import best as query_best
from ...spaces.architectures.budget import Budget
from ...spaces.metrics.selection import Selection
from ..experiment.stored_settings import search_file_of
from .retrain import OnEpoch, experiment_and_data, find_best_model, load_best_model, retrain_trial
from .soup import check_soup, cook

if TYPE_CHECKING:
    import torch

    from ...models.data.dataset import ImageData, Split
    from ...models.export.classifier import ImageModel

ENSEMBLE = "ensemble"  # kind of the event with the result


def ensemble_run(
    store: Store,
    run: str,
    folder: Path,
    *,
    top: int = 5,
    soup: str | None = None,
    output: Path | None = None,
    device: str = "cpu",
    on_trial: Callable[[Trial], OnEpoch] = lambda trial: lambda seed_index, epochs, result: None,
) -> dict[str, Any]:
    """Select an ensemble from the ``top`` best trials of ``run`` under its budget; return and record its metrics.

    A trial without saved weights is retrained with its own seed; ``on_trial`` returns the callback for its epochs.
    ``folder`` is the folder of the runs. The output of the ensemble is the mean of the members' probabilities. Members
    are selected on the validation images; the test images are used once, after the selection.

    With ``soup``, "uniform" or "greedy", the weights of the members are averaged instead, into one network, which is
    written to ``output``. Raises ``ValueError`` if the run has fewer than two finished trials, and for a soup of
    different networks.
    """
    _check_output(output, soup)
    record = store.run(run)
    trials = query_best(store, budget=Budget.of(search_file_of(record).budget), run=run, top=top)
    if len(trials) < 2:
        raise ValueError(f"an ensemble needs at least 2 finished trials, but {run!r} has {len(trials)}; train more")
    experiment, data = experiment_and_data(store, trials[0])
    selection = experiment.selection
    _check_computed(selection)
    if soup is not None:
        check_soup(soup, trials)  # before trials are trained again
    models = [_model(store, trial, folder, device, on_trial(trial)) for trial in trials]
    mixture, detail = _selected(models, trials, data, selection, soup)
    if data.test is not None:
        for problem in _add_test(detail, models, mixture, data, selection):
            store.add_event(record.run_id, "warning", "test_metric_failed", {"reason": problem})
    store.add_event(record.run_id, "info", ENSEMBLE, detail)
    if mixture.soup is not None and output is not None:
        replace(mixture.soup, about={**mixture.soup.about, **detail}).save(output)
    return detail


def _check_output(output: Path | None, soup: str | None) -> None:
    """Raise ``ValueError`` for an ``output`` without a soup, ``FileNotFoundError`` if its folder does not exist."""
    if output is not None and soup is None:
        raise ValueError(
            f"only a soup is one network that can be written, but got output {str(output)!r} without soup; add soup, "
            "or leave output out"
        )
    if output is not None and not output.parent.is_dir():
        raise FileNotFoundError(f"the folder {str(output.parent)!r} must exist, but does not; create it first")


def _check_computed(selection: Selection) -> None:
    if selection.reported:
        raise ValueError(
            f"members are selected by the metric of the run, but only its training function computes {selection.metric}"
            ": their mean has no value; search with a metric of archsieve, or register one with av.register_metric"
        )


@dataclass(frozen=True, eq=False)
class _Mixture:
    """How often each of M models is in the ensemble, and the network of their mean weights if it is a soup."""

    counts: list[int]
    soup: "ImageModel | None"

    def probabilities(self, of_members: "torch.Tensor", split: "Split") -> "torch.Tensor":
        """Return the probabilities (N, K) of the ensemble for ``split``; those of its members are (M, N, K)."""
        from ...models.training.ensemble import average_probabilities

        if self.soup is not None:
            return self.soup.probabilities(split.images)
        return average_probabilities(of_members, self.counts)


def _selected(
    models: Sequence["ImageModel"], trials: Sequence[Trial], data: "ImageData", selection: Selection, soup: str | None
) -> tuple[_Mixture, dict[str, Any]]:
    """Select an ensemble or a soup on the validation images; return it, and its metrics with those of the models."""
    from ...models.training.ensemble import metric_values, select_members, selection_score

    labels, of_members = data.val.labels, _probabilities(models, data, "val")
    if soup is None:
        # twice as many rounds as models: the selection may add a model several times, which gives it more weight
        mixture = _Mixture(select_members(of_members, labels, 2 * len(models), selection), None)
    else:
        data = _decoded(data, models[0])  # all models have one network
        network, counts = cook(
            soup, models, data, lambda model: selection_score(model.probabilities(data.val.images), labels, selection)
        )
        mixture = _Mixture(counts, network)
    values_of = partial(metric_values, labels=labels, metrics=selection.computed)
    members = [
        {"trial": trial.trial, "count": count, **values_of(probabilities)}
        for trial, count, probabilities in zip(trials, mixture.counts, of_members, strict=True)
    ]
    kind = {} if soup is None else {"soup": soup}
    return mixture, {"members": members, **kind, **values_of(mixture.probabilities(of_members, data.val))}


def _probabilities(models: Sequence["ImageModel"], data: "ImageData", part: str) -> "torch.Tensor":
    """Return the probabilities (M, N, K) of M models for the split ``part``, each on images as it was trained on."""
    import torch

    found: dict[int, torch.Tensor] = {}
    for decoding in dict.fromkeys(model.input.decoding for model in models):  # images are decoded once for each
        of_decoding = [number for number, model in enumerate(models) if model.input.decoding == decoding]
        images = getattr(_decoded(data, models[of_decoding[0]]), part).images
        found |= {number: models[number].probabilities(images) for number in of_decoding}
    return torch.stack([found[number] for number in range(len(models))])


def _decoded(data: "ImageData", model: "ImageModel") -> "ImageData":
    from ...models.data.normalisation import decoded

    return decoded(data, model.input.decoding)


def _add_test(
    detail: dict[str, Any], models: Sequence["ImageModel"], mixture: _Mixture, data: "ImageData", selection: Selection
) -> list[str]:
    """Add the metrics of the test images to ``detail`` and its members; return why custom metrics failed there."""
    from ...models.training.ensemble import metrics_on_test

    of_members, test = (
        _probabilities(models, data, "test"),
        data.test if mixture.soup is None else _decoded(data, models[0]).test,
    )
    assert test is not None
    together = mixture.probabilities(of_members, test)
    *tests, whole = [metrics_on_test(one, test.labels, selection.computed) for one in (*of_members, together)]
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
