"""Losses, probabilities and correct predictions of scores, for images with one label and with any number of labels.

With one label the probabilities are a softmax, and the loss is the cross-entropy. With several labels each class has a
sigmoid of its own, and the loss is the mean binary cross-entropy over the classes.

Shapes: B images, K classes; labels int64 (B,), or bool (B, K) with several labels; logits (B, K).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

THRESHOLD = 0.5  # an image has the labels with a probability above it
SMALLEST_TOTAL = 1e-12  # of the weights of a batch, so that a batch whose weights are all 0 has the loss 0


@dataclass(frozen=True, eq=False)
class LabelLoss:
    """The mean loss of a batch in nats.

    ``class_weights`` (K,): with one label the weight of each image of the class, as ``weight`` of
    ``torch.nn.CrossEntropyLoss``; with several labels that of the images with the class against those without it, as
    ``pos_weight`` of ``torch.nn.BCEWithLogitsLoss``. None for equal weights. ``smoothing`` is the fraction of a label
    that is spread over all classes; with several labels, over the class and its absence. ``multi_label`` tells several
    labels from targets that mixing images has made of one label.
    """

    class_weights: Tensor | None = None
    smoothing: float = 0.0
    multi_label: bool = False

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, a scalar; ``weights`` (B,) are those of the images.

        It is sum(w * loss) / sum(w), where w has the weights of the images and, with one label, of the classes.
        ``labels`` may be float32 (B, K), the probability of each class.
        """
        if self.multi_label:
            losses = self._of_several(logits, labels)
            return losses.mean() if weights is None else _mean(losses * weights, weights)
        if weights is None and self.class_weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        # the losses have the factor of their class
        losses = F.cross_entropy(logits, labels, self.class_weights, label_smoothing=self.smoothing, reduction="none")
        of_images = torch.ones_like(losses) if weights is None else weights
        return _mean(losses * of_images, of_images * self._of_classes(labels))

    def _of_classes(self, labels: Tensor) -> Tensor | float:
        """Return the weight of the class of each image (B,), for probabilities the mean of the weights; 1 without."""
        if self.class_weights is None:
            return 1.0
        return self.class_weights[labels] if labels.dim() == 1 else labels @ self.class_weights

    def _of_several(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss over the classes of each image (B,)."""
        targets = labels.to(logits.dtype)
        if self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.class_weights, reduction="none")
        return losses.mean(1)


def _mean(weighted_losses: Tensor, weights: Tensor) -> Tensor:
    return weighted_losses.sum() / weights.sum().clamp(min=SMALLEST_TOTAL)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss in nats without weights and smoothing, a scalar."""
    return LabelLoss(multi_label=labels.dim() == 2)(logits, labels)


def loss_of_probabilities(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss in nats of probabilities (B, K), a scalar; one below 1e-12 counts as 1e-12."""
    # one image with probability 0 would make the loss infinite
    if labels.dim() == 2:
        return F.binary_cross_entropy(probabilities.clamp(1e-12, 1 - 1e-12), labels.to(probabilities.dtype))
    return F.nll_loss(probabilities.clamp(min=1e-12).log(), labels)


def probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """Return the probabilities (B, K) of the classes; with one label a row sums to 1."""
    return logits.sigmoid() if multi_label else logits.softmax(1)


def logits_of(probabilities: Tensor, *, multi_label: bool) -> Tensor:
    """Return logits (B, K), float64, with these probabilities; a probability of 0 or 1 gives a finite logit."""
    probabilities = probabilities.double()
    if multi_label:
        return torch.logit(probabilities, eps=1e-15)
    return probabilities.clamp(min=1e-300).log()


def predicted(logits: Tensor, *, multi_label: bool) -> Tensor:
    """Return the prediction for each image: its class (B,), or whether it has each class, bool (B, K)."""
    # a logit above 0 is a probability above the threshold of 0.5
    return logits > 0 if multi_label else logits.argmax(1)


def agreement(logits: Tensor, others: Tensor, *, multi_label: bool) -> float:
    """Return the share (0..1) of images with the same prediction by two logits (B, K): the class, or all classes."""
    equal = predicted(logits, multi_label=multi_label) == predicted(others, multi_label=multi_label)
    return float(equal.reshape(len(logits), -1).all(1).float().mean())


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many predictions are right, a scalar: with several labels, those that are right for every class."""
    if labels.dim() == 2:
        return (predicted(logits, multi_label=True) == labels).all(1).sum()
    return (logits.argmax(1) == labels).sum()
