"""Train one zero-shot model on seen classes, and validate it on classes without training images."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...spaces.recipes.zero_shot_recipe import ZeroShotRecipe
from ..data.dataset import Device, Split, in_unit_range
from ..data.text_features import Encoder, fit_text
from ..data.zero_shot import ZeroShotData
from ..networks.compute import Compute
from ..networks.feature_extractors import ImageBody
from ..process.random_state import seeded
from ..training.augmentation import training_images
from ..training.epoch import EpochResult, Validation
from ..training.evaluate import evaluating, score_in_batches
from ..training.loop import BatchLoss, TrainingLoop, TrainingTask
from .linear_network import LinearNetwork
from .metrics import class_accuracy, harmonic, roc_aucs, seen_unseen_curve
from .network import ZeroShotNetwork, batch_loss

AnyNetwork = ZeroShotNetwork | LinearNetwork
N = TypeVar("N", bound="ZeroShotNetwork | LinearNetwork")


@dataclass(frozen=True)
class ZeroShotResult(EpochResult):
    """The result of one epoch.

    ``val_accuracy`` is H with the calibration ``gamma`` that is best on the validation classes; ``val_h`` is H without
    gamma. ``val_loss`` is the mean of -log p(own class) among all classes, with equal weight for images of seen and of
    unseen classes. ``val_roc_auc`` is the mean over unseen classes, with images of the other unseen classes as
    negatives. ``train_accuracy`` counts predictions among the classes of the minibatch.
    """

    val_roc_auc: float
    val_h: float
    gamma: float


@dataclass(frozen=True)
class ZeroShotFoldedResult(ZeroShotResult):
    """The means over all folds after one epoch in each fold; ``seconds`` is the sum.

    ``val_accuracy_std`` is the sample standard deviation of the folds' calibrated H.
    """

    val_accuracy_std: float


@dataclass(frozen=True)
class ZeroShotValidation(Validation):
    """The validation fields of :class:`ZeroShotResult`; NaN without validation."""

    val_loss: float = math.nan
    val_accuracy: float = math.nan
    val_roc_auc: float = math.nan
    val_h: float = math.nan
    gamma: float = math.nan


class SeenClassesTraining(TrainingTask[ZeroShotData, ZeroShotResult], Generic[N]):
    """Training on the seen classes of ``data``, validated on seen and unseen ones if there are validation data."""

    module: N
    encoder: Encoder
    data: ZeroShotData
    compute: Compute
    has_validation_data: bool
    result_type = ZeroShotResult

    def validate(self, network: nn.Module) -> ZeroShotValidation:
        assert network is self.module  # zero-shot recipes have no weight averaging
        if not self.has_validation_data:
            return ZeroShotValidation()
        return validation_of(self.module, self.data, self.encoder, self.compute)


class ZeroShotTraining(SeenClassesTraining[ZeroShotNetwork]):
    """Training of a network on images and texts of seen classes; see :class:`~..training.loop.TrainingTask`.

    The text encoder is fitted on the seen classes only, so that no text of an unseen class influences the model.
    """

    def __init__(
        self,
        body: ImageBody,
        data: ZeroShotData,
        recipe: ZeroShotRecipe,
        compute: Compute,
        seed: int,
        has_validation_data: bool,
    ) -> None:
        self.recipe, self.data, self.compute, self.has_validation_data = recipe, data, compute, has_validation_data
        self.encoder, seen = seen_texts(data, recipe)
        # initial weights depend on the seed only, and the global random state does not change
        with seeded(seed):
            network = ZeroShotNetwork(body, self.encoder.width, recipe)
        self.module = compute.place(network)
        self.train = data.train.to(compute.device)
        # text vectors of all classes, indexed by label; those of unseen classes stay zero and are never used
        texts = torch.zeros(len(data.classes), self.encoder.width)
        texts[data.seen] = seen
        self._texts = texts.to(compute.device)

    def batch_loss(self, index: Tensor, augmentation: Generator) -> BatchLoss:
        embedded = self._embed_batch(index, augmentation)
        loss, hits = batch_loss(self.module, embedded, self.train.labels[index], self._texts)
        return BatchLoss(loss, loss.detach(), hits)

    def _embed_batch(self, index: Tensor, augmentation: Generator) -> Tensor:
        """Return g_v (B, E) of augmented training images; vectors are used as they are."""
        if self.data.has_vectors:  # of a frozen backbone, or own features: a change of pixels has no meaning
            images = self.data.normalise(in_unit_range(self.train.images[index]))
        else:
            images = training_images(self.train.images[index], self.data, self.recipe, augmentation)
        return self.compute.logits(self.module.embed, images)


class SeenClassesFit(TrainingLoop[ZeroShotData, ZeroShotResult], Generic[N]):
    """Training of one model by a recipe on the seen classes of ``data``, one epoch per :meth:`step`.

    The text encoder is fitted on the seen classes only. With ``validate`` False the other classes are not read and the
    epochs have no score; this is for the final fit on all seen classes. ``training`` of a subclass is what is trained.
    """

    task: SeenClassesTraining[N]
    training: ClassVar[Callable[..., SeenClassesTraining[Any]]]

    def __init__(
        self,
        body: ImageBody,
        data: ZeroShotData,
        recipe: ZeroShotRecipe,
        *,
        seed: int,
        device: Device = "cpu",
        precision: str = "fp32",
        channels_last: bool = False,
        validate: bool = True,
    ) -> None:
        compute = Compute(torch.device(device), precision, channels_last)
        super().__init__(self.training(body, data, recipe, compute, seed, validate), recipe, seed=seed)

    @property
    def network(self) -> N:
        """The network in training."""
        return self.task.module

    @property
    def encoder(self) -> Encoder:
        """The text encoder."""
        return self.task.encoder


class ZeroShotFit(SeenClassesFit[ZeroShotNetwork]):
    """Training of a model whose classifiers are predicted from text."""

    training = ZeroShotTraining


def validation_of(network: AnyNetwork, data: ZeroShotData, encoder: Encoder, compute: Compute) -> ZeroShotValidation:
    """Return the metrics of ``network`` on images of the seen and of the unseen classes of ``data``."""
    encoded, batch_size = encoder(data.classes, data.texts), 2 * network.recipe.batch_size
    seen, unseen = (
        score_images(network, data, split, encoded, compute, batch_size) for split in (data.test_seen, data.test_unseen)
    )
    labels = data.test_seen.labels, data.test_unseen.labels
    all_classes = torch.cat([data.seen, data.unseen])
    curve = seen_unseen_curve(torch.cat([seen, unseen]), torch.cat(labels), data.seen, data.unseen)
    gamma, best_h = curve.best
    u, s = class_accuracy(unseen, labels[1], all_classes), class_accuracy(seen, labels[0], all_classes)
    losses = [F.cross_entropy(scores, targets) for scores, targets in zip((seen, unseen), labels, strict=True)]
    posterior = calibrated(unseen, network.recipe.calibration)
    roc_auc = float(roc_aucs(posterior, labels[1], data.unseen).mean())
    # the mean of both parts, so that seen and unseen images have the same weight
    return ZeroShotValidation(float(sum(losses)) / 2, best_h, roc_auc, harmonic(u, s), gamma)


def score_images(
    network: AnyNetwork, data: ZeroShotData, split: Split, encoded: Tensor, compute: Compute, batch_size: int = 512
) -> Tensor:
    """Return scores (N, C) of a split's images against encoded texts (C, p), on the CPU.

    The network keeps its training or evaluation mode.
    """
    with evaluating(network), torch.inference_mode():
        classifiers = network.classifiers(encoded.to(compute.device))

    def score(images: Tensor) -> Tensor:
        return network.compare(compute.logits(network.embed, data.normalise(images)), classifiers).cpu()

    return score_in_batches(score, network, split.images, compute, batch_size)


def calibrated(scores: Tensor, calibration: str) -> Tensor:
    """Return scores (N, C) with the recipe's calibration; ``posterior`` is log p(class | image) among the C classes."""
    return scores.log_softmax(1) if calibration == "posterior" else scores


def seen_texts(data: ZeroShotData, recipe: ZeroShotRecipe) -> tuple[Encoder, Tensor]:
    """Return the text encoder of ``recipe``, fitted on the seen classes only, and their text vectors (S, p)."""
    named = [data.classes[k] for k in data.seen.tolist()], data.texts_of(data.seen)
    encoder = fit_text(recipe.text, *named)
    return encoder, encoder(*named)
