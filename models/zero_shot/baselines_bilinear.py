"""Bilinear baselines F(x, c) = x' W a_c, trained by gradient descent: softmax, DeViSE, ALE, SJE.

Shapes: as in ``baselines.py``; a minibatch has B vectors, scores (B, S) over all seen classes.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..optimization.steps import train_steps
from .baselines_closed_form import Array, Scorer, TrainingData, unit

EPOCHS = 5
BATCH_SIZE = 256
MARGIN = 1.0  # m in the losses

Loss = Callable[[Tensor, Tensor], Tensor]


def bilinear_softmax(data: TrainingData, lr: float = 0.01) -> Scorer:
    """Minimise the cross-entropy, -log softmax of F over the seen classes."""
    return _train(data, lr, F.cross_entropy)


def devise(data: TrainingData, lr: float = 0.01) -> Scorer:
    """Minimise sum_c max(0, m + F(x, c) - F(x, y)) (Frome et al. 2013).

    The sum is over all violating classes; other implementations stop at the first one.
    """
    return _train(data, lr, lambda scores, y: _violations(scores, y).sum(1).mean())


def ale(data: TrainingData, lr: float = 0.01) -> Scorer:
    """Minimise DeViSE's loss times beta_r / r, r the number of violations, beta_r = 1 + ... + 1/r (Akata et al. 2016).

    WARP estimates the rank r by sampling classes. Here it is counted exactly, because all scores are computed anyway.
    """
    # beta_r for r = 0 .. S - 1 violations
    harmonic = torch.cat([torch.zeros(1), (1 / torch.arange(1, len(data.texts) + 1)).cumsum(0)])

    def loss(scores: Tensor, y: Tensor) -> Tensor:
        violations = _violations(scores, y)
        rank = (violations > 0).sum(1)
        # the clamp avoids 0 / 0 for images without violations, whose loss is 0
        return (violations.sum(1) * harmonic[rank] / rank.clamp(min=1)).mean()

    return _train(data, lr, loss)


def sje(data: TrainingData, lr: float = 0.01) -> Scorer:
    """Minimise max_c [m + F(x, c)] - F(x, y), the largest violation only (Akata et al. 2015)."""
    return _train(data, lr, lambda scores, y: _violations(scores, y).amax(1).mean())


def _violations(scores: Tensor, y: Tensor) -> Tensor:
    """Return max(0, m + F(x, c) - F(x, y)) (B, S) for each class c other than y, and 0 for y."""
    own = scores.gather(1, y.unsqueeze(1))
    return (MARGIN + scores - own).clamp(min=0).scatter(1, y.unsqueeze(1), 0.0)


def _train(data: TrainingData, lr: float, loss: Loss) -> Scorer:
    """Train W by Adam from zero on centred vectors and texts of length 1; the same seed gives the same W."""
    centre, texts_mean = data.x.mean(0), data.texts.mean(0)
    x = torch.from_numpy(unit(data.x - centre)).float()
    a = torch.from_numpy(unit(data.texts - texts_mean)).float()
    y = torch.from_numpy(data.y)
    w = torch.zeros(x.shape[1], a.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=lr)
    # a separate generator, so that the result does not depend on the global random state
    order = torch.Generator().manual_seed(data.seed)
    batches = (
        index for _ in range(EPOCHS) for index in torch.split(torch.randperm(len(x), generator=order), BATCH_SIZE)
    )
    for _ in train_steps(batches, lambda index: loss(x[index] @ w @ a.T, y[index]), optimizer):
        pass
    weights: Array = w.detach().numpy().astype(np.float64)
    return lambda x, texts: unit(x - centre) @ weights @ unit(texts - texts_mean).T
