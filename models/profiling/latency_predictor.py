"""The latency predictor: the milliseconds of a forward pass, told from its layers after a few were measured.

A layer's time is linear in three figures, each with a weight of its own for every kind of layer: that there is one more
of it, the numbers it moves (input, output and parameters), and its multiply-accumulates. No weight is negative. The
times of the layers add up, so a sieve can count and draw by them (``spaces/constrained/constrained_space.py``).
Predicting needs no torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import leaves
from ...spaces.blocks.base import Shape
from ...spaces.blocks.layers import Layer, own_cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTY = 1e-3  # of the squared weights, each feature scaled to at most 1 and each time to exactly 1
START, OTHER = "start", "layer of a kind never measured"


@dataclass(frozen=True)
class LatencyPredictor:
    """Predicted latency; ``weights`` are nanoseconds for one unit of a feature (see :func:`features`).

    It holds for the device, precision, batch size and number of threads of the measurements it was fitted on.
    """

    weights: Mapping[str, float]

    @property
    def start_ns(self) -> int:
        """Nanoseconds of a forward pass that are there before the first layer."""
        return round(self.weights.get(START, 0.0))

    def nanoseconds(self, layers: tuple[Layer, ...], shape: Shape) -> int:
        """What ``layers``, one after another on an input of ``shape``, take."""
        return sum(self._layer_ns(layer, inner) for layer, inner in leaves(layers, shape))

    def _layer_ns(self, layer: Layer, shape: Shape) -> int:
        if f"{layer.kind} layers" not in self.weights:
            return round(self.weights.get(OTHER, 0.0))
        return round(sum(self.weights[name] * value for name, value in features(layer, shape).items()))

    def latency_ms(self, architecture: Architecture) -> float:
        """The predicted milliseconds of ``architecture``."""
        placed = architecture.walk()
        return (self.start_ns + sum(self.nanoseconds(one.layers, one.in_shape) for one in placed)) / 1e6

    def to_json(self) -> dict[str, float]:
        """The weights as JSON's own types."""
        return dict(self.weights)

    @classmethod
    def from_json(cls, weights: Mapping[str, float]) -> "LatencyPredictor":
        """The predictor that ``to_json`` wrote."""
        return cls(dict(weights))


@lru_cache(maxsize=16_384)
def features(layer: Layer, shape: Shape) -> Mapping[str, float]:
    """What one layer on an input of ``shape`` is timed by: its kind's count, numbers moved and multiply-accumulates.

    Branches stand for their join alone; the layers in them are timed by themselves.
    """
    out_shape, cost = own_cost(layer, shape)
    moved = math.prod(shape) + math.prod(out_shape) + cost.params
    figures = {"layers": 1.0, "numbers": float(moved), "macs": float(cost.macs)}
    return {f"{layer.kind} {name}": value for name, value in figures.items() if value}


def fit_latency(architectures: Sequence[Architecture], latencies_ms: Sequence[float]) -> LatencyPredictor:
    """The predictor with the least squared relative error on what was measured, its weights held small and positive.

    A ridge regression with no negative weight: with a dozen networks there are more weights than measurements.
    """
    if not architectures or min(latencies_ms) <= 0:
        raise ValueError(f"a predictor needs networks with latencies above 0, but got {list(latencies_ms)}")
    names, rows = _table(architectures)
    weights = {name: 1e6 * value for name, value in zip(names, _solve(rows, latencies_ms), strict=True)}
    layers = sum(value for name, value in zip(names, rows.sum(axis=0), strict=True) if name.endswith(" layers"))
    spent = 1e6 * sum(latencies_ms) - weights[START] * len(architectures)
    return LatencyPredictor({**weights, OTHER: max(0.0, spent / layers)})


def left_out_ms(architectures: Sequence[Architecture], latencies_ms: Sequence[float]) -> list[float | None]:
    """For each network what a predictor says that was fitted on all the others; None where there are no others."""
    if len(architectures) < 2:
        return [None for _ in architectures]
    found: list[float | None] = []
    for place, architecture in enumerate(architectures):
        others = [*architectures[:place], *architectures[place + 1 :]]
        times = [*latencies_ms[:place], *latencies_ms[place + 1 :]]
        found.append(fit_latency(others, times).latency_ms(architecture))
    return found


def _table(architectures: Sequence[Architecture]) -> tuple[list[str], "NDArray[Any]"]:
    """Names of the features, and a row of them for each architecture."""
    import numpy as np

    sums = []
    for architecture in architectures:
        row: dict[str, float] = {START: 1.0}
        for _, shape, layers, *_ in architecture.walk():
            for layer, inner in leaves(layers, shape):
                for name, value in features(layer, inner).items():
                    row[name] = row.get(name, 0.0) + value
        sums.append(row)
    names = sorted({name for row in sums for name in row})
    return names, np.array([[row.get(name, 0.0) for name in names] for row in sums])


def _solve(rows: "NDArray[Any]", latencies_ms: Sequence[float]) -> list[float]:
    """Milliseconds for one unit of each feature."""
    import numpy as np
    from sklearn.linear_model import Ridge

    scale = rows.max(axis=0)
    relative = rows / scale / np.array(latencies_ms)[:, None]
    ridge = Ridge(alpha=PENALTY, fit_intercept=False, positive=True, tol=1e-10, max_iter=10_000)
    ridge.fit(relative, np.ones(len(rows)))
    return [float(value) for value in ridge.coef_ / scale]
