"""Temperature scaling: one number that calibrates the probabilities of a trained network (Guo et al. 2017).

Shapes: N validation images, K classes. Source: https://arxiv.org/abs/1706.04599.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from ..metrics.label_losses import hits, label_loss

LOWEST, HIGHEST = 0.05, 20.0  # of the temperature
# Standard deviation of the normal prior on the logarithm of the temperature, around 0: two of three temperatures are
# between 1/2 and 2. It counts as little as one image, so it decides only where few images leave the temperature open.
PRIOR_STD = math.log(2)


@dataclass(frozen=True)
class Calibration:
    """The temperature by which scores are divided before the softmax, and what it does on the ``n`` validation images.

    ``loss_before`` and ``loss_after`` are mean cross-entropies in nats. Without a calibration they are equal.
    ``prior_std`` is the standard deviation of the prior on the logarithm of the temperature.
    """

    temperature: float
    loss_before: float
    loss_after: float
    n: int
    prior_std: float = PRIOR_STD


def fit_temperature(scores: Tensor, labels: Tensor) -> Calibration:
    """Return the temperature with the lowest cross-entropy of ``scores`` (N, K) for ``labels``, given a prior.

    ``labels`` are (N,), or bool (N, K). The prior keeps the temperature of few images near 1: without it, one image of
    ten that is classified wrongly can give any temperature up to the limit. With hundreds of images it makes no
    difference that matters.

    The temperature never changes which class has the highest score, or, with several labels, which scores are above 0.
    It is 1 if every image is classified correctly, because the lowest cross-entropy would then be that of infinite
    confidence.
    """
    from scipy.optimize import minimize_scalar

    scores, labels = scores.detach().double().cpu(), labels.cpu()

    def loss(log_temperature: float) -> float:
        return float(label_loss(scores / math.exp(log_temperature), labels))

    before = loss(0.0)
    if not math.isfinite(before) or int(hits(scores, labels)) == len(labels):
        return Calibration(1.0, before, before, len(labels))

    def posterior(log_temperature: float) -> float:
        """Return the mean negative logarithm of the posterior density, up to a constant."""
        return loss(log_temperature) + (log_temperature / PRIOR_STD) ** 2 / (2 * len(labels))

    lowest = minimize_scalar(posterior, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    if lowest.fun >= before:
        return Calibration(1.0, before, before, len(labels))
    return Calibration(math.exp(lowest.x), before, loss(float(lowest.x)), len(labels))
