"""Evaluation: the scores of a network on a split, and their loss, accuracy and distribution over the classes.

Shapes: N images (N, C, H, W), B of them in a batch, K classes.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..data.dataset import ImageData, Split, in_unit_range
from ..metrics.compute import compute_metrics, compute_on_test
from ..metrics.label_losses import hits, label_loss, predicted, probabilities
from ..networks.compute import CPU, Compute
from ..ranks.ranks import SINGLE, Ranks
from ..storage.images import Images, batches_of


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy (nats), accuracy (0..1) and the other metrics by name, on a split, without weights.

    ``problems`` are sentences on custom metrics that failed on the test images. ``logits`` (N, K) are on the device;
    None for the test images.
    """

    loss: float
    accuracy: float
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    problems: tuple[str, ...] = ()
    logits: Tensor | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class PredictionSpread:
    """How many distinct ``classes`` are predicted, and the share (0..1) of images with the most frequent prediction.

    With several labels (``multi_label``) each set of labels counts as a class. A share near 1 means that the network
    has collapsed to one class.
    """

    classes: int
    top_share: float
    multi_label: bool = False


def evaluate(
    module: nn.Module,
    split: Split,
    data: ImageData,
    compute: Compute = CPU,
    batch_size: int = 256,
    metrics: Sequence[str] = (),
    ranks: Ranks = SINGLE,
) -> Evaluation:
    """Evaluate ``module`` on ``split``; ``data`` provides the normalisation, ``metrics`` are the other metrics.

    The module is moved to the device and evaluated in evaluation mode; then its previous mode is restored. Each of
    ``ranks`` scores its share of the images, and all return the evaluation of all images.
    """
    logits = scores(module, ranks.share_of_images(split.images), data, compute, batch_size)
    return evaluate_logits(ranks.gather(logits, split.images), split.labels, metrics)


def evaluate_logits(logits: Tensor, labels: Tensor, metrics: Sequence[str] = ()) -> Evaluation:
    """Return the evaluation of logits (N, K) for ``labels``, on the device of the logits."""
    labels = labels.to(logits.device)
    loss = float(label_loss(logits, labels))
    # a network that has diverged has no metrics: its loss ends the training
    others = compute_metrics(metrics, labels, logits) if math.isfinite(loss) else {}
    return Evaluation(loss, accuracy(logits, labels), others, logits=logits)


def evaluate_on_test(
    module: nn.Module, data: ImageData, compute: Compute, batch_size: int, metrics: Sequence[str]
) -> Evaluation:
    """Evaluate ``module`` on the test images, which ``data`` must have; a custom metric may fail."""
    assert data.test is not None
    logits = scores(module, data.test.images, data, compute, batch_size)
    labels = data.test.labels.to(compute.device)
    loss = float(label_loss(logits, labels))
    others, problems = compute_on_test(metrics, labels, logits) if math.isfinite(loss) else ({}, ())
    return Evaluation(loss, accuracy(logits, labels), others, problems)


def predict(
    module: nn.Module, images: Images, data: ImageData, compute: Compute = CPU, batch_size: int = 256
) -> Tensor:
    """Return class probabilities, float32 (N, K) on the CPU, of images (N, C, H, W) in the format of a split."""
    logits = scores(module, images, data, compute, batch_size)
    return probabilities(logits, multi_label=data.multi_label).cpu()


def scores(module: nn.Module, images: Images, data: ImageData, compute: Compute, batch_size: int) -> Tensor:
    """Return logits (N, K), on the device, of images (N, C, H, W) in the format of a split, in evaluation mode."""
    network, data = compute.place(module), data.to(compute.device)
    return score_in_batches(
        lambda batch: compute.logits(network, data.normalise(batch)), network, images, compute, batch_size
    )


@torch.inference_mode()
def score_in_batches(
    score: Callable[[Tensor], Tensor], network: nn.Module, images: Images, compute: Compute, batch_size: int
) -> Tensor:
    """Apply ``score`` to all images batch by batch, with ``network`` in evaluation mode, and return the results.

    ``score`` receives images (B, C, H, W), float32 in [0, 1], on the device. ``network`` must already be there.
    """
    with evaluating(network):
        batches = (batch.to(compute.device, non_blocking=True) for batch in batches_of(images, batch_size))
        return torch.cat([score(in_unit_range(batch)) for batch in batches])


@contextmanager
def evaluating(module: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Put ``module`` into evaluation mode, or into training mode if ``training``, and restore its mode at the end."""
    was_training = module.training
    module.train(training)
    try:
        yield
    finally:  # also after an error, because evaluations happen between the epochs of a training
        module.train(was_training)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share (0..1) of images with the right class, or with several labels, all classes right.

    ``labels`` are (N,), or bool (N, K); ``logits`` are (N, K).
    """
    return int(hits(logits, labels)) / len(labels)


def prediction_spread(
    module: nn.Module, images: Images, data: ImageData, compute: Compute = CPU, batch_size: int = 256
) -> PredictionSpread:
    """Return how the predictions of ``images`` are distributed over the classes."""
    logits = scores(module, images, data, compute, batch_size)
    counts = torch.unique(predicted(logits, multi_label=data.multi_label), dim=0, return_counts=True)[1]
    return PredictionSpread(len(counts), float(counts.max()) / len(images), data.multi_label)


def worst_spread(
    networks: Sequence[tuple[nn.Module, ImageData]], compute: Compute, batch_size: int
) -> PredictionSpread:
    """Return the spread of the network with the most uneven predictions of its validation images."""
    spreads = (prediction_spread(module, data.val.images, data, compute, batch_size) for module, data in networks)
    return max(spreads, key=lambda spread: spread.top_share)
