"""Losses of a zero-shot model, over the classes of the minibatch (Ba et al. 2015, section 4).

Shapes: ``scores`` (B, U) of B images and the U classes present among them, ``targets`` (B,) int64 in 0..U-1. Each loss
is the sum over all pairs, as in the paper; the training code divides it by B.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 1.0  # of the hinge loss and of the distance of different classes


def binary_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Return -sum [I log s(y) + (1 - I) log(1 - s(y))], equation 6."""
    return F.binary_cross_entropy_with_logits(scores, one_hot(scores, targets), reduction="sum")


def hinge(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of max(0, 1 - I y) with I in {+1, -1}, equation 7."""
    signs = 2 * one_hot(scores, targets) - 1
    return (MARGIN - signs * scores).clamp(min=0).sum()


def euclidean(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of d^2 over matching pairs and max(0, 1 - d)^2 over other pairs; ``scores`` are -d^2 / 2.

    The paper uses a hinge loss and L2 penalties on both embeddings, which can be minimal with all embeddings at 0. This
    contrastive loss (Hadsell et al. 2006) keeps different classes apart.
    """
    square = (-2 * scores).clamp(min=1e-12)  # the gradient of sqrt is infinite at 0
    own = one_hot(scores, targets)
    return (own * square + (1 - own) * (MARGIN - square.sqrt()).clamp(min=0).square()).sum()


def softmax(scores: Tensor, targets: Tensor) -> Tensor:
    """Return -sum log p(own class), p over the classes of the batch."""
    return F.cross_entropy(scores, targets, reduction="sum")


def one_hot(scores: Tensor, targets: Tensor) -> Tensor:
    """Return I (B, U): 1 where the image has the class, else 0."""
    return torch.zeros_like(scores).scatter_(1, targets.unsqueeze(1), 1.0)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": binary_cross_entropy,
    "hinge": hinge,
    "euclidean": euclidean,
    "softmax": softmax,
}
