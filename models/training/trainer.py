"""Train one classifier: cross-entropy on augmented images, with optional penalties and an optional auxiliary task.

Where images have several labels, the loss is the binary cross-entropy of each class.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ...spaces.recipes.recipe import NONE, Recipe
from ..data.dataset import Batch, Device, ImageData
from ..metrics.label_losses import THRESHOLD, hits
from ..networks.adapters import merged
from ..networks.compute import Compute
from ..optimization.custom_parts import BUILT_IN, CustomParts
from ..optimization.fake_quantization import FakeQuantization
from ..optimization.fine_tuning import make_fine_tuning
from ..optimization.regularization import ActivationPenalty
from ..ranks.ranks import SINGLE, Ranks
from .augmentation import training_images
from .auxiliary_tasks import make_auxiliary_task
from .batch_transforms import is_mixed, mix, targets_of
from .distillation import Teacher, distillation_loss
from .epoch import EpochResult, Validation
from .evaluate import evaluate
from .head_features import head_data, head_network
from .label_weights import balanced_order, balanced_probabilities, training_loss
from .loop import BatchLoss, TrainingLoop, TrainingTask
from .lr_finder import find_lr
from .predictions import KeptPredictions, compact


class ImageTraining(TrainingTask[ImageData, EpochResult]):
    """Image classification: trains ``module`` in place; see :class:`~.loop.TrainingTask`."""

    result_type = EpochResult

    def __init__(
        self,
        module: nn.Module,
        data: ImageData,
        recipe: Recipe,
        compute: Compute,
        seed: int,
        metrics: Sequence[str] = (),
        keep_predictions: bool = False,
        custom: CustomParts = BUILT_IN,
        teacher: Teacher | None = None,
        ranks: Ranks = SINGLE,
    ) -> None:
        self.recipe, self.compute, self.metrics, self.custom = recipe, compute, metrics, custom
        self.ranks = ranks
        self.keep_predictions = keep_predictions
        self.teacher = _checked(teacher, recipe, compute)
        self.data = data.to(compute.device)
        self.train = self.data.train
        self.loss = training_loss(self.data, recipe)
        balanced = recipe.sampling == "balanced"
        self.sampling = balanced_probabilities(self.train.labels, data.n_classes) if balanced else None
        self.fine_tuning = make_fine_tuning(module, recipe, seed)
        self.module = compute.place(module)
        self.auxiliary = make_auxiliary_task(self.module, self.train.images[0], recipe, seed)
        self.heads = {} if self.auxiliary is None else {"auxiliary": self.auxiliary}
        self.quantization = FakeQuantization(self.module) if recipe.qat_epochs else None
        self.quantized = False  # whether the present epoch rounds weights and activations
        self.penalty = ActivationPenalty(self.module) if recipe.activation_l1 else None

    def start_epoch(self, epoch: int) -> None:
        if self.fine_tuning is not None:
            self.fine_tuning.start_epoch(epoch)
        self.quantized = epoch >= self.recipe.epochs - self.recipe.qat_epochs

    def batch_loss(self, index: Tensor, augmentation: Generator) -> BatchLoss:
        batch, recipe = self.train.take(index), self.recipe
        images, labels = training_images(batch.images, self.data, recipe, augmentation), batch.labels
        targets, weights = labels, batch.weights  # the labels, or after mixing the probabilities of the classes
        if is_mixed(recipe):
            images, targets, weights = self._mixed(images, batch, augmentation)
            labels = targets > THRESHOLD if self.data.multi_label else targets.argmax(1)
        with self.penalty or nullcontext():
            logits = self._predict(images)
            _check_logits(logits, len(batch), self.data.n_classes)
            loss = self.custom.batch_loss(logits, targets, weights, self.loss)
            total = self._distilled(loss, logits, images)
            total = total if self.penalty is None else total + recipe.activation_l1 * self.penalty.value()
        # After the penalty's context: the pass of the auxiliary task must not count in the penalty.
        if self.auxiliary is not None:
            total = total + self.recipe.auxiliary_weight * self.auxiliary(self._predict, images, augmentation)
        return BatchLoss(total, loss.detach(), hits(logits.detach(), labels))

    def order(self, shuffle: Generator) -> Tensor:
        return super().order(shuffle) if self.sampling is None else balanced_order(self.sampling, shuffle)

    def _mixed(self, images: Tensor, batch: Batch, augmentation: Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return mixed images with their targets (B, K) and weights (B,).

        The weights are averaged as the images are, and the targets in proportion to them: the loss of a mixed image is
        the mean of the weighted losses of its two images, so that an image of weight 0 has no part in it.
        """
        n_classes = self.data.n_classes
        targets = targets_of(batch.labels, n_classes)
        if batch.weights is None:
            return (*mix(images, targets, self.recipe, augmentation), None)
        weights = batch.weights.unsqueeze(1)
        images, weighted = mix(images, torch.cat([targets * weights, weights], 1), self.recipe, augmentation)
        targets, weights = weighted[:, :n_classes], weighted[:, n_classes:]
        return images, torch.where(weights > 0, targets / weights, 0.0), weights.squeeze(1)

    def _distilled(self, loss: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """Return the weighted mean of ``loss`` and the distance from the teacher; ``loss`` without a teacher."""
        if self.teacher is None:
            return loss
        taught = self.teacher.logits(images, self.data, self.compute)
        weight, temperature = self.recipe.distill_weight, self.recipe.distill_temperature
        distance = distillation_loss(logits, taught, temperature, multi_label=self.data.multi_label)
        return (1 - weight) * loss + weight * distance

    def validate(self, network: nn.Module) -> Validation:
        # Batches may be twice as large as in training, because evaluation stores no activations for a backward pass.
        batch_size = 2 * self.recipe.batch_size
        evaluation = evaluate(network, self.data.val, self.data, self.compute, batch_size, self.metrics, self.ranks)
        self.last_logits = evaluation.logits if self.keep_predictions else None
        return Validation(evaluation.loss, evaluation.accuracy, metrics=evaluation.metrics)

    def last_predictions(self) -> KeptPredictions | None:
        return None if self.last_logits is None else compact(self.last_logits, self.data.val.labels)

    def _predict(self, images: Tensor) -> Tensor:
        with (self.quantized and self.quantization) or nullcontext():
            return self.compute.logits(self.module, images)


class Fit(TrainingLoop[ImageData, EpochResult]):
    """Train one classifier by a recipe, one epoch per :meth:`step`.

    ``network`` is moved to ``device`` and trained in place. With ``keep_best``, ``best_weights`` is a copy of the
    weights of the best epoch by ``selection``, on the CPU, and with ``keep_predictions``, ``best_predictions`` are its
    predictions of the validation images. With ``recipe.train = "head"`` the head alone is the module that is trained,
    and ``data`` are the features of the images. ``custom`` may replace the loss and the optimizer; ``teacher`` is that
    of ``recipe.teacher``. Raises ``ValueError`` if the recipe cannot train the network on these data. With several
    ``ranks``, each of them makes and steps such a fit at the same time, with its own device.
    """

    task: ImageTraining

    def __init__(
        self,
        network: nn.Module,
        data: ImageData,
        recipe: Recipe,
        *,
        seed: int,
        device: Device = "cpu",
        precision: str = "fp32",
        channels_last: bool = False,
        keep_best: bool = False,
        keep_predictions: bool = False,
        selection: Selection = BY_ACCURACY,
        custom: CustomParts = BUILT_IN,
        teacher: Teacher | None = None,
        ranks: Ranks = SINGLE,
    ) -> None:
        compute = Compute(torch.device(device), precision, channels_last)
        self._network, module, recipe = network, network, recipe.effective
        if recipe.train == "head":
            data = head_data(compute.place(network), data, compute)
            module = head_network(network, recipe, seed)
        metrics = selection.computed
        task = ImageTraining(module, data, recipe, compute, seed, metrics, keep_predictions, custom, teacher, ranks)
        search_lr = partial(
            find_lr, task.module, task.data, recipe, start_lr=recipe.lr, seed=seed, compute=compute, custom=custom
        )
        super().__init__(
            task,
            recipe,
            seed=seed,
            keep_best=keep_best,
            keep_predictions=keep_predictions,
            find_lr=search_lr if recipe.find_lr else None,
            selection=selection,
            custom=custom,
            ranks=ranks,
        )
        # Checked before training, because torch raises only when it reaches the smallest batch.
        _check_batch_norm(module, self.smallest_batch)

    @property
    def network(self) -> nn.Module:
        """The whole network with its present weights, as it is used after the training: without adapters.

        It is the network that was given, or a copy if there are adapters.
        """
        return merged(self._network)


def fit(
    module: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    device: Device = "cpu",
    precision: str = "fp32",
    channels_last: bool = False,
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> list[EpochResult]:
    """Train ``module`` in place for all epochs and return their results; ``on_epoch`` is called after each."""
    run = Fit(module, data, recipe, seed=seed, device=device, precision=precision, channels_last=channels_last)
    while not run.done:
        on_epoch(run.step())
    return run.history


def _check_batch_norm(module: nn.Module, smallest: int) -> None:
    if smallest == 1 and any(isinstance(layer, _BatchNorm) for layer in module.modules()):
        raise ValueError(
            "batch norm needs at least two images per batch, but the smallest batch has one; "
            "raise recipe.batch_size, add training images, or build without batch norm"
        )


def _checked(teacher: Teacher | None, recipe: Recipe, compute: Compute) -> Teacher | None:
    """Return ``teacher`` on the device if ``recipe`` has one. Raises ``ValueError`` if it was not loaded."""
    if recipe.teacher == NONE:
        return None
    if teacher is None:
        raise ValueError(
            f"recipe.teacher = {recipe.teacher!r} needs the loaded teacher, but got none; "
            "pass load_teacher(recipe, data)"
        )
    return teacher.place(compute)


def _check_logits(logits: Tensor, n_images: int, n_classes: int) -> None:
    if logits.shape != (n_images, n_classes):
        raise ValueError(
            f"a network must output logits ({n_images}, {n_classes}) for {n_images} images of {n_classes} classes, but "
            f"output {tuple(logits.shape)}; build it for input_shape and n_classes of the data"
        )
