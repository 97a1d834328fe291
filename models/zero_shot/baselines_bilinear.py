"""Bilinear baselines F(x, c) = x' W a_c, trained by gradient descent: softmax, DeViSE, ALE, SJE.

Shapes: as in the table of baselines; a minibatch has B vectors, scores (B, S) over all seen classes.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..training.steps import train_steps
from .baselines_closed_form import Array, Scorer, Training, unit

EPOCHS = 5
BATCH = 256
MARGIN = 1.0

Loss = Callable[[Tensor, Tensor], Tensor]


def bilinear_softmax(training: Training, lr: float = 0.01) -> Scorer:
    """-log softmax of F over the seen classes."""
    return _trained(training, lr, F.cross_entropy)


def devise(training: Training, lr: float = 0.01) -> Scorer:
    """sum_c max(0, m + F(x, c) - F(x, y)) (Frome et al. 2013); all violators, where implementations stop at one."""
    return _trained(training, lr, lambda scores, y: _violations(scores, y).sum(1).mean())


def ale(training: Training, lr: float = 0.01) -> Scorer:
    """DeViSE weighted by beta_r / r, r the number of violators, beta_r = 1 + ... + 1/r (Akata et al. 2016).

    The rank is counted where WARP estimates it by drawing classes: all scores are at hand.
    """
    harmonic = torch.cat([torch.zeros(1), (1 / torch.arange(1, len(training.texts) + 1)).cumsum(0)])

    def loss(scores: Tensor, y: Tensor) -> Tensor:
        violations = _violations(scores, y)
        rank = (violations > 0).sum(1)
        return (violations.sum(1) * harmonic[rank] / rank.clamp(min=1)).mean()

    return _trained(training, lr, loss)


def sje(training: Training, lr: float = 0.01) -> Scorer:
    """max_c [m + F(x, c)] - F(x, y), the worst violator alone (Akata et al. 2015)."""
    return _trained(training, lr, lambda scores, y: _violations(scores, y).amax(1).mean())


def _violations(scores: Tensor, y: Tensor) -> Tensor:
    """max(0, m + F(x, c) - F(x, y)) for each other class, 0 for the own one."""
    own = scores.gather(1, y.unsqueeze(1))
    return (MARGIN + scores - own).clamp(min=0).scatter(1, y.unsqueeze(1), 0.0)


def _trained(training: Training, lr: float, loss: Loss) -> Scorer:
    """W by Adam from zero over unit vectors, the means taken off; the same seed gives the same W."""
    centre, texts_mean = training.x.mean(0), training.texts.mean(0)
    x = torch.from_numpy(unit(training.x - centre)).float()
    a = torch.from_numpy(unit(training.texts - texts_mean)).float()
    y = torch.from_numpy(training.y)
    w = torch.zeros(x.shape[1], a.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=lr)
    order = torch.Generator().manual_seed(training.seed)
    batches = (index for _ in range(EPOCHS) for index in torch.split(torch.randperm(len(x), generator=order), BATCH))
    for _ in train_steps(batches, lambda index: loss(x[index] @ w @ a.T, y[index]), optimizer):
        pass
    found: Array = w.detach().numpy().astype(np.float64)
    return lambda x, texts: unit(x - centre) @ found @ unit(texts - texts_mean).T
