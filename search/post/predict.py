"""Prediction: the saved model of a file, a trial or a run, and its predictions for image files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...results.database.reader import StoreReader
from ...results.database.records import Trial
from ...results.query.best import best
from ...results.query.budget_filter import budget_from_config
from ...results.query.trial_name import find_trial
from ...spaces.metrics.selection import Selection
from .retrain import load_best_model, load_saved, saved_models

if TYPE_CHECKING:
    from ...models.export.classifier import ImageModel
    from ...models.export.onnx_file import OnnxModel

MODEL_SUFFIXES = (".safetensors", ".onnx", ".pt2", ".pt", ".pth")


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image file, with their probabilities, highest first."""

    image: str
    ranking: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Unreadable:
    """An image file that cannot be decoded; ``message`` names the file and the reason."""

    image: str
    message: str


def is_model_file(name: str) -> bool:
    """Return whether ``name`` is a model file, and not the name of a run or a trial."""
    return Path(name).suffix in MODEL_SUFFIXES or Path(name).is_file()


def load_recorded_model(store: StoreReader, name: str, folder: Path) -> "ImageModel":
    """Return the best trained network of the run or trial ``name``, by the metric of the run.

    ``folder`` is the folder of the runs. Digits alone are the id of a trial. Raises ``ValueError`` if there is no such
    run or trial, or if it has no trained network.
    """
    if not name.isdigit() and name in {run.name for run in store.runs()}:
        return _best_of_run(store, name, folder)
    return load_best_model(store, find_trial(store, name), folder)


def predict_files(
    model: "ImageModel | OnnxModel", files: Sequence[Path], *, top: int = 1, batch_size: int = 256
) -> Iterator[Prediction | Unreadable]:
    """Yield a prediction or an unreadable file for each of ``files``, batch by batch, in their order."""
    from ...models.export.classifier import rankings

    for start in range(0, len(files), batch_size):
        part = files[start : start + batch_size]
        pixels, positions, bad = model.input.files(part)
        ranked = rankings(model.probabilities(pixels, batch_size), model.classes, top)
        good = {at: Prediction(str(part[at]), tuple(row)) for at, row in zip(positions, ranked, strict=True)}
        results = good | {at: Unreadable(str(part[at]), message) for at, message in bad}
        yield from (results[at] for at in range(len(part)))


def _best_of_run(store: StoreReader, run: str, folder: Path) -> "ImageModel":
    selection = Selection.from_config(store.run(run).config)
    models = [model for trial in store.trials(run) for model in saved_models(store, trial, folder, selection)]
    if not models:
        trial = _best_trial(store, run)
        advice = "search again" if trial is None else f"train one first: archsieve train {trial.trial}"
        raise ValueError(f"run {run!r} has no trained network, because a search saves metrics alone; {advice}")
    return load_saved(store, max(models, key=lambda model: model.score), folder)


def _best_trial(store: StoreReader, run: str) -> Trial | None:
    return next(iter(best(store, budget=budget_from_config(store.run(run).config), run=run)), None)
