"""Retraining: a trial's network trained again by several seeds; the store keeps the figures, a file the weights."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.artifacts import checked, keep_file
from ...results.database.records import Trial
from ...results.database.store import Store
from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import Recipe
from ...spaces.recipes.zero_shot_recipe import recorded_recipe
from ..cluster.threads import threads_of
from ..experiment.experiment import Experiment, data_of, file_of, load_recorded_plugins
from ..experiment.experiment import experiment as make_experiment

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.export.classifier import ImageModel
    from ...results.database.reader import Reading

WEIGHTS = "weights"  # the kind of artifact
RETRAINED = "retrained"  # the event that tells of it
Heard = Callable[[int, int, Any], None]  # place of the seed, its number of epochs, what the last one did


def retrain_trial(
    store: Store,
    trial: Trial,
    folder: Path,
    *,
    seeds: int = 1,
    epochs: int | None = None,
    device: str = "cpu",
    on_epoch: Heard = lambda place, epochs, result: None,
) -> dict[str, Any]:
    """Train the network of ``trial`` anew by ``seeds`` seeds, the trial's own first, and return what was found.

    On the data as the run split them, by the trial's recipe, for ``epochs`` where they are given, with as many threads
    as a trial has. Each network keeps the weights of its best validation epoch, and is tested once. Files go below
    ``folder``, which the store is relative to. Raises ``ValueError`` where the data have changed, or the trial is no
    classifier.
    """
    from ...models.export.classifier import ImageModel
    from ...models.training.retrain import retrain

    experiment, data = loaded(store, trial)
    recipe = _recipe(trial, epochs)
    architecture = Architecture.from_json(trial.architecture)
    rows: list[dict[str, Any]] = []
    for place, seed in enumerate(seeds_of(trial, seeds)):
        with threads_of(experiment.file.resources):
            found = retrain(
                architecture,
                recipe,
                data,
                seed=seed,
                device=device,
                precision=experiment.file.resources.precision,
                on_epoch=lambda result, place=place: on_epoch(place, recipe.epochs, result),  # type: ignore[misc]
            )
        uri = f"{trial.run}/weights-{trial.trial}-{seed}-{recipe.epochs}.safetensors"
        best = found.best
        about = {"seed": seed, "recipe": recipe.to_json(), "val_accuracy": best.val_accuracy, "epoch": best.epoch}
        model = ImageModel.of(architecture, found.weights, data, about)
        keep_file(store, trial.trial, WEIGHTS, folder, uri, model.to_bytes())
        figures = {"val_accuracy": best.val_accuracy, "val_loss": best.val_loss, "best_epoch": best.epoch}
        rows.append({"seed": seed, **figures, "test_accuracy": found.test_accuracy, "weights": uri})
    detail = {"trial": trial.trial, "epochs": recipe.epochs, "device": device, "networks": rows}
    store.add_event(store.run(trial.run).run_id, "info", RETRAINED, detail, trial.trial)
    return detail


def loaded(store: "Reading", trial: Trial) -> tuple[Experiment, "ImageData"]:
    """The experiment of the trial's run and its data; ``ValueError`` where they are not what they were."""
    run = store.run(trial.run)
    experiment = make_experiment(file_of(run))
    if experiment.task.name != CLASSIFICATION:
        raise ValueError(
            f"trial {trial.trial} is zero-shot: its search trains the chosen one anew and keeps the model; "
            f"archsieve results show {trial.trial} says where"
        )
    return experiment, data_of(run, experiment)


def seeds_of(trial: Trial, count: int) -> list[int]:
    """The trial's own seed and others that follow from it; below 2**31, the same on every machine."""
    rng = random.Random(f"retrain {trial.seed}")
    return [trial.seed, *(rng.getrandbits(31) for _ in range(count - 1))]


def best_model(store: "Reading", trial: Trial, folder: Path) -> "ImageModel | None":
    """The kept network of ``trial`` with the highest validation accuracy, checked to be what was written; or None."""
    from ...models.export.classifier import ImageModel

    load_recorded_plugins(store.run(trial.run))
    rows = [row for row in store.artifacts(trial.trial) if row["kind"] == WEIGHTS]
    models = [ImageModel.load(checked(folder, row)) for row in rows]
    return max(models, key=lambda model: float(model.about["val_accuracy"]), default=None)


def kept_model(store: "Reading", trial: Trial, folder: Path) -> "ImageModel":
    """:func:`best_model`; ``ValueError`` where no weights were kept."""
    model = best_model(store, trial, folder)
    if model is None:
        raise ValueError(
            f"trial {trial.trial} has no weights: a search keeps figures alone; train it again first: "
            f"archsieve train {trial.trial}"
        )
    return model


def _recipe(trial: Trial, epochs: int | None) -> Recipe:
    if not trial.state.finished:
        raise ValueError(f"a trial that finished is trained again, but trial {trial.trial} is {trial.state.value}")
    recipe = recorded_recipe(trial.recipe)
    return recipe if epochs is None else replace(recipe, epochs=epochs)
