"""Unit statistics: what the nonlinearities of a network put out on some images, by layer.

Shapes: N images, C channels of a layer; a unit is a channel, its samples all images and positions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.build import ACTIVATION_MODULES
from ..training.evaluate import evaluating

NONLINEAR = tuple({type(make(1)) for make in ACTIVATION_MODULES.values()})
BOUNDED = (nn.Tanh, nn.Sigmoid)
SATURATED = 0.99  # of the way to a bound
CONSTANT = 1e-8  # variance
LOW = 1e-4  # of the median variance
ALIKE = 0.999  # correlation of two units that say the same
SAMPLES = 4096  # positions that correlations are taken over


@dataclass(frozen=True)
class LayerUnits:
    """One layer's units: counts of the dead, constant and saturated, pairs of the same, and means over all.

    ``active`` is the share of positive outputs; ``hoyer`` is Hoyer's sparsity over images (0 even, 1 a single one);
    correlations are absolute, between different units; ``rank`` is the effective rank, exp of the entropy of the
    correlation matrix's eigenvalues. ``low_variance`` is the share of units whose variance is below 1e-4 of the median.
    The last four name units by their channel.
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
    """The units of each nonlinearity of ``module`` on normalised images (N, C, H, W), in the order of its modules."""
    with evaluating(module, training=training), _listening(module) as heard:
        module(inputs)
    return [_of(name, layer, out) for name, layer, out in heard]


@contextmanager
def _listening(module: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    heard: list[tuple[str, nn.Module, Tensor]] = []

    def hook(name: str) -> Any:
        return lambda layer, inputs, out: heard.append((name, layer, out.detach().clone()))

    handles = [
        layer.register_forward_hook(hook(name))
        for name, layer in module.named_modules()
        if isinstance(layer, NONLINEAR)
    ]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _of(name: str, layer: nn.Module, out: Tensor) -> LayerUnits:
    images = out.flatten(2).mean(2) if out.dim() == 4 else out  # (N, C)
    samples = out.movedim(1, -1).reshape(-1, out.shape[1])  # (samples, C)
    samples = samples[:: max(1, len(samples) // SAMPLES)].double()
    variance, top = samples.var(0), out.movedim(1, 0).flatten(1).amax(1)
    dead = top <= 0 if isinstance(layer, nn.ReLU) else torch.zeros_like(top, dtype=torch.bool)
    constant = (variance < CONSTANT) & ~dead
    flat = samples.abs() > SATURATED if isinstance(layer, BOUNDED) else torch.zeros_like(samples, dtype=torch.bool)
    if isinstance(layer, nn.Sigmoid):
        flat = (samples > SATURATED) | (samples < 1 - SATURATED)
    varied = _places(variance >= CONSTANT)
    related = _correlations(samples[:, varied])
    one, other = torch.triu_indices(len(related), len(related), 1)
    upper = related.abs()[one, other]
    same = [(varied[i], varied[j]) for i, j in zip(*(x[upper > ALIKE].tolist() for x in (one, other)), strict=True)]
    low = variance < LOW * variance.median()
    return LayerUnits(
        name,
        out.shape[1],
        int(dead.sum()),
        int(constant.sum()),
        int((flat.double().mean(0) > SATURATED).sum()),
        len(same),
        float(out.double().std()),
        float((out > 0).double().mean()),
        _hoyer(images.double().abs()),
        float(upper.mean()) if len(upper) else 0.0,
        float(upper.max()) if len(upper) else 0.0,
        float(low.double().mean()),
        _rank(related),
        dead_units=_places(dead),
        constant_units=_places(constant),
        same_pairs=tuple(same),
        low_variance_units=_places(low),
    )


def _places(mask: Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero().flatten().tolist())


def _correlations(samples: Tensor) -> Tensor:
    """(C, C) of samples (S, C) that vary."""
    if samples.shape[1] < 2:
        return torch.ones(samples.shape[1], samples.shape[1], dtype=samples.dtype)
    return torch.corrcoef(samples.T)


def _hoyer(values: Tensor) -> float:
    """Mean over units of (sqrt(N) - |v|_1 / |v|_2) / (sqrt(N) - 1), of values (N, C) (Hoyer 2004)."""
    root = len(values) ** 0.5
    norms = values.norm(dim=0)
    sparsity = (root - values.sum(0) / norms.clamp(min=1e-12)) / max(root - 1, 1e-12)
    alive = norms > 0
    return float(sparsity[alive].mean()) if alive.any() else 0.0


def _rank(related: Tensor) -> float:
    if not len(related):
        return 0.0
    shares = torch.linalg.eigvalsh(related).clamp(min=0)
    shares = shares / shares.sum().clamp(min=1e-12)
    return float(torch.exp(-(shares * shares.clamp(min=1e-12).log()).sum()))
