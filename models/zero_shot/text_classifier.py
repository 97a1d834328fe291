"""A zero-shot model with a set of texts: a classifier of images with the interface of other trained classifiers.

Shapes: N images (N, C, H, W), K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..export.image_input import ImageInput
from ..metrics.label_losses import THRESHOLD
from ..storage.images import Images, batches_of
from .saved_model import ZeroShotModel
from .trainer import calibrated


@dataclass(frozen=True)
class TextClassifier:
    """``model`` for the classes of ``texts``, by name; any class can be added by its text.

    Scores of classes that were seen in training are lowered by ``model.gamma`` if some class was not.
    """

    model: ZeroShotModel
    texts: Mapping[str, str]
    multi_label: bool = False
    threshold: float = THRESHOLD

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of ``texts``."""
        return tuple(self.texts)

    @property
    def input(self) -> ImageInput:
        """What the network takes, and how files become images of it."""
        shape = self.model.architecture.input_shape
        return ImageInput.of(shape) if self.model.decoding is None else ImageInput(shape, self.model.decoding)

    def to(self, device: str) -> "TextClassifier":
        """Return the classifier on ``device``; itself if it is there."""
        return self if torch.device(device) == self.model.mean.device else replace(self, model=self.model.to(device))

    @cached_property
    def _classifiers(self) -> Tensor:
        vectors = self.model.encode(list(self.texts), list(self.texts.values()))
        return self.model.network.classifiers(vectors.to(self.model.mean.device))

    @torch.inference_mode()
    def probabilities(self, images: Images, batch_size: int = 256) -> Tensor:
        """Return the class probabilities (N, K), on the CPU, of images, uint8 or float32 in [0, 1]."""
        if not len(images):
            return torch.zeros(0, len(self.texts))
        network, device = self.model.network, self.model.mean.device
        parts = (self.model.embed(part.to(device)) for part in batches_of(images, batch_size))
        scores = torch.cat([network.compare(part, self._classifiers).cpu() for part in parts])
        is_seen = torch.tensor([name in self.model.seen for name in self.texts])
        shifted = calibrated(scores, network.recipe.calibration) - self.model.gamma * (is_seen & ~is_seen.all())
        return shifted.softmax(1)
