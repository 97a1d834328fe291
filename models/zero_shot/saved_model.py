"""The trained zero-shot model: recognises images by any set of texts, and is saved as one file."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..data.dataset import in_unit_range
from ..data.text_features import Encoder, encoder_from_state
from ..export.safetensors_file import checked_content, model_bytes, read_model
from ..image_files.errors import DataError
from ..networks.feature_extractors import ArchitectureBody, VectorBody
from .frozen_features import FrozenBackbone
from .network import ZeroShotNetwork
from .trainer import ZeroShotFit, calibrated

FORMAT = 2  # version of the file format; files of other versions are refused


@dataclass(frozen=True, eq=False)
class ZeroShotModel:
    """A trained network, its text encoder, and ``mean`` and ``std`` (C,) of the training pixels.

    ``seen`` are the names of the classes of the training images. ``gamma`` is subtracted from their scores when
    predictions are among seen and unseen classes.
    """

    network: ZeroShotNetwork
    encoder: Encoder
    architecture: Architecture
    mean: Tensor
    std: Tensor
    seen: tuple[str, ...]
    gamma: float

    @classmethod
    def of(
        cls, fit: ZeroShotFit, architecture: Architecture, gamma: float, backbone: FrozenBackbone | None = None
    ) -> "ZeroShotModel":
        """Create the model from a finished ``fit``; its network moves to the CPU.

        ``backbone`` is the frozen one that made the vectors on which the fit was trained, if any.
        """
        names = tuple(fit.data.classes[k] for k in fit.data.seen.tolist())
        network, mean, std = fit.network.to("cpu").eval(), fit.data.mean, fit.data.std
        if backbone is not None:
            network = with_backbone(network, architecture, backbone.module.to("cpu"))
            mean, std = backbone.mean, backbone.std
        return cls(network, fit.encoder, architecture, mean, std, names, gamma)

    @torch.inference_mode()
    def scores(self, images: Tensor, class_texts: dict[str, str], batch_size: int = 512) -> Tensor:
        """Return scores (N, K) of images (N, C, H, W), uint8 or float32 in [0, 1], for K texts in their order.

        A text is enough to add a class. Raises :class:`DataError` if a text has no word that the model knows.
        """
        classifiers = self.network.classifiers(self.encode(list(class_texts), list(class_texts.values())))
        return torch.cat(
            [self.network.compare(self.embed(part), classifiers) for part in torch.split(images, batch_size)]
        )

    def predict(self, images: Tensor, class_texts: dict[str, str], *, calibrate: bool = True) -> list[str]:
        """Return the class name of each image; ``class_texts`` maps class names to texts.

        ``calibrate`` subtracts ``gamma`` from the scores of seen classes if there are unseen classes too.
        """
        scores = calibrated(self.scores(images, class_texts), self.network.recipe.calibration)
        is_seen = torch.tensor([name in self.seen for name in class_texts])
        if calibrate and not is_seen.all():
            scores = scores - self.gamma * is_seen
        names = list(class_texts)
        return [names[k] for k in scores.argmax(1).tolist()]

    def embed(self, images: Tensor) -> Tensor:
        """Return the embeddings g_v (N, E) of images (N, C, H, W), uint8 or float32 in [0, 1]."""
        pixels = (in_unit_range(images) - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)
        return self.network.embed(pixels)

    def encode(self, names: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Return text vectors (K, p).

        Raises :class:`DataError` without classes, or if a text has no word that the model knows.
        """
        if not names:
            raise DataError("recognition needs at least one class, but there are none; give a text for each class")
        vectors = self.encoder(names, texts)
        for name, vector in zip(names, vectors, strict=True):
            if not vector.any():  # a zero vector gives the same classifier for every such text
                raise DataError(
                    f"a text needs words that the model was trained on, but the text of {name!r} has none; "
                    "describe the class in more words"
                )
        return vectors

    def to_bytes(self) -> bytes:
        """Return the model as one safetensors file: tensors, and all other data as JSON in the header."""
        header = {
            "format": FORMAT,
            "architecture": self.architecture.to_json(),
            "recipe": self.network.recipe.to_json(),
            "encoder": self.encoder.state(),
            "seen": list(self.seen),
            "gamma": self.gamma,
        }
        return model_bytes(header, self.network.state_dict(), mean=self.mean, std=self.std)

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file, a format that holds numbers and no code."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> "ZeroShotModel":
        """Read the model from ``path`` without executing anything in the file.

        Raises ``ValueError`` if the file is not a zero-shot model of this format.
        """
        header, weights, others = read_model(Path(path), "a zero-shot recogniser", FORMAT)
        with checked_content(Path(path), "a zero-shot recogniser"):
            architecture = Architecture.from_json(header["architecture"])
            recipe = ZeroShotRecipe.from_json(header["recipe"])
            encoder = encoder_from_state(header["encoder"])
            network = ZeroShotNetwork(ArchitectureBody(architecture, dropout=recipe.dropout), encoder.width, recipe)
            network.load_state_dict(weights)
            seen, mean, std = tuple(header["seen"]), others["mean"], others["std"]
            return cls(network.eval(), encoder, architecture, mean, std, seen, header["gamma"])


def with_backbone(network: ZeroShotNetwork, architecture: Architecture, backbone: nn.Module) -> ZeroShotNetwork:
    """Return a copy of ``network`` for images: ``backbone`` comes before its body, which was trained on vectors."""
    assert isinstance(network.body, VectorBody)
    body = ArchitectureBody(architecture)
    for position, block in enumerate([backbone, *network.body.network]):
        body.network[position] = block
    complete = deepcopy(network)
    complete.body = body
    return complete
