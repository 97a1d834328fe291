"""The trained classifier with its preprocessing and class names, saved as one file.

Shapes: N images (N, C, H, W), K classes.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.parameters.constraints import is_real
from ...spaces.parameters.task_kinds import CLASSIFICATION, MULTI_LABEL
from ..data.dataset import ImageData, in_unit_range
from ..data.normalisation import decoding_for, normalised_for
from ..image_files.decoding_rules import Decoding
from ..metrics.label_losses import THRESHOLD, probabilities
from ..networks.build import build
from ..storage.images import Images, batches_of
from .image_input import ImageInput, to_pixels
from .safetensors_file import check_size, checked_content, model_bytes, read_model

FORMAT = "classifier 2"  # name and version of the file format; a change of the content increments the version
FORMAT_1 = "classifier 1"  # of version 0.1.0: without decoding and temperature
Ranking = list[tuple[str, float]]  # classes with their probabilities, highest first
KIND = "a classifier"  # names the model in error messages


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A network in evaluation mode on the CPU, with ``mean`` and ``std`` (C,) of the training pixels and class names.

    ``input`` is the shape of the images, and how files become them. Scores are divided by ``temperature`` before the
    softmax. With ``multi_label`` a sigmoid takes its place, and an image has the classes with a probability above
    ``threshold``. ``about`` is a JSON-serialisable record of the origin: seed, recipe, validation accuracy,
    calibration.
    """

    network: nn.Sequential
    architecture: Architecture
    mean: Tensor
    std: Tensor
    classes: tuple[str, ...]
    input: ImageInput
    temperature: float = 1.0
    about: Mapping[str, Any] = field(default_factory=dict)
    multi_label: bool = False
    threshold: float = THRESHOLD

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        weights: Mapping[str, Tensor],
        data: ImageData,
        about: Mapping[str, Any],
        *,
        temperature: float = 1.0,
    ) -> "ImageModel":
        """Create the model from ``weights``, the state dict of the network as trained, with or without dropout."""
        network, shape = _without_dropout(architecture, list(weights.values())), architecture.input_shape
        decoding = decoding_for(data, architecture)
        image_input = ImageInput.of(shape) if decoding is None else ImageInput(shape, decoding)
        normalised = normalised_for(data, architecture)
        mean, std = normalised.mean.cpu(), normalised.std.cpu()
        return cls(
            network, architecture, mean, std, data.classes, image_input, temperature, dict(about), data.multi_label
        )

    def to(self, device: str) -> "ImageModel":
        """Return the model on ``device``; itself if it is there."""
        if torch.device(device) == self.mean.device:
            return self
        network = deepcopy(self.network).to(device)
        return replace(self, network=network, mean=self.mean.to(device), std=self.std.to(device))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (N, C, H, W), uint8 or float32 in [0, 1], for the network."""
        if not images.is_floating_point():
            images = to_pixels(images)  # other integers mean the same as uint8
        return (in_unit_range(images) - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)

    @torch.inference_mode()
    def scores(self, images: Images, batch_size: int = 256) -> Tensor:
        """Return the scores (N, K) of images (N, C, H, W), uint8 or float32 in [0, 1], before the temperature."""
        if not len(images):
            return torch.zeros(0, len(self.classes))
        parts = (part.to(self.mean.device) for part in batches_of(images, batch_size))
        return torch.cat([self.network(self.normalise(part)).cpu() for part in parts])

    def probabilities(self, images: Images, batch_size: int = 256) -> Tensor:
        """Return the calibrated class probabilities (N, K) on the CPU; with one label each row sums to 1."""
        return probabilities(self.scores(images, batch_size) / self.temperature, multi_label=self.multi_label)

    def predict(self, images: Tensor, batch_size: int = 256) -> list[str] | list[tuple[str, ...]]:
        """Return the predicted class name of each image, of any integers in 0..255 or floats in [0, 1].

        With several labels return the tuple of the class names of each image.
        """
        pixels = to_pixels(images)
        if self.multi_label:
            return label_sets(self.probabilities(pixels, batch_size), self.classes, self.threshold)
        # of the scores, because two of them may have the same probability in float32
        return [self.classes[k] for k in self.scores(pixels, batch_size).argmax(1).tolist()]

    def to_bytes(self) -> bytes:
        """Return the model as the content of one file."""
        return model_bytes(self.header(), self.network.state_dict(), mean=self.mean, std=self.std)

    def header(self) -> dict[str, Any]:
        """Return everything but the tensors, as values that JSON can encode."""
        decoding = self.input.decoding
        return {
            "format": FORMAT,
            "task": MULTI_LABEL if self.multi_label else CLASSIFICATION,
            **({"threshold": self.threshold} if self.multi_label else {}),
            "architecture": self.architecture.to_json(),
            "classes": list(self.classes),
            "decoding": None if decoding is None else decoding.to_json(),
            "temperature": self.temperature,
            "about": dict(self.about),
        }

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file, a format that holds numbers and no code."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> "ImageModel":
        """Read the model from ``path`` without executing anything in the file.

        A model of version 0.1.0 decodes files as that version did. Raises ``ValueError`` if the file is not a
        classifier of this format.
        """
        header, weights, others = read_model(Path(path), KIND, FORMAT, FORMAT_1)
        with checked_content(Path(path), KIND):
            architecture = Architecture.from_json(header["architecture"])
            check_size(architecture, weights)
            network = build(architecture).eval()
            network.load_state_dict(weights)
            model = cls(
                network,
                architecture,
                others["mean"],
                others["std"],
                tuple(header["classes"]),
                input_of(header, architecture.input_shape),
                header.get("temperature", 1.0),
                header["about"],
                *labels_of(header),
            )
            _check(model)
        return model


def _check(model: ImageModel) -> None:
    """Raise ``ValueError`` if the parts of a model that was read from a file do not fit together."""
    channels, n_classes = model.architecture.input_shape[0], model.architecture.classes
    for name in ("mean", "std"):
        tensor = getattr(model, name)
        if tensor.shape != (channels,) or not tensor.is_floating_point():
            raise ValueError(f"{name} must be {channels} floats, one for each channel, but got {tuple(tensor.shape)}")
    if len(model.classes) != n_classes or not all(isinstance(name, str) for name in model.classes):
        raise ValueError(f"classes must be {n_classes} names, but got {len(model.classes)} values")
    if not is_real(model.temperature) or model.temperature <= 0:
        raise ValueError(f"temperature must be a positive number, but got {model.temperature!r}")
    if not is_real(model.threshold) or not 0 <= model.threshold <= 1:
        raise ValueError(f"threshold must be a probability, but got {model.threshold!r}")
    if not isinstance(model.about, Mapping):
        raise ValueError(f"about must be an object, but got {model.about!r}")


def input_of(header: Mapping[str, Any], shape: tuple[int, int, int]) -> ImageInput:
    """Return the input that ``header`` describes, of a network for images of ``shape`` (C, H, W)."""
    if "decoding" not in header:
        return ImageInput.of(shape, rules=1)
    decoding = header["decoding"]
    return ImageInput(shape, None if decoding is None else Decoding.from_json(decoding))


def labels_of(header: Mapping[str, Any]) -> tuple[bool, float]:
    """Return whether an image may have several labels, and the threshold of their probabilities."""
    return header.get("task") == MULTI_LABEL, header.get("threshold", THRESHOLD)


def label_sets(probabilities: Tensor, classes: Sequence[str], threshold: float) -> list[tuple[str, ...]]:
    """Return for each row of ``probabilities`` (N, K) the classes with a probability above ``threshold``."""
    return [
        tuple(name for name, has in zip(classes, row, strict=True) if has)
        for row in (probabilities > threshold).tolist()
    ]


def rankings(probabilities: Tensor, classes: Sequence[str], top: int) -> list[Ranking]:
    """Return for each row of ``probabilities`` (N, K) its ``top`` classes with their probabilities, highest first."""
    if type(top) is not int or top < 1:
        raise ValueError(f"top must be a whole number of at least 1, but got {top!r}; use a number such as 5")
    # a stable sort: of equal probabilities the first class comes first, as argmax has it
    order = probabilities.sort(dim=1, descending=True, stable=True)
    rows = zip(order.values[:, :top].tolist(), order.indices[:, :top].tolist(), strict=True)
    return [[(classes[k], value) for value, k in zip(values, indices, strict=True)] for values, indices in rows]


def _without_dropout(architecture: Architecture, weights: Sequence[Tensor]) -> nn.Sequential:
    """Return the network without dropout, in evaluation mode, with the tensors ``weights``.

    Dropout layers shift the module indices and so the names of the tensors, but not their order.
    """
    network = build(architecture)
    network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
    return network.eval()
