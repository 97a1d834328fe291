"""The finished classifier: a trained network with the pixels' statistics and the classes' names, in one file.

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

FORMAT = "classifier 1"
KIND = "a classifier"


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A network in evaluation mode on the CPU, ``mean`` and ``std`` (C,) of its training pixels, its class names.

    ``about`` says in JSON's own types where it comes from: trial, seed, recipe, validation accuracy.
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
        """The model with ``weights``, a state dict of the network as it was trained, with dropout or without."""
        network = _plain(architecture, list(weights.values()))
        return cls(network, architecture, data.mean.cpu(), data.std.cpu(), data.classes, dict(about))

    def normalise(self, images: Tensor) -> Tensor:
        """Images, uint8 or float32 in [0, 1], as the network takes them."""
        return (in_unit_range(images) - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)

    @torch.inference_mode()
    def scores(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Scores (N, K) of images (N, C, H, W), uint8 or float32 in [0, 1]."""
        return torch.cat([self.network(self.normalise(part)) for part in torch.split(images, batch_size)])

    def probabilities(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Class probabilities (N, K); a row sums to 1."""
        return self.scores(images, batch_size).softmax(1)

    def predict(self, images: Tensor, batch_size: int = 256) -> list[str]:
        """The name of each image's class."""
        return [self.classes[k] for k in self.scores(images, batch_size).argmax(1).tolist()]

    def to_bytes(self) -> bytes:
        """The model as the content of one file."""
        told = {
            "format": FORMAT,
            "architecture": self.architecture.to_json(),
            "classes": list(self.classes),
            "about": dict(self.about),
        }
        return model_bytes(told, self.network.state_dict(), mean=self.mean, std=self.std)

    def save(self, path: str | Path) -> None:
        """Write the model to one file: safetensors, which holds numbers and no code."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> "ImageModel":
        """The model in ``path``; nothing in the file is run. ``ValueError`` where it is none."""
        told, weights, others = read_model(Path(path), KIND, FORMAT)
        architecture = Architecture.from_json(told["architecture"])
        network = build(architecture).eval()
        network.load_state_dict(weights)
        return cls(network, architecture, others["mean"], others["std"], tuple(told["classes"]), told["about"])


def _plain(architecture: Architecture, weights: Sequence[Tensor]) -> nn.Sequential:
    """The network without dropout, whose modules have other places but whose tensors come in the same order."""
    network = build(architecture)
    network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
    return network.eval()
