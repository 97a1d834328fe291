"""A trained model from Python: train the network of a trial, predict on files, export."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...results.database.store import open_store
from ...results.database.url import DatabaseLocation, parse_location, runs_folder
from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.selection import Selection
from ..post.retrain import retrain_trial, score_of
from .results import DATABASE, StoredTrial

if TYPE_CHECKING:
    import numpy
    from torch import Tensor, nn

    from ...models.export.classifier import ImageModel

    Images = Tensor | numpy.ndarray | Sequence[str | Path] | str | Path


class Model:
    """A trained classifier on the CPU, with its class names and the statistics of its training images.

    ``about`` describes the training that gave the weights: seed, recipe, validation accuracy and epoch.
    """

    def __init__(self, trained: "ImageModel") -> None:
        self._trained = trained

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
    def about(self) -> dict[str, Any]:
        """The training that gave the weights: seed, recipe, validation accuracy and epoch."""
        return dict(self._trained.about)

    @property
    def module(self) -> "nn.Module":
        """The network as a ``torch.nn.Module`` in evaluation mode: normalised images (N, C, H, W) -> scores (N, K)."""
        return self._trained.network

    def predict(self, images: "Images") -> list[str]:
        """Return the class name of each image.

        ``images`` are paths of image files, or a tensor or array (N, C, H, W), uint8 or float32 in [0, 1].
        """
        return [self.classes[k] for k in self.predict_proba(images).argmax(1).tolist()]

    def predict_proba(self, images: "Images") -> "Tensor":
        """Return the class probabilities (N, K), float32; a row sums to 1. ``images`` as for :meth:`predict`."""
        return self._trained.probabilities(self._as_tensor(images))

    def save(self, path: str | Path) -> Path:
        """Write the model to one safetensors file, which :func:`load_model` reads; it contains numbers and no code."""
        self._trained.save(path)
        return Path(path)

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
        made = export(self._trained, by_suffix[path.suffix], form)
        with atomic_write(path) as draft:
            draft.write_bytes(made.content)
        return path

    def _as_tensor(self, images: "Images") -> "Tensor":
        import torch

        shape = self.architecture.input_shape
        if isinstance(images, str | Path):
            images = [images]
        if isinstance(images, Sequence):
            from ...models.image_files.decoding import read_images

            return read_images([Path(path) for path in images], shape)
        batch = torch.as_tensor(images)
        if batch.shape[1:] != shape or batch.dtype not in (torch.uint8, torch.float32):
            raise ValueError(
                f"images must be uint8 or float32 of shape (N, {', '.join(map(str, shape))}), but got "
                f"{str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}; resize and convert them"
            )
        return batch


def load_model(path: str | Path) -> Model:
    """Load a model that :func:`train`, ``Model.save`` or ``archsieve train`` wrote. No code in the file is run.

    Raises ``ValueError`` if the file is not a model.
    """
    from ...models.export.classifier import ImageModel

    return Model(ImageModel.load(path))


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
    import torch

    if type(seeds) is not int or seeds < 1:
        raise ValueError(f"seeds must be a whole number of at least 1, but got {seeds!r}; pass the number of networks")
    location = _location(trial, database)
    folder = runs_folder(location) if runs is None else Path(runs)
    with open_store(location) as store:
        from ...results.query.trial_name import find_trial

        record = store.trial(trial.trial) if isinstance(trial, Trial) else find_trial(store, trial)
        if isinstance(trial, Trial) and record.fingerprint != trial.fingerprint:
            raise ValueError(f"trial {trial.trial} in {location} is another network; pass the database of the trial")
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        trained = retrain_trial(store, record, folder, seeds=seeds, epochs=epochs, device=device)
        selection = Selection.from_config(store.run(record.run).config)
    best = max(trained["networks"], key=lambda network: score_of(network, selection))
    return load_model(folder / best["weights"])


def _location(trial: Trial | int | str, database: str | Path | None) -> DatabaseLocation:
    if database is not None:
        return parse_location(database)
    return trial.database if isinstance(trial, StoredTrial) else parse_location(DATABASE)
