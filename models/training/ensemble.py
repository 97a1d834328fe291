"""Ensembles: the mean of several networks' probabilities, chosen greedily on validation images.

Shapes: M networks, N images, K classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .evaluate import accuracy


def select(probabilities: Tensor, labels: Tensor, rounds: int) -> list[int]:
    """How often each network is in the ensemble, M counts that sum to ``rounds`` at most.

    Forward selection with replacement from the best network on (Caruana et al. 2004): in each round the one is added
    whose mean with those chosen is best on ``labels`` (N,), by accuracy, then by loss, then by its place. The
    ensemble of the best round is returned, of equals the smallest. ``probabilities`` is (M, N, K).
    """
    chosen: list[int] = []
    best: tuple[tuple[float, float], int] | None = None
    total = torch.zeros_like(probabilities[0])
    for size in range(1, rounds + 1):
        merits = [merit((total + own) / size, labels) for own in probabilities]
        place = max(range(len(merits)), key=lambda k: (merits[k], -k))
        chosen.append(place)
        total = total + probabilities[place]
        if best is None or merits[place] > best[0]:
            best = merits[place], size
    assert best is not None
    kept = chosen[: best[1]]
    return [kept.count(k) for k in range(len(probabilities))]


def merit(probabilities: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy, and minus the mean cross-entropy in nats, of probabilities (N, K)."""
    loss = F.nll_loss(probabilities.clamp(min=1e-12).log(), labels)
    return accuracy(probabilities, labels), -float(loss)


def averaged(probabilities: Tensor, counts: Sequence[int]) -> Tensor:
    """The ensemble's probabilities (N, K): the mean over (M, N, K), each network as often as it was chosen."""
    weights = torch.tensor(counts, dtype=probabilities.dtype) / sum(counts)
    return torch.einsum("m,mnk->nk", weights, probabilities)
