"""Prediction: the saved model of a file, a trial or a run, and its predictions for image files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...results.database.reader import StoreReader
from ...results.database.records import Trial
from ...results.database.zero_shot_records import is_zero_shot, latest_test_table
from ...results.query.best import best
from ...results.query.budget_filter import budget_from_config
from ...results.query.trial_name import find_trial, is_trial_name
from ...spaces.metrics.selection import Selection
from ...spaces.parameters.constraints import is_real
from .explain import load_final_model
from .retrain import load_best_model, load_saved, saved_models

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.export.classifier import ImageModel
    from ...models.export.onnx_file import OnnxModel
    from ...models.zero_shot.saved_model import ZeroShotModel
    from ...models.zero_shot.text_classifier import CombinedTextClassifier, TextClassifier

MODEL_SUFFIXES = (".safetensors", ".onnx", ".pt2", ".pt", ".pth")


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image file, with their probabilities, highest first.

    ``labels`` are the classes above the threshold, in the order of the classes, where images have several labels; the
    ranking then has all classes. None where they have one.
    """

    image: str
    ranking: tuple[tuple[str, float], ...]
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Unreadable:
    """An image file that cannot be decoded; ``message`` names the file and the reason."""

    image: str
    message: str


def is_model_file(name: str) -> bool:
    """Return whether ``name`` is a model file, and not the name of a run or a trial."""
    return Path(name).suffix in MODEL_SUFFIXES or Path(name).is_file()


def is_zero_shot_file(name: str) -> bool:
    """Return whether ``name`` is the file of a zero-shot model."""
    from ...models.export.safetensors_file import read_header

    path = Path(name)
    return path.suffix == ".safetensors" and path.is_file() and bool({"encoder", "members"} & read_header(path).keys())


def load_zero_shot_file(path: Path, texts: Path | None) -> "TextClassifier | CombinedTextClassifier":
    """Return the classifier for the classes of ``texts`` from the file of a zero-shot model or of a combination.

    Raises ``ValueError`` without texts, or if the file is neither.
    """
    from ...models.zero_shot.combination import is_combination_file, load_combination
    from ...models.zero_shot.saved_model import ZeroShotModel
    from ...models.zero_shot.text_classifier import CombinedTextClassifier

    if not is_combination_file(path):
        return _for_texts(ZeroShotModel.load(path), texts)
    rule, members = load_combination(path)
    return CombinedTextClassifier(rule, tuple(_for_texts(member, texts) for member in members))


def for_texts(
    model: "ImageModel | OnnxModel | ZeroShotModel", texts: Path | None
) -> "ImageModel | OnnxModel | TextClassifier":
    """Return ``model``, or the classifier that a zero-shot model is for the classes of ``texts``.

    Raises ``ValueError`` for a zero-shot model without texts, and for texts of another model.
    """
    from ...models.zero_shot.saved_model import ZeroShotModel

    if isinstance(model, ZeroShotModel):
        return _for_texts(model, texts)
    if texts is not None:
        raise ValueError(
            f"texts are for a zero-shot model, but this one has classes and texts is {texts}; leave it out"
        )
    return model


def _for_texts(model: "ZeroShotModel", texts: Path | None) -> "TextClassifier":
    from ...models.readers.class_texts import read_class_texts
    from ...models.zero_shot.text_classifier import TextClassifier

    if texts is None:
        raise ValueError(
            "a zero-shot model needs the texts of the classes to choose from, but got none; set --texts to a "
            "folder of CLASS.txt files, or to a .json file"
        )
    return TextClassifier(model, read_class_texts(texts.expanduser()))


def load_recorded_model(store: StoreReader, name: str, folder: Path) -> "ImageModel | ZeroShotModel":
    """Return the best trained network of the run or trial ``name``, by the metric of the run.

    Of zero-shot data it is the model of the selected trial.

    ``folder`` is the folder of the runs. Digits alone are the id of a trial. Raises ``ValueError`` if there is no such
    run or trial, or if it has no trained network.
    """
    known = {run.name for run in store.runs()}
    if is_trial_name(name) and (name.isdigit() or name not in known):
        trial = find_trial(store, name)
        return load_final_model(store, trial, folder) if is_zero_shot(trial) else load_best_model(store, trial, folder)
    run = store.run(name).name
    if (table := latest_test_table(store, run)) is not None:
        return load_final_model(store, find_trial(store, str(table["trial"])), folder)
    return _best_of_run(store, run, folder)


def check_threshold(threshold: float | None, *, multi_label: bool) -> None:
    """Raise ``ValueError`` for a threshold that is no probability, or of a model for one label."""
    if threshold is None:
        return
    if not multi_label:
        raise ValueError(
            f"threshold is for a model of images with several labels, but this one predicts one class and the "
            f"threshold is {threshold!r}; leave it out"
        )
    if not is_real(threshold) or not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a probability from 0 to 1, but got {threshold!r}; use 0.5, for example")


def predict_files(
    model: "ImageModel | OnnxModel | TextClassifier | CombinedTextClassifier",
    files: Sequence[Path],
    *,
    top: int = 1,
    batch_size: int = 256,
    threshold: float | None = None,
) -> Iterator[Prediction | Unreadable]:
    """Yield a prediction or an unreadable file for each of ``files``, batch by batch, in their order.

    ``threshold`` replaces that of a model of images with several labels.
    """
    check_threshold(threshold, multi_label=model.multi_label)
    for start in range(0, len(files), batch_size):
        part = files[start : start + batch_size]
        pixels, positions, bad = model.input.files(part)
        predictions = _predictions(model, [str(part[at]) for at in positions], pixels, top, batch_size, threshold)
        good = dict(zip(positions, predictions, strict=True))
        results = good | {at: Unreadable(str(part[at]), message) for at, message in bad}
        yield from (results[at] for at in range(len(part)))


def _predictions(
    model: "ImageModel | OnnxModel | TextClassifier | CombinedTextClassifier",
    names: Sequence[str],
    pixels: "Tensor",
    top: int,
    batch_size: int,
    threshold: float | None,
) -> list[Prediction]:
    from ...models.export.classifier import label_sets, rankings

    probabilities = model.probabilities(pixels, batch_size)
    if not model.multi_label:
        ranked = rankings(probabilities, model.classes, top)
        return [Prediction(name, tuple(row)) for name, row in zip(names, ranked, strict=True)]
    ranked = rankings(probabilities, model.classes, len(model.classes))
    sets = label_sets(probabilities, model.classes, model.threshold if threshold is None else threshold)
    return [Prediction(name, tuple(row), labels) for name, row, labels in zip(names, ranked, sets, strict=True)]


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
