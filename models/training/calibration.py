"""Temperature scaling: one number that calibrates the probabilities of a trained network (Guo et al. 2017).

Shapes: N validation images, K classes. Source: https://arxiv.org/abs/1706.04599.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from ..metrics.label_losses import hits, label_loss

LOWEST, HIGHEST = 0.05, 20.0  # of the temperature


@dataclass(frozen=True)
class Calibration:
    """The temperature by which scores are divided before the softmax, and what it does on the ``n`` validation images.

    ``loss_before`` and ``loss_after`` are mean cross-entropies in nats. Without a calibration they are equal.
    """

    temperature: float
    loss_before: float
    loss_after: float
    n: int


def fit_temperature(scores: Tensor, labels: Tensor) -> Calibration:
    """Return the temperature with the lowest cross-entropy of ``scores`` (N, K) for ``labels``, (N,) or bool (N, K).

    It never changes which class has the highest score, or, with several labels, which scores are above 0. It is 1 if
    every image is classified correctly, because the lowest cross-entropy would then be that of infinite confidence.
    """
    from scipy.optimize import minimize_scalar

    scores, labels = scores.detach().double().cpu(), labels.cpu()

    def loss(log_temperature: float) -> float:
        return float(label_loss(scores / math.exp(log_temperature), labels))

    before = loss(0.0)
    if not math.isfinite(before) or int(hits(scores, labels)) == len(labels):
        return Calibration(1.0, before, before, len(labels))
    # The loss is convex in 1 / temperature, so it has one minimum in the logarithm of the temperature, too.
    lowest = minimize_scalar(loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    if lowest.fun >= before:
        return Calibration(1.0, before, before, len(labels))
    return Calibration(math.exp(lowest.x), before, float(lowest.fun), len(labels))
