"""The finished zero-shot model: it recognises images by any set of texts, and is one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...spaces.architectures.architecture import Architecture
from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..data.dataset import in_unit_range
from ..data.errors import DataError
from ..data.text_features import Encoder, encoder_of
from ..export.safetensors_file import model_bytes, read_model
from ..networks.feature_extractors import ArchitectureBody
from .network import ZeroShotNetwork
from .trainer import ZeroShotFit, calibrated

FORMAT = 2


@dataclass(frozen=True, eq=False)
class ZeroShotModel:
    """A trained network, its text encoder, and the pixels' ``mean`` and ``std`` (C,).

    ``seen`` are the names of the classes it was trained on; ``gamma`` is subtracted from their scores where classes
    are predicted among seen and unseen ones.
    """

    network: ZeroShotNetwork
    encoder: Encoder
    architecture: Architecture
    mean: Tensor
    std: Tensor
    seen: tuple[str, ...]
    gamma: float

    @classmethod
    def of(cls, fit: ZeroShotFit, architecture: Architecture, gamma: float) -> "ZeroShotModel":
        """The model that ``fit`` has trained."""
        names = tuple(fit.data.classes[k] for k in fit.data.seen.tolist())
        network = fit.network.to("cpu").eval()
        return cls(network, fit.encoder, architecture, fit.data.mean, fit.data.std, names, gamma)

    @torch.inference_mode()
    def scores(self, images: Tensor, class_texts: dict[str, str], batch_size: int = 512) -> Tensor:
        """Scores (N, C) of images (N, C, H, W), uint8 or float32 in [0, 1], against the texts, in their order.

        A class is added by its text alone. Raises :class:`DataError` where a text has no word that the model knows.
        """
        classifiers = self.network.classifiers(self.encode(list(class_texts), list(class_texts.values())))
        return torch.cat(
            [self.network.compare(self.embed(part), classifiers) for part in torch.split(images, batch_size)]
        )

    def predict(self, images: Tensor, class_texts: dict[str, str], *, calibrate: bool = True) -> list[str]:
        """The class of each image among ``class_texts``, a text by each name.

        ``calibrate`` subtracts ``gamma`` from the scores of classes trained on, where others are asked about too.
        """
        scores = calibrated(self.scores(images, class_texts), self.network.recipe.calibration)
        known = torch.tensor([name in self.seen for name in class_texts])
        if calibrate and not known.all():
            scores = scores - self.gamma * known
        names = list(class_texts)
        return [names[k] for k in scores.argmax(1).tolist()]

    def embed(self, images: Tensor) -> Tensor:
        """g_v (N, E)."""
        pixels = (in_unit_range(images) - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)
        return self.network.embed(pixels)

    def encode(self, names: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Text vectors (C, p); each must have a word that the model knows."""
        if not names:
            raise DataError("images are recognised among classes, but there are none; give a text for each class")
        vectors = self.encoder(names, texts)
        for name, vector in zip(names, vectors, strict=True):
            if not vector.any():
                raise DataError(
                    f"a class is recognised by words that the model was trained on, but the text of {name!r} has "
                    "none; write more about it"
                )
        return vectors

    def to_bytes(self) -> bytes:
        """The model as one safetensors file: tensors, and all else as JSON in its header."""
        told = {
            "format": FORMAT,
            "architecture": self.architecture.to_json(),
            "recipe": self.network.recipe.to_json(),
            "encoder": self.encoder.state(),
            "seen": list(self.seen),
            "gamma": self.gamma,
        }
        return model_bytes(told, self.network.state_dict(), mean=self.mean, std=self.std)

    def save(self, path: str | Path) -> None:
        """Write the model to one file: safetensors, which holds numbers and no code."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> "ZeroShotModel":
        """The model in ``path``; nothing in the file is run. ``ValueError`` where it is none."""
        told, weights, others = read_model(Path(path), "a zero-shot recogniser", FORMAT)
        architecture, recipe = Architecture.from_json(told["architecture"]), ZeroShotRecipe.from_json(told["recipe"])
        encoder = encoder_of(told["encoder"])
        network = ZeroShotNetwork(ArchitectureBody(architecture, dropout=recipe.dropout), encoder.width, recipe)
        network.load_state_dict(weights)
        network = network.eval()
        return cls(network, encoder, architecture, others["mean"], others["std"], tuple(told["seen"]), told["gamma"])
