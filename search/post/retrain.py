"""Retraining: train a trial's network again with several seeds; save its metrics in the store, its weights in files."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.artifacts import verified_path, write_artifact
from ...results.database.records import TEST_PREFIX, Trial
from ...results.database.store import Store
from ...results.database.zero_shot_records import latest_test_table
from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.registry import ACCURACY, int8_name
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.task_kinds import CLASSIFICATION
from ...spaces.recipes.recipe import Recipe
from ...spaces.recipes.zero_shot_recipe import recipe_from_json
from ..cluster.threads import trial_threads
from ..config.selecting_metric import check_packages
from ..experiment.experiment import Experiment, load_recorded_blocks, load_run_data
from ..experiment.experiment import experiment as make_experiment
from ..experiment.foreign_paths import check_paths
from ..experiment.stored_settings import search_file_of

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.export.classifier import ImageModel
    from ...models.training.retrain import Retrained
    from ...results.database.reader import StoreReader

WEIGHTS = "weights"  # kind of the artifacts
RETRAINED = "retrained"  # kind of the event with the result
OnEpoch = Callable[[int, int, Any], None]  # (index of the seed, number of epochs, result of the last epoch)


def retrain_trial(
    store: Store,
    trial: Trial,
    folder: Path,
    *,
    seeds: int = 1,
    epochs: int | None = None,
    device: str = "cpu",
    on_epoch: OnEpoch = lambda seed_index, epochs, result: None,
) -> dict[str, Any]:
    """Train the network of ``trial`` again with ``seeds`` seeds, first its own; return and record the metrics.

    Data, split, recipe and number of threads are those of the trial; ``epochs`` replaces the epochs of the recipe.
    Each network gets the weights of its best validation epoch, is calibrated on the validation images, and is tested
    once. The weights are saved below ``folder``, the folder of the runs. ``on_epoch`` is called after each epoch.
    Raises ``ValueError`` if the data have changed, the trial did not finish, or it is not a classifier.
    """
    from ...models.export.teacher import load_teacher
    from ...models.training.retrain import retrain

    experiment, data = experiment_and_data(store, trial)
    check_packages(experiment.selection)
    recipe = _recipe(trial, epochs)
    architecture, teacher = Architecture.from_json(trial.architecture), load_teacher(recipe, data)
    rows, run_id = list[dict[str, Any]](), store.run(trial.run).run_id
    for seed_index, seed in enumerate(seeds_of(trial, seeds)):
        # torch adds in another order with another number of threads, so only an equal number reproduces the trial
        with trial_threads(experiment.file.resources):
            retrained = retrain(
                architecture,
                recipe,
                data,
                seed=seed,
                device=device,
                precision=experiment.file.resources.precision,
                selection=experiment.selection,
                weights=experiment.file.space.weights,
                teacher=teacher,
                custom=experiment.custom,
                on_epoch=lambda result, index=seed_index: on_epoch(index, recipe.epochs, result),  # type: ignore[misc]
            )
        model, int8 = _model_of(retrained, architecture, data, seed, recipe, experiment.selection)
        uri = _write_model(store, trial, folder, model, seed, recipe.epochs)
        for problem in retrained.problems:
            store.add_event(run_id, "warning", "test_metric_failed", {"reason": problem}, trial.trial)
        metrics = {**_metrics(retrained), **int8, **_tested(retrained, experiment.selection)}
        rows.append({"seed": seed, **metrics, "weights": uri})
    detail = {"trial": trial.trial, "epochs": recipe.epochs, "device": device, "networks": rows}
    store.add_event(run_id, "info", RETRAINED, detail, trial.trial)
    return detail


def _model_of(
    retrained: "Retrained",
    architecture: Architecture,
    data: "ImageData",
    seed: int,
    recipe: Recipe,
    selection: Selection,
) -> tuple["ImageModel", dict[str, float]]:
    """Return the model of a trained network, and its validation metrics in int8 by their names in the database.

    There are metrics in int8 only if one of them selects. They are in ``about`` of the model, by which the best of
    several is selected.
    """
    from ...models.export.classifier import ImageModel

    about, temperature = origin_of(retrained, seed, recipe), retrained.calibration.temperature
    model = ImageModel.of(architecture, retrained.weights, data, about, temperature=temperature)
    if not selection.in_int8:
        return model, {}
    from ...models.quantization.validation import int8_metrics

    names = (ACCURACY, *selection.computed)
    metrics = int8_metrics(model.network, replace(data, mean=model.mean, std=model.std), names)
    int8 = {int8_name(name): value for name, value in metrics.items()}
    return replace(model, about={**model.about, **int8}), int8


def _write_model(store: Store, trial: Trial, folder: Path, model: "ImageModel", seed: int, epochs: int) -> str:
    """Write the file of a trained network, and return its path below ``folder``."""
    # the name has all that distinguishes the networks of a trial: the same retraining replaces its own file
    uri = f"{trial.run}/weights-{trial.trial}-{seed}-{epochs}.safetensors"
    write_artifact(store, trial.trial, WEIGHTS, folder, uri, model.to_bytes())
    return uri


def _tested(retrained: "Retrained", selection: Selection) -> dict[str, float | None]:
    """Return the metrics of the test by their names; None for a custom metric that failed there."""
    names = dict.fromkeys((*selection.computed, *retrained.test_metrics)) if retrained.test_accuracy is not None else ()
    others = {TEST_PREFIX + name: retrained.test_metrics.get(name) for name in names}
    return {"test_accuracy": retrained.test_accuracy, **others}


def experiment_and_data(store: "StoreReader", trial: Trial) -> tuple[Experiment, "ImageData"]:
    """Load the experiment of the trial's run and its data.

    Raises ``ValueError`` if the data have changed since the run, or the trial is not a classifier.
    """
    run = store.run(trial.run)
    check_paths(store, run)
    experiment = make_experiment(search_file_of(run))
    if experiment.task.name != CLASSIFICATION:
        table = latest_test_table(store, trial.run)
        fix = (
            f"export the model that its search has trained: archsieve export {table['trial']}"
            if table is not None
            else f"its search ends with a trained model: archsieve resume {trial.run}"
        )
        raise ValueError(f"the trial must be an image classifier, but trial {trial.trial} is zero-shot; {fix}")
    return experiment, load_run_data(run, experiment)


def seeds_of(trial: Trial, count: int) -> list[int]:
    """Return ``count`` seeds below 2**31: the trial's own, and others derived from it, the same on every machine."""
    # a string as the seed: Python hashes it with sha512, so these numbers are unrelated to those of the search
    rng = random.Random(f"retrain {trial.seed}")
    return [trial.seed, *(rng.getrandbits(31) for _ in range(count - 1))]


