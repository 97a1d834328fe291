"""The trained classifier with its pixel statistics and class names, saved as one file.

Shapes: N images (N, C, H, W), K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ..data.dataset import ImageData, in_unit_range
from ..networks.build import build
from .safetensors_file import model_bytes, read_model

FORMAT = "classifier 1"  # name and version of the file format; a change of the content increments the version
KIND = "a classifier"  # names the model in error messages


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A network in evaluation mode on the CPU, with ``mean`` and ``std`` (C,) of the training pixels and class names.

    ``about`` is a JSON-serialisable record of the origin: trial, seed, recipe, validation accuracy.
    """

    network: nn.Sequential
    architecture: Architecture
    mean: Tensor
    std: Tensor
    classes: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, architecture: Architecture, weights: Mapping[str, Tensor], data: ImageData, about: Mapping[str, Any]
    ) -> "ImageModel":
        """Create the model from ``weights``, the state dict of the network as trained, with or without dropout."""
        network = _without_dropout(architecture, list(weights.values()))
        return cls(network, architecture, data.mean.cpu(), data.std.cpu(), data.classes, dict(about))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (N, C, H, W), uint8 or float32 in [0, 1], for the network."""
        return (in_unit_range(images) - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)

    @torch.inference_mode()
    def scores(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Return the scores (N, K) of images (N, C, H, W), uint8 or float32 in [0, 1]."""
        return torch.cat([self.network(self.normalise(part)) for part in torch.split(images, batch_size)])

    def probabilities(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Return the class probabilities (N, K); each row sums to 1."""
        return self.scores(images, batch_size).softmax(1)

    def predict(self, images: Tensor, batch_size: int = 256) -> list[str]:
        """Return the predicted class name of each image."""
        return [self.classes[k] for k in self.scores(images, batch_size).argmax(1).tolist()]

    def to_bytes(self) -> bytes:
        """Return the model as the content of one file."""
        header = {
            "format": FORMAT,
            "architecture": self.architecture.to_json(),
            "classes": list(self.classes),
            "about": dict(self.about),
        }
        return model_bytes(header, self.network.state_dict(), mean=self.mean, std=self.std)

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file, a format that holds numbers and no code."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> "ImageModel":
        """Read the model from ``path`` without executing anything in the file.

        Raises ``ValueError`` if the file is not a classifier of this format.
        """
        header, weights, others = read_model(Path(path), KIND, FORMAT)
        architecture = Architecture.from_json(header["architecture"])
        network = build(architecture).eval()
        network.load_state_dict(weights)
        return cls(network, architecture, others["mean"], others["std"], tuple(header["classes"]), header["about"])


def _without_dropout(architecture: Architecture, weights: Sequence[Tensor]) -> nn.Sequential:
    """Return the network without dropout, in evaluation mode, with the tensors ``weights``.

    Dropout layers shift the module indices and so the names of the tensors, but not their order.
    """
    network = build(architecture)
    network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
    return network.eval()
