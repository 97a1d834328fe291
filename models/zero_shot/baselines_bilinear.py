"""Bilinear baselines F(x, c) = x' W a_c, trained by gradient descent: softmax, DeViSE, ALE, SJE.

Shapes: as in ``baselines.py``; a minibatch has B vectors, scores (B, S) over all seen classes.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..optimization.steps import train_steps
from .baselines_closed_form import Array, Scorer, TrainingData, text_basis, unit

EPOCHS = 5
BATCH_SIZE = 256
MARGIN = 1.0  # m in the losses

Loss = Callable[[Tensor, Tensor], Tensor]


def bilinear_losses(n_classes: int) -> dict[str, Loss]:
    """Return the losses of scores (B, S) of ``n_classes`` seen classes, with labels (B,), by the name of the method.

    * bilinear: the cross-entropy, -log softmax of F over the classes.
    * devise: sum_c max(0, m + F(x, c) - F(x, y)) (Frome et al. 2013). The sum is over all violating classes; other
      implementations stop at the first one.
    * ale: the loss of devise times beta_r / r, r the number of violations, beta_r = 1 + ... + 1/r (Akata et al. 2016).
      WARP estimates the rank r by sampling classes. Here it is counted exactly: all scores are computed anyway.
    * sje: max_c [m + F(x, c)] - F(x, y), the largest violation only (Akata et al. 2015).
    """
    # beta_r for r = 0 .. S - 1 violations
    harmonic = torch.cat([torch.zeros(1), (1 / torch.arange(1, n_classes + 1)).cumsum(0)])

    def ale(scores: Tensor, y: Tensor) -> Tensor:
        violations = _violations(scores, y)
        rank = (violations > 0).sum(1)
        # the clamp avoids 0 / 0 for images without violations, whose loss is 0
        return (violations.sum(1) * harmonic.to(scores.device)[rank] / rank.clamp(min=1)).mean()

    return {
        "bilinear": F.cross_entropy,
        "devise": lambda scores, y: _violations(scores, y).sum(1).mean(),
        "ale": ale,
        "sje": lambda scores, y: _violations(scores, y).amax(1).mean(),
    }


def bilinear_baseline(method: str) -> Callable[..., Scorer]:
    """Return the fit of a baseline that minimises one of :func:`bilinear_losses`, with the learning rate ``lr``."""

    def fit(data: TrainingData, lr: float = 0.01) -> Scorer:
        return _train(data, lr, bilinear_losses(len(data.texts))[method])

    return fit


def _violations(scores: Tensor, y: Tensor) -> Tensor:
    """Return max(0, m + F(x, c) - F(x, y)) (B, S) for each class c other than y, and 0 for y."""
    own = scores.gather(1, y.unsqueeze(1))
    return (MARGIN + scores - own).clamp(min=0).scatter(1, y.unsqueeze(1), 0.0)


def _train(data: TrainingData, lr: float, loss: Loss) -> Scorer:
    """Train W by Adam from zero on centred vectors and texts of length 1; the same seed gives the same W."""
    centre, texts_mean = data.x.mean(0), data.texts.mean(0)
    x = torch.from_numpy(unit(data.x - centre)).float()
    units = unit(data.texts - texts_mean)
    basis = text_basis(units)
    a = torch.from_numpy(units if basis is None else units @ basis).float()
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
    weights = weights if basis is None else weights @ basis.T
    return lambda x, texts: unit(x - centre) @ weights @ unit(texts - texts_mean).T
