"""Latency predictor: the milliseconds of a forward pass, predicted from the layers after a few measurements.

The time of a layer is linear in three features, with separate weights for every kind of layer: a constant per layer,
the numbers it moves (input, output and parameters), and its multiply-accumulates. No weight is negative. The times of
the layers add up, so a constrained space can count and sample by latency
(``spaces/constrained/constrained_space.py``). Prediction does not import torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import leaves
from ...spaces.blocks.base import Shape
from ...spaces.blocks.layers import Convolution, Layer, own_cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTY = 1e-3  # factor of the squared weights, with each feature scaled to at most 1 and each time to exactly 1
BASE, UNKNOWN_KIND = "start", "layer of a kind never measured"


@dataclass(frozen=True)
class LatencyPredictor:
    """A predictor of latency; ``weights`` are nanoseconds for one unit of a feature (see :func:`features`).

    It is valid for the device, precision, batch size and number of threads of the measurements that it was fitted on.
    """

    weights: Mapping[str, float]

    @property
    def base_latency_ns(self) -> int:
        """The base latency in nanoseconds: the part of a forward pass that no layer causes."""
        return round(self.weights.get(BASE, 0.0))

    def nanoseconds(self, layers: tuple[Layer, ...], shape: Shape) -> int:
        """Return the nanoseconds that ``layers`` take one after another on an input of ``shape``."""
        return sum(self._layer_ns(layer, inner) for layer, inner in leaves(layers, shape))

    def _layer_ns(self, layer: Layer, shape: Shape) -> int:
        if f"{_kind(layer, shape)} layers" not in self.weights:  # a kind that was not measured
            return round(self.weights.get(UNKNOWN_KIND, 0.0))
        return round(sum(self.weights[name] * value for name, value in features(layer, shape).items()))

    def latency_ms(self, architecture: Architecture) -> float:
        """Return the predicted milliseconds of ``architecture``."""
        placed = architecture.walk()
        return (self.base_latency_ns + sum(self.nanoseconds(one.layers, one.in_shape) for one in placed)) / 1e6

    def to_json(self) -> dict[str, float]:
        """Return the weights as JSON-serialisable types."""
        return dict(self.weights)

    @classmethod
    def from_json(cls, weights: Mapping[str, float]) -> "LatencyPredictor":
        """Restore a predictor from the result of ``to_json``."""
        return cls(dict(weights))


@lru_cache(maxsize=16_384)
def features(layer: Layer, shape: Shape) -> Mapping[str, float]:
    """Return the features of one layer on an input of ``shape``: layer count, numbers moved, multiply-accumulates.

    The features of branches cover only the join; the layers inside the branches are counted separately.
    """
    out_shape, cost = own_cost(layer, shape)
    moved = math.prod(shape) + math.prod(out_shape) + cost.params
    values = {"layers": 1.0, "numbers": float(moved), "macs": float(cost.macs)}
    kind = _kind(layer, shape)
    return {f"{kind} {name}": value for name, value in values.items() if value}


def _kind(layer: Layer, shape: Shape) -> str:
    """Return the kind of a layer; a depthwise convolution is a kind of its own, because its MACs take longer."""
    depthwise = isinstance(layer, Convolution) and layer.groups == shape[0] > 1
    return "depthwise convolution" if depthwise else layer.kind


def fit_latency(architectures: Sequence[Architecture], latencies_ms: Sequence[float]) -> LatencyPredictor:
    """Fit a predictor with the least squared relative error on the measured networks.

    It is a ridge regression with non-negative weights, because a dozen networks give fewer measurements than weights.
    A layer of a kind that was not measured gets the mean time of a measured layer. Raises ``ValueError`` without
    networks or if a latency is not above 0.
    """
    if not architectures or min(latencies_ms) <= 0:
        raise ValueError(
            f"a latency predictor needs at least one network and latencies above 0, but got {list(latencies_ms)}; "
            "measure the networks again"
        )
    names, rows = _table(architectures)
    weights = {name: 1e6 * value for name, value in zip(names, _solve(rows, latencies_ms), strict=True)}
    layers = sum(value for name, value in zip(names, rows.sum(axis=0), strict=True) if name.endswith(" layers"))
    # mean time per layer without the base latency, for kinds of layers that were not measured
    layers_ns = 1e6 * sum(latencies_ms) - weights[BASE] * len(architectures)
    return LatencyPredictor({**weights, UNKNOWN_KIND: max(0.0, layers_ns / layers)})


def leave_one_out_ms(architectures: Sequence[Architecture], latencies_ms: Sequence[float]) -> list[float | None]:
    """Return leave-one-out predictions: for each network the prediction of a predictor fitted on all the others.

    A single network has no others, so its prediction is None.
    """
    if len(architectures) < 2:
        return [None for _ in architectures]
    predictions: list[float | None] = []
    for index, architecture in enumerate(architectures):
        others = [*architectures[:index], *architectures[index + 1 :]]
        times = [*latencies_ms[:index], *latencies_ms[index + 1 :]]
        predictions.append(fit_latency(others, times).latency_ms(architecture))
    return predictions


def _table(architectures: Sequence[Architecture]) -> tuple[list[str], "NDArray[Any]"]:
    """Return the names of the features, and a matrix with a row of feature sums for each architecture."""
    import numpy as np

    sums = []
    for architecture in architectures:
        row: dict[str, float] = {BASE: 1.0}
        for _, shape, layers, *_ in architecture.walk():
            for layer, inner in leaves(layers, shape):
                for name, value in features(layer, inner).items():
                    row[name] = row.get(name, 0.0) + value
        sums.append(row)
    names = sorted({name for row in sums for name in row})
    return names, np.array([[row.get(name, 0.0) for name in names] for row in sums])


def _solve(rows: "NDArray[Any]", latencies_ms: Sequence[float]) -> list[float]:
    """Return the milliseconds for one unit of each feature."""
    import numpy as np
    from sklearn.linear_model import Ridge

    scale = rows.max(axis=0)  # features differ by many orders of magnitude; the penalty needs comparable weights
    # divided by the measured time, so that every network has the target 1 and errors are relative
    relative = rows / scale / np.array(latencies_ms)[:, None]
    ridge = Ridge(alpha=PENALTY, fit_intercept=False, positive=True, tol=1e-10, max_iter=10_000)
    ridge.fit(relative, np.ones(len(rows)))
    return [float(value) for value in ridge.coef_ / scale]