@dataclass(frozen=True)
class SavedModel:
    """The saved model of ``trial`` in the file of the row ``artifact``, and the ``score`` that its header gives."""

    trial: Trial
    artifact: Mapping[str, Any]
    score: float


def saved_models(store: "StoreReader", trial: Trial, folder: Path, selection: Selection) -> list[SavedModel]:
    """Return the saved models of ``trial`` from their headers, without their weights.

    Raises ``ValueError`` for a file that is missing, has another size than its record, or cannot be read.
    """
    from ...models.export.safetensors_file import read_header

    models = []
    for row in store.artifacts(trial.trial):
        if row["kind"] == WEIGHTS:
            header = read_header(verified_path(folder, row, deep=False))
            models.append(SavedModel(trial, row, score_of(header.get("about", {}), selection)))
    return models


def load_saved(store: "StoreReader", model: SavedModel, folder: Path) -> "ImageModel":
    """Return a saved model, with the custom blocks of its run.

    Raises ``ValueError`` if the size or the sha256 of the file differs from its record.
    """
    from ...models.export.classifier import ImageModel

    run = store.run(model.trial.run)
    check_paths(store, run)
    load_recorded_blocks(run, model.trial.architecture)
    return ImageModel.load(verified_path(folder, model.artifact))


def find_best_model(store: "StoreReader", trial: Trial, folder: Path) -> "ImageModel | None":
    """Return the saved model of ``trial`` that is best by the metric of its run, or None if it has none.

    Raises ``ValueError`` if the file of a model is missing or differs from its record.
    """
    selection = Selection.from_config(store.run(trial.run).config)
    models = saved_models(store, trial, folder, selection)
    best = max(models, key=lambda model: model.score, default=None)
    return None if best is None else load_saved(store, best, folder)


def score_of(network: Mapping[str, Any], selection: Selection) -> float:
    """Return the value to maximise of a trained network, from its metrics by name; minus infinity without one."""
    score = selection.score(network)
    return -math.inf if score is None else score


def load_best_model(store: "StoreReader", trial: Trial, folder: Path) -> "ImageModel":
    """Return the result of :func:`find_best_model`; raise ``ValueError`` if the trial has no saved weights."""
    model = find_best_model(store, trial, folder)
    if model is None:
        raise no_weights(trial)
    return model


def no_weights(trial: Trial) -> ValueError:
    """Return the error for a trial that has no saved weights."""
    return ValueError(
        f"trial {trial.trial} has no weights, because a search saves metrics alone; train it again first: "
        f"archsieve train {trial.trial}"
    )


def origin_of(retrained: "Retrained", seed: int, recipe: Recipe) -> dict[str, Any]:
    """Return what a model file records of its training."""
    best, calibration = retrained.best, asdict(retrained.calibration)
    measured = {"val_accuracy": best.val_accuracy, **best.metrics, "epoch": best.epoch, "calibration": calibration}
    return {"seed": seed, "recipe": recipe.to_json(), **measured}


def _metrics(retrained: "Retrained") -> dict[str, Any]:
    """Return the validation metrics of a network for the database."""
    best, calibration = retrained.best, retrained.calibration
    return {
        "val_accuracy": best.val_accuracy,
        **best.metrics,
        "val_loss": best.val_loss,
        "best_epoch": best.epoch,
        "temperature": calibration.temperature,
        "calibrated_val_loss": calibration.loss_after,
    }


def _recipe(trial: Trial, epochs: int | None) -> Recipe:
    """Return the recipe of a finished trial, with ``epochs`` if they are given."""
    if not trial.state.finished:
        raise ValueError(
            f"only a finished trial can be trained again, but trial {trial.trial} is {trial.state.value}; name another"
        )
    recipe = recipe_from_json(trial.recipe)
    return recipe if epochs is None else replace(recipe, epochs=epochs)
