"""The trained zero-shot model: recognises images by any set of texts, and is saved as one file."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...spaces.architectures.architecture import Architecture
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..data.dataset import in_unit_range
from ..data.text_features import Encoder, encoder_from_state
from ..export.safetensors_file import checked_content, model_bytes, read_model
from ..image_files.decoding_rules import Decoding
from ..image_files.errors import DataError
from ..networks.build import build
from ..networks.feature_extractors import ArchitectureBody, BackboneBody, VectorBody, has_backbone
from .frozen_features import FrozenBackbone
from .linear_fit import ClosedFormFit, LinearFit
from .linear_network import LinearNetwork
from .network import ZeroShotNetwork
from .trainer import AnyNetwork, ZeroShotFit, calibrated

AnyFit = ZeroShotFit | LinearFit | ClosedFormFit
FORMAT = 2  # version of the file format; files of other versions are refused


@dataclass(frozen=True, eq=False)
class ZeroShotModel:
    """A trained network, its text encoder, and ``mean`` and ``std`` (C,) of the training pixels.

    ``seen`` are the names of the classes of the training images. ``gamma`` is subtracted from their scores when
    predictions are among seen and unseen classes. ``decoding`` is how files became training images; None if they were
    no files, and in files of version 0.1.0.
    """

    network: AnyNetwork
    encoder: Encoder
    architecture: Architecture
    mean: Tensor
    std: Tensor
    seen: tuple[str, ...]
    gamma: float
    decoding: Decoding | None = None

    @classmethod
    def of(
        cls, fit: AnyFit, architecture: Architecture, gamma: float, backbone: FrozenBackbone | None = None
    ) -> "ZeroShotModel":
        """Create the model from a finished ``fit``; its network moves to the CPU.

        ``backbone`` is the frozen one that made the vectors on which the fit was trained, if any.
        """
        names = tuple(fit.data.classes[k] for k in fit.data.seen.tolist())
        network, mean, std = fit.network.to("cpu").eval(), fit.data.mean, fit.data.std
        if backbone is not None:
            network = with_backbone(network, architecture, backbone.module.to("cpu"))
            mean, std = backbone.mean, backbone.std
        return cls(network, fit.encoder, architecture, mean.cpu(), std.cpu(), names, gamma, fit.data.decoding)

    def to(self, device: str) -> "ZeroShotModel":
        """Return a copy of the model on ``device``."""
        network = deepcopy(self.network).to(device)
        return replace(self, network=network, mean=self.mean.to(device), std=self.std.to(device))

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
            **({} if self.decoding is None else {"decoding": self.decoding.to_json()}),
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
            rank = weights["map.weight"].shape[1] if recipe.is_linear and "basis" in weights else None
            network = _network(architecture, encoder.width, recipe, rank)
            network.load_state_dict(weights)
            seen, mean, std = tuple(header["seen"]), others["mean"], others["std"]
            decoding = Decoding.from_json(header["decoding"]) if "decoding" in header else None
            return cls(network.eval(), encoder, architecture, mean, std, seen, header["gamma"], decoding)


def with_backbone(network: AnyNetwork, architecture: Architecture, backbone: nn.Module) -> AnyNetwork:
    """Return a copy of ``network`` for images: ``backbone`` comes before its body, which was trained on vectors."""
    after = network.body
    assert isinstance(after, VectorBody)
    complete = deepcopy(network)
    if network.recipe.is_linear:
        complete.body = BackboneBody(backbone, after)
        return complete
    body = ArchitectureBody(architecture)
    for position, block in enumerate([backbone, *after.network]):
        body.network[position] = block
    complete.body = body
    return complete


def _network(architecture: Architecture, width: int, recipe: ZeroShotRecipe, rank: int | None) -> AnyNetwork:
    """Return the untrained network of a model file, for text vectors of ``width`` entries."""
    if not recipe.is_linear:
        return ZeroShotNetwork(ArchitectureBody(architecture, dropout=recipe.dropout), width, recipe)
    after = VectorBody(architecture, linear=True)
    backbone = build(architecture)[0] if has_backbone(architecture) else None
    return LinearNetwork(after if backbone is None else BackboneBody(backbone, after), width, recipe, rank=rank)
