"""Ensembles: the mean of the probabilities, or of the weights, of several networks.

Shapes: M networks, N images, K classes; labels (N,), or bool (N, K) where images have several labels.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...spaces.metrics.registry import ACCURACY
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ..metrics.compute import compute_of_probabilities, compute_on_test
from ..metrics.label_losses import logits_of, loss_of_probabilities
from .evaluate import accuracy


def select_members(
    probabilities: Tensor,
    labels: Tensor,
    rounds: int,
    selection: Selection = BY_ACCURACY,
) -> list[int]:
    """Return how often each network is in the ensemble: M counts with a sum of at most ``rounds``.

    Forward selection with replacement (Caruana et al. 2004), starting with the best network. Each round adds the
    network that makes the mean of the ensemble best on ``labels``, by the selecting metric, then by loss, then by
    the lower index. The ensemble of the best round is returned, the smallest one of equals. ``probabilities`` is
    (M, N, K).
    """
    chosen: list[int] = []
    best: tuple[tuple[float, float], int] | None = None
    total = torch.zeros_like(probabilities[0])
    for size in range(1, rounds + 1):
        # The sum is kept instead of the mean, so that adding a network needs one addition.
        scores = [selection_score((total + candidate) / size, labels, selection) for candidate in probabilities]
        index = max(range(len(scores)), key=lambda k: (scores[k], -k))
        chosen.append(index)
        total = total + probabilities[index]
        if best is None or scores[index] > best[0]:
            best = scores[index], size
    assert best is not None
    members = chosen[: best[1]]
    return [members.count(k) for k in range(len(probabilities))]


def selection_score(
    probabilities: Tensor,
    labels: Tensor,
    selection: Selection = BY_ACCURACY,
) -> tuple[float, float]:
    """Return the score, by default the accuracy, and the negative mean cross-entropy in nats for ``labels``.

    A metric in int8 is replaced by the same in float32, because the probabilities are those of float32.
    """
    selection = selection.of_epochs
    loss = loss_of_probabilities(probabilities, labels)
    values = metric_values(probabilities, labels, (selection.metric,))
    score = selection.score(values)
    assert score is not None
    return score, -float(loss)


def metric_values(probabilities: Tensor, labels: Tensor, metrics: Sequence[str]) -> dict[str, float]:
    """Return ``val_accuracy`` and ``metrics``, by name, of probabilities (N, K) for ``labels``."""
    others = [name for name in metrics if name != ACCURACY]
    return {
        "val_accuracy": accuracy(logits_of(probabilities, multi_label=labels.dim() == 2), labels),
        **compute_of_probabilities(others, labels, probabilities),
    }


class MetricsOnTest(NamedTuple):
    """Metrics of test images by their names, ``test_NAME``, and a sentence for each custom metric that failed."""

    values: dict[str, float]
    problems: tuple[str, ...]


def metrics_on_test(probabilities: Tensor, labels: Tensor, metrics: Sequence[str]) -> MetricsOnTest:
    """Return the accuracy and ``metrics`` of probabilities (N, K) of the test images for ``labels``."""
    others = [name for name in metrics if name != ACCURACY]
    logits = logits_of(probabilities, multi_label=labels.dim() == 2)
    values, problems = compute_on_test(others, labels, logits)
    tests = {f"test_{name}": value for name, value in values.items()}
    return MetricsOnTest({"test_accuracy": accuracy(logits, labels), **tests}, problems)


def average_probabilities(probabilities: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the mean (N, K) of ``probabilities`` (M, N, K) over the M networks, weighted by ``counts``."""
    weights = torch.tensor(counts, dtype=probabilities.dtype) / sum(counts)
    return torch.einsum("m,mnk->nk", weights, probabilities)


def average_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of state dicts of copies of one network; tensors of integers, such as counters, of the first."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }
