"""Evaluation: the scores of a network on a split, and their loss, accuracy and spread over the classes.

Shapes: N images (N, C, H, W), B of them in a batch, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import ImageData, Split, in_unit_range
from ..networks.compute import CPU, Compute


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy (nats, no label smoothing) and accuracy (0..1) on a split."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class PredictionSpread:
    """How many ``classes`` are predicted at all, and the share (0..1) of the images that get the most frequent one.

    A share near 1 is a network that has collapsed.
    """

    classes: int
    top_share: float


def evaluate(
    module: nn.Module, split: Split, data: ImageData, compute: Compute = CPU, batch_size: int = 256
) -> Evaluation:
    """Evaluate ``module`` on ``split``; ``data`` gives the normalisation.

    The module is moved to the device, evaluated in evaluation mode and left in the mode it was in.
    """
    logits = scores(module, split.images, data, compute, batch_size)
    labels = split.labels.to(compute.device)
    return Evaluation(float(F.cross_entropy(logits, labels)), accuracy(logits, labels))


def predict(
    module: nn.Module, images: Tensor, data: ImageData, compute: Compute = CPU, batch_size: int = 256
) -> Tensor:
    """Class probabilities, float32 (N, K) on the CPU, of images (N, C, H, W) as they are in a split."""
    return scores(module, images, data, compute, batch_size).softmax(1).cpu()


def scores(module: nn.Module, images: Tensor, data: ImageData, compute: Compute, batch_size: int) -> Tensor:
    """Logits (N, K) on the device of images (N, C, H, W) as they are in a split, in evaluation mode."""
    network, data = compute.place(module), data.to(compute.device)
    return scores_by(lambda batch: compute.logits(network, data.normalise(batch)), network, images, compute, batch_size)


@torch.inference_mode()
def scores_by(
    score: Callable[[Tensor], Tensor], network: nn.Module, images: Tensor, compute: Compute, batch_size: int
) -> Tensor:
    """What ``score`` returns for all images, batch by batch, with ``network`` in evaluation mode.

    ``score`` gets images (B, C, H, W), float32 in [0, 1], on the device, where ``network`` already is.
    """
    with evaluating(network):
        batches = (batch.to(compute.device, non_blocking=True) for batch in torch.split(images, batch_size))
        return torch.cat([score(in_unit_range(batch)) for batch in batches])


@contextmanager
def evaluating(module: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Inside, ``module`` is in evaluation mode (in training mode on request); outside, in the mode it was in."""
    was_training = module.training
    module.train(training)
    try:
        yield
    finally:
        module.train(was_training)


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The share (0..1) of images whose highest score or probability (N, K) is that of their label (N,)."""
    return int((scores.argmax(1) == labels).sum()) / len(labels)


def prediction_spread(
    module: nn.Module, images: Tensor, data: ImageData, compute: Compute = CPU, batch_size: int = 256
) -> PredictionSpread:
    """How the predictions of ``images`` spread over the classes."""
    predicted = scores(module, images, data, compute, batch_size).argmax(1)
    counts = torch.bincount(predicted, minlength=data.n_classes)
    return PredictionSpread(int((counts > 0).sum()), float(counts.max()) / len(images))


def worst_spread(
    networks: Sequence[tuple[nn.Module, ImageData]], compute: Compute, batch_size: int
) -> PredictionSpread:
    """The spread of the network whose predictions of its own validation images are the most uneven."""
    spreads = (prediction_spread(module, data.val.images, data, compute, batch_size) for module, data in networks)
    return max(spreads, key=lambda spread: spread.top_share)
