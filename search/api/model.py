"""A trained model from Python: train the network of a trial, predict on files, arrays and tensors, export."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ...results.database.records import Trial
from ...results.database.store import open_store
from ...results.database.url import DatabaseLocation, parse_location, runs_folder
from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.registry import ACCURACY, MULTI_LABEL_METRIC
from ...spaces.metrics.selection import Selection
from ...spaces.recipes.recipe import Recipe
from ..post.predict import check_threshold
from ..post.retrain import origin_of, retrain_trial, score_of
from .arguments import check_arguments
from .results import DATABASE, StoredTrial
from .spaces import Network, architecture_of

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image
    from torch import Tensor, nn

    from ...models.data.dataset import ImageData
    from ...models.export.classifier import ImageModel
    from ...models.export.onnx_file import OnnxModel

    OneImage = str | Path | Image | Tensor | numpy.ndarray
    Images = OneImage | Sequence[OneImage]
    Ranking = list[tuple[str, float]]
    Labels = tuple[str, ...]


class Model:
    """A trained classifier with its class names and the preprocessing of its training images.

    ``about`` describes the training that gave the weights: seed, recipe, validation metrics, epoch and calibration.

    :meth:`predict` and :meth:`predict_proba` take the path of an image file or of a folder of images, a PIL image, a
    NumPy array or tensor of one or several images, or a sequence of these:

    * Files and PIL images are decoded and resized as the training images were.
    * Arrays and tensors are (N, C, H, W) or (N, H, W, C), or one image without N; grey images may lack C. Integers must
      be from 0 to 255, floats in [0, 1]. Height and width must be those of the training images, unless ``resize`` is
      True: then the array is resized as a file with these pixels is.

    ``batch_size`` images are decoded and predicted at a time. ``device`` is "cpu" (the default), "cuda" or "cuda:1".
    Anything else raises a ``ValueError`` with the values found.
    """

    def __init__(self, trained: "ImageModel | OnnxModel") -> None:
        self._trained = trained
        self._placed: dict[str, ImageModel | OnnxModel] = {}

    def __repr__(self) -> str:
        return f"<Model {self.architecture}, {len(self.classes)} classes>"

    @property
    def architecture(self) -> Architecture:
        """The architecture of the network."""
        return self._trained.architecture

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the scores."""
        return self._trained.classes

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes, or none."""
        return self._trained.multi_label

    @property
    def about(self) -> dict[str, Any]:
        """The training that gave the weights: seed, recipe, validation metrics, epoch and calibration."""
        return dict(self._trained.about)

    @property
    def module(self) -> "nn.Module":
        """The network as a ``torch.nn.Module`` in evaluation mode: normalised images (N, C, H, W) -> scores (N, K)."""
        return self._torch_model.network

    @overload
    def predict(
        self,
        images: "Images",
        *,
        batch_size: int = 256,
        device: str = "cpu",
        resize: bool = False,
        threshold: float | None = None,
    ) -> "list[str] | list[Labels]": ...

    @overload
    def predict(
        self, images: "Images", *, top: int, batch_size: int = 256, device: str = "cpu", resize: bool = False
    ) -> "list[Ranking]": ...

    def predict(
        self,
        images: "Images",
        *,
        top: int | None = None,
        batch_size: int = 256,
        device: str = "cpu",
        resize: bool = False,
        threshold: float | None = None,
    ) -> "list[str] | list[Labels] | list[Ranking]":
        """Return the class name of each image.

        Where images have several labels, return the tuple of the classes with a probability above ``threshold``, by
        default that of the model, 0.5. With ``top``, return for each image its ``top`` most probable classes as pairs
        (name, probability).
        """
        check_threshold(threshold, multi_label=self.multi_label)
        probabilities = self.predict_proba(images, batch_size=batch_size, device=device, resize=resize)
        if top is not None:
            from ...models.export.classifier import rankings

            return rankings(probabilities, self.classes, top)
        if self.multi_label:
            from ...models.export.classifier import label_sets

            return label_sets(probabilities, self.classes, self._trained.threshold if threshold is None else threshold)
        return [self.classes[k] for k in probabilities.argmax(1).tolist()]

    def predict_proba(
        self, images: "Images", *, batch_size: int = 256, device: str = "cpu", resize: bool = False
    ) -> "Tensor":
        """Return the calibrated class probabilities (N, K), float32 on the CPU; with one label a row sums to 1."""
        import torch

        if type(batch_size) is not int or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, but got {batch_size!r}; use 256")
        model = self._on(str(device))
        batches = model.input.batches(images, batch_size=batch_size, resize=resize)
        parts = [model.probabilities(batch, batch_size) for batch in batches]
        return torch.cat(parts) if parts else torch.zeros(0, len(self.classes))

    def _on(self, device: str) -> "ImageModel | OnnxModel":
        """Return the model on ``device``; one copy is kept, so that another device frees the memory of the last."""
        if device not in self._placed:
            self._placed = {device: self._trained.to(device)}
        return self._placed[device]

    @property
    def _torch_model(self) -> "ImageModel":
        from ...models.export.classifier import ImageModel

        if not isinstance(self._trained, ImageModel):
            raise ValueError(
                "a model from an ONNX file can only predict, because it has no torch module; load the .safetensors file"
            )
        return self._trained

    def save(self, path: str | Path) -> Path:
        """Write the model to one safetensors file, which :func:`load_model` reads; it contains numbers and no code."""
        from ...results.database.atomic_file import atomic_write

        path = Path(path)
        if path.suffix != ".safetensors":
            raise ValueError(
                f"the suffix must be .safetensors, but got {str(path)!r}; change it, or use export() for other formats"
            )
        _check_folder(path)
        content = self._torch_model.to_bytes()
        with atomic_write(path) as draft:
            draft.write_bytes(content)
        return path

    def export(self, path: str | Path, *, form: str = "classifier") -> Path:
        """Export the model for other programs; the suffix of ``path`` is .onnx, .pt2 (torch.export) or .safetensors.

        Before the file is written, the exported model is loaded and its outputs are compared with those of torch.
        ``form`` is "classifier", "features" or "fully-convolutional".
        """
        from ...models.export.formats import FORMATS, export
        from ...results.database.atomic_file import atomic_write

        path = Path(path)
        by_suffix = {format.suffix: name for name, format in FORMATS.items()}
        if path.suffix not in by_suffix:
            suffixes = ", ".join(by_suffix)
            raise ValueError(f"the suffix must be one of {suffixes}, but got {str(path)!r}; use one of them")
        _check_folder(path)
        made = export(self._torch_model, by_suffix[path.suffix], form)
        with atomic_write(path) as draft:
            draft.write_bytes(made.content)
        return path


def _check_folder(path: Path) -> None:
    """Raise ``FileNotFoundError`` unless the folder of ``path`` exists, before any work is done for the file."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {str(path.parent)!r} must exist, but does not; create it first")


