"""Statistics of hidden units: what each nonlinearity of a network outputs for a batch of images.

Shapes: N images, C channels of a layer. A unit is a channel; its samples are all images and all positions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.build import ACTIVATION_MODULES
from ..networks.modules import BranchesModule
from ..training.evaluate import evaluating

NONLINEARITIES = tuple({type(make(1)) for make in ACTIVATION_MODULES.values()})
BOUNDED = (nn.Tanh, nn.Sigmoid, nn.Hardsigmoid)
SATURATED = 0.99  # a sample is saturated beyond this fraction of a bound, a unit if this share of its samples is
CONSTANT_VARIANCE = 1e-8  # units with less variance are constant
LOW_VARIANCE_RATIO = 1e-4  # relative to the median variance of the layer
SAME_CORRELATION = 0.999  # two units above this absolute correlation carry the same information
MAX_SAMPLES = 4096  # samples per unit for variances and correlations; more only cost time


@dataclass(frozen=True)
class LayerUnits:
    """Statistics of one layer's units.

    ``dead``, ``constant`` and ``saturated`` count units, ``same`` counts pairs of nearly identical units. ``std`` is
    the standard deviation of all outputs and ``active`` the share of positive outputs. ``hoyer`` is Hoyer's sparsity
    over images (0: equally active for all images, 1: active for a single image). Correlations are absolute values
    between different units. ``rank`` is the effective rank: exp of the entropy of the correlation matrix's
    eigenvalues. ``low_variance`` is the share of units with a variance below 1e-4 of the median. The last four fields
    identify the units by channel index.
    """

    name: str
    units: int
    dead: int
    constant: int
    saturated: int
    same: int
    std: float
    active: float
    hoyer: float
    mean_correlation: float
    max_correlation: float
    low_variance: float
    rank: float
    dead_units: tuple[int, ...] = ()
    constant_units: tuple[int, ...] = ()
    same_pairs: tuple[tuple[int, int], ...] = ()
    low_variance_units: tuple[int, ...] = ()


@torch.no_grad()
def unit_statistics(module: nn.Module, inputs: Tensor, *, training: bool = False) -> list[LayerUnits]:
    """Return the statistics of every nonlinearity of ``module``, in the order in which the forward pass runs them.

    Those inside squeeze-and-excitation are left out: their outputs are scales of channels, not feature maps.
    ``inputs`` are normalised images (N, C, H, W). ``training`` selects the mode of the forward pass.
    """
    with evaluating(module, training=training), _recorded_outputs(module) as outputs:
        module(inputs)
    return [_layer_units(name, layer, out) for name, layer, out in outputs]


@contextmanager
def _recorded_outputs(module: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    """Record (name, layer, output) of each nonlinearity while the context is active."""
    outputs: list[tuple[str, nn.Module, Tensor]] = []

    def hook(name: str) -> Any:
        # a copy, because the next layer may overwrite its input in place
        return lambda layer, inputs, out: outputs.append((name, layer, out.detach().clone()))

    scales = {
        id(layer)
        for branches in module.modules()
        if isinstance(branches, BranchesModule) and branches.join == "scale"
        for layer in branches.modules()
    }
    handles = [
        layer.register_forward_hook(hook(name))
        for name, layer in module.named_modules()
        if isinstance(layer, NONLINEARITIES) and id(layer) not in scales
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _layer_units(name: str, layer: nn.Module, out: Tensor) -> LayerUnits:
    images = out.flatten(2).mean(2) if out.dim() == 4 else out  # (N, C)
    samples = out.movedim(1, -1).reshape(-1, out.shape[1])  # (samples, C)
    samples = samples[:: max(1, len(samples) // MAX_SAMPLES)].double()
    # the maximum is over all samples: a unit that is positive once is not dead
    variance, maximum = samples.var(0), out.movedim(1, 0).flatten(1).amax(1)
    # only an exact ReLU or ReLU6 blocks the gradient everywhere below zero
    dead = maximum <= 0 if isinstance(layer, nn.ReLU | nn.ReLU6) else torch.zeros_like(maximum, dtype=torch.bool)
    constant = (variance < CONSTANT_VARIANCE) & ~dead
    at_bound = samples.abs() > SATURATED if isinstance(layer, BOUNDED) else torch.zeros_like(samples, dtype=torch.bool)
    if isinstance(layer, nn.Sigmoid | nn.Hardsigmoid):  # their bounds are 0 and 1, those of tanh are -1 and 1
        at_bound = (samples > SATURATED) | (samples < 1 - SATURATED)
    # a correlation is undefined for a unit without variance
    varying = _indices(variance >= CONSTANT_VARIANCE)
    correlations = _correlations(samples[:, varying])
    rows, columns = torch.triu_indices(len(correlations), len(correlations), 1)
    upper = correlations.abs()[rows, columns]
    pairs = zip(*(index[upper > SAME_CORRELATION].tolist() for index in (rows, columns)), strict=True)
    same = [(varying[i], varying[j]) for i, j in pairs]
    low = variance < LOW_VARIANCE_RATIO * variance.median()
    return LayerUnits(
        name,
        out.shape[1],
        int(dead.sum()),
        int(constant.sum()),
        int((at_bound.double().mean(0) > SATURATED).sum()),
        len(same),
        float(out.double().std()),
        float((out > 0).double().mean()),
        _hoyer(images.double().abs()),
        float(upper.mean()) if len(upper) else 0.0,
        float(upper.max()) if len(upper) else 0.0,
        float(low.double().mean()),
        _effective_rank(correlations),
        dead_units=_indices(dead),
        constant_units=_indices(constant),
        same_pairs=tuple(same),
        low_variance_units=_indices(low),
    )


def _indices(mask: Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero().flatten().tolist())


def _correlations(samples: Tensor) -> Tensor:
    """Return the correlation matrix (C, C) of samples (S, C); every column must vary."""
    if samples.shape[1] < 2:  # torch.corrcoef returns a scalar for one column
        return torch.ones(samples.shape[1], samples.shape[1], dtype=samples.dtype)
    return torch.corrcoef(samples.T)


def _hoyer(values: Tensor) -> float:
    """Return the mean over units of (sqrt(N) - |v|_1 / |v|_2) / (sqrt(N) - 1), values (N, C) (Hoyer 2004).

    Units that are zero for all images do not count.
    """
    root = len(values) ** 0.5
    norms = values.norm(dim=0)
    sparsity = (root - values.sum(0) / norms.clamp(min=1e-12)) / max(root - 1, 1e-12)
    alive = norms > 0
    return float(sparsity[alive].mean()) if alive.any() else 0.0


def _effective_rank(correlations: Tensor) -> float:
    if not len(correlations):
        return 0.0
    shares = torch.linalg.eigvalsh(correlations).clamp(min=0)  # rounding can make an eigenvalue slightly negative
    shares = shares / shares.sum().clamp(min=1e-12)
    return float(torch.exp(-(shares * shares.clamp(min=1e-12).log()).sum()))
