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
from .combination import CombinationRule
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
        scores = calibrated(self.scores(images, batch_size), self.model.network.recipe.calibration)
        return self.shifted(scores, self.model.gamma).softmax(1)

    @torch.inference_mode()
    def scores(self, images: Images, batch_size: int = 256) -> Tensor:
        """Return the scores (N, K), on the CPU, without any calibration."""
        network, device = self.model.network, self.model.mean.device
        parts = (self.model.embed(part.to(device)) for part in batches_of(images, batch_size))
        return torch.cat([network.compare(part, self._classifiers).cpu() for part in parts])

    def shifted(self, scores: Tensor, gamma: float) -> Tensor:
        """Return ``scores`` (N, K) less ``gamma`` for seen classes, or unchanged if all classes are seen."""
        is_seen = torch.tensor([name in self.model.seen for name in self.texts])
        return scores - gamma * (is_seen & ~is_seen.all())


@dataclass(frozen=True)
class CombinedTextClassifier:
    """Several models for the classes of the same texts: the mean of their calibrated scores, by ``rule``.

    ``gamma`` of the rule is subtracted from the scores of seen classes, not those of the members.
    """

    rule: CombinationRule
    members: tuple[TextClassifier, ...]
    multi_label: bool = False
    threshold: float = THRESHOLD

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the texts."""
        return self.members[0].classes

    @property
    def input(self) -> ImageInput:
        """What the networks take, and how files become images of it; the members are trained on the same images."""
        return self.members[0].input

    def to(self, device: str) -> "CombinedTextClassifier":
        """Return the classifier on ``device``."""
        return replace(self, members=tuple(member.to(device) for member in self.members))

    @torch.inference_mode()
    def probabilities(self, images: Images, batch_size: int = 256) -> Tensor:
        """Return the class probabilities (N, K), on the CPU, of images, uint8 or float32 in [0, 1]."""
        if not len(images):
            return torch.zeros(0, len(self.classes))
        mean = self.rule.mean([member.scores(images, batch_size) for member in self.members])
        # the posterior is log p(class | image) again, as in the test
        return self.members[0].shifted(calibrated(mean, "posterior"), self.rule.gamma).softmax(1).float()
