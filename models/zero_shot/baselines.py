"""Baselines of zero-shot recognition: each learns from image vectors and texts, then scores any class by its text.

Shapes: N training vectors x (N, d) of S seen classes, texts a (S, p); scores (M, C) of M vectors against C texts.
To add a baseline, write a function and a row of ``BASELINES``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .baselines_bilinear import bilinear_baseline
from .baselines_closed_form import Array, Scorer, TrainingData, eszsl, random_scores, ridge_to_centroid
from .baselines_domain_transfer import domain_adaptation, gaussian_processes, gpr_with_adaptation

__all__ = ["BASELINES", "Array", "Baseline", "Scorer", "TrainingData"]


@dataclass(frozen=True)
class Baseline:
    """A method, its paper, and the hyper-parameter values that are compared on the validation classes."""

    fit: Callable[..., Scorer]
    source: str
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


# the grids are small: each value is one fit on the validation split
STRENGTHS = tuple(float(p) for p in 10.0 ** np.arange(-2, 4))
LEARNING_RATES = (0.01, 0.1)

BASELINES: dict[str, Baseline] = {
    "random": Baseline(random_scores, "chance"),
    "ridge": Baseline(ridge_to_centroid, "text to the mean of a class's vectors, cosine", {"strength": STRENGTHS}),
    "eszsl": Baseline(eszsl, "Romera-Paredes and Torr 2015", {"gamma": STRENGTHS, "strength": (0.1, 1.0, 10.0)}),
    "bilinear": Baseline(bilinear_baseline("bilinear"), "softmax over x W a", {"lr": LEARNING_RATES}),
    "devise": Baseline(bilinear_baseline("devise"), "Frome et al. 2013", {"lr": LEARNING_RATES}),
    "ale": Baseline(bilinear_baseline("ale"), "Akata et al. 2016", {"lr": LEARNING_RATES}),
    "sje": Baseline(bilinear_baseline("sje"), "Akata et al. 2015", {"lr": LEARNING_RATES}),
    "gpr": Baseline(gaussian_processes, "Elhoseiny et al. 2013: text to hyperplanes", {"noise": (0.01, 0.1)}),
    "da": Baseline(domain_adaptation, "Kulis et al. 2011, squared hinge", {"strength": (1e-3, 1e-1)}),
    "gpr+da": Baseline(gpr_with_adaptation, "Elhoseiny et al. 2013, late fusion", {"strength": (1e-3, 1e-1)}),
}
