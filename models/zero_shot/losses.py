"""Losses of a zero-shot model, over the classes of the minibatch (Ba et al. 2015, section 4).

Shapes: ``scores`` (B, U) of B pictures and the U classes present among them, ``targets`` (B,) int64 in 0..U-1. Each
loss is the sum over all pairs, as in the paper; whoever trains divides by B.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 1.0


def binary_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """-sum [I log s(y) + (1 - I) log(1 - s(y))], equation 6."""
    return F.binary_cross_entropy_with_logits(scores, one_hot(scores, targets), reduction="sum")


def hinge(scores: Tensor, targets: Tensor) -> Tensor:
    """The sum of max(0, 1 - I y) with I in {+1, -1}, equation 7."""
    signs = 2 * one_hot(scores, targets) - 1
    return (MARGIN - signs * scores).clamp(min=0).sum()


def euclidean(scores: Tensor, targets: Tensor) -> Tensor:
    """The sum over pairs of d^2 and over the others max(0, 1 - d)^2, where ``scores`` are -d^2 / 2.

    The paper writes hinge and L2 on both embeddings, whose optimum may put all at 0; this contrastive form (Hadsell et
    al. 2006) keeps them apart.
    """
    square = (-2 * scores).clamp(min=1e-12)
    own = one_hot(scores, targets)
    return (own * square + (1 - own) * (MARGIN - square.sqrt()).clamp(min=0).square()).sum()


def softmax(scores: Tensor, targets: Tensor) -> Tensor:
    """-sum log p(own class) over the batch's classes."""
    return F.cross_entropy(scores, targets, reduction="sum")


def one_hot(scores: Tensor, targets: Tensor) -> Tensor:
    """I (B, U): 1 where the picture has the class."""
    return torch.zeros_like(scores).scatter_(1, targets.unsqueeze(1), 1.0)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": binary_cross_entropy,
    "hinge": hinge,
    "euclidean": euclidean,
    "softmax": softmax,
}