def load_model(path: str | Path) -> Model:
    """Load a model that :func:`train`, ``Model.save`` or ``archsieve train`` wrote. No code in the file is run.

    A file with the suffix .onnx that ``Model.export`` or ``archsieve export`` wrote is run by onnxruntime; such a model
    can only predict. Raises ``ValueError`` if the file is not a model.
    """
    from ...models.export.onnx_file import load_classifier
    from ..plugins.loading import load_entry_points

    check_arguments("load_model", {"path": path})
    load_entry_points()
    return Model(load_classifier(Path(path)))


def train(
    trial: Trial | int | str,
    *,
    seeds: int = 1,
    epochs: int | None = None,
    device: str | None = None,
    database: str | Path | None = None,
    runs: str | Path | None = None,
) -> Model:
    """Train the network of a finished trial from scratch and return the best model by the metric of its search.

    A search stores no weights. This function trains the network with the trial's recipe on the same split, once for
    each of ``seeds`` seeds. It stores the metrics of each network in the database, and the weights in a file in the
    folder of the run. ``epochs`` replaces the number of the recipe. The default ``device`` is "cuda" if there is a
    GPU, else "cpu".

    ``trial`` is a trial of :func:`run_search` or :func:`open_results`, or its id or RUN:NUMBER in ``database``.
    Raises ``ValueError`` if the data have changed since the search.
    """
    check_arguments("train", {"seeds": seeds, "epochs": epochs, "device": device, "runs": runs})
    import torch

    location = location_of(trial, database)
    folder = runs_folder(location) if runs is None else Path(runs)
    with open_store(location) as store:
        from ...results.query.trial_name import find_trial

        record = store.trial(trial.trial) if isinstance(trial, Trial) else find_trial(store, trial)
        if isinstance(trial, Trial) and record.fingerprint != trial.fingerprint:
            raise ValueError(
                f"the database must contain this trial, but trial {trial.trial} in {location} is another network; "
                "pass the database in which the trial is stored"
            )
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        trained = retrain_trial(store, record, folder, seeds=seeds, epochs=epochs, device=device)
        selection = Selection.from_config(store.run(record.run).config)
    best = max(trained["networks"], key=lambda network: score_of(network, selection))
    return load_model(folder / best["weights"])


def train_architecture(
    network: Network,
    data: "ImageData | str",
    recipe: Recipe | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    device: str | None = None,
    weights: str | Path | None = None,
) -> Model:
    """Train one architecture with one recipe, without a search and without a database, and return the model.

    ``network`` is an architecture, a trial, or a name such as "resnet18"; ``data`` are images of :func:`load_data`, or
    the name of a data set. The default recipe is that of a search. The model has the weights of the best validation
    epoch and is calibrated on the validation images; ``about`` has its accuracies and the calibration. ``weights`` of a
    network of timm or torchvision are "pretrained", a folder or a file; None starts from random weights. Raises
    ``ValueError`` for a wrong recipe, and for data or weights that do not fit the network.
    """
    import torch

    from ...models.data.registry import load_data
    from ...models.export.classifier import ImageModel
    from ...models.export.teacher import load_teacher
    from ...models.training.retrain import retrain

    check_arguments("train_architecture", {"recipe": recipe, "seed": seed, "device": device})
    architecture, images = architecture_of(network), load_data(data) if isinstance(data, str) else data
    if (images.input_shape, images.n_classes) != (architecture.input_shape, architecture.classes):
        raise ValueError(
            f"the architecture must fit the data, with images of {images.input_shape} and {images.n_classes} classes, "
            f"but it takes {architecture.input_shape} and has {architecture.classes}; create it with those of the data"
        )
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.from_json(recipe or {})
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    trained = retrain(
        architecture,
        recipe,
        images,
        seed=seed,
        device=device,
        selection=Selection.of(MULTI_LABEL_METRIC if images.multi_label else ACCURACY),
        weights=None if weights is None else str(weights),
        teacher=load_teacher(recipe, images),
    )
    about = {**origin_of(trained, seed, recipe), "test_accuracy": trained.test_accuracy}
    temperature = trained.calibration.temperature
    return Model(ImageModel.of(architecture, trained.weights, images, about, temperature=temperature))


def location_of(trial: Trial | int | str, database: str | Path | None) -> DatabaseLocation:
    """Return ``database``, or else the one that a trial was read from, or else the default."""
    if database is not None:
        return parse_location(database)
    return trial.database if isinstance(trial, StoredTrial) else parse_location(DATABASE)
