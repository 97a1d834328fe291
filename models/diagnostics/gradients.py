"""The gradient check: what backward says against central differences, in float64 (Ranzato's rule; lecture).

A random direction inside each parameter tensor: (f(w + h d) - f(w - h d)) / 2h against the gradient along d.
"""

import torch
from torch import Tensor, nn

from .context import Finding, Patient

STEP = 1e-6  # the first; each further try takes a tenth
TRIES = 4
IMAGES = 8
BAD = 1e-3  # relative error
SMALL = 1e-7  # of the steepest slope: below it both sides are rounding


def gradients(patient: Patient) -> Finding:
    """Bad where the two disagree by more than a thousandth at any parameter; its names are told."""
    errors = relative_errors(patient)
    wrong = sorted((name for name, error in errors.items() if error > BAD), key=lambda name: -errors[name])
    worst = max(errors.values(), default=0.0)
    figures = {"worst": worst, "tensors": len(errors), "wrong": wrong}
    if not wrong:
        return Finding(
            "gradients", "good", f"backward agrees with differences: worst relative error {worst:.1e}", "", figures
        )
    return Finding(
        "gradients",
        "bad",
        f"backward is wrong at {len(wrong)} of {len(errors)} parameter tensors: {', '.join(wrong[:3])} "
        f"(relative error {worst:.1e})",
        "look at the backward of that layer and of those after it; torch.autograd.gradcheck takes one apart",
        figures,
    )


def relative_errors(patient: Patient) -> dict[str, float]:
    """By parameter tensor |a - n| / max(|a|, |n|), a by backward and n by differences, on a batch in float64."""
    module = patient.make(patient.seed).double().train()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()  # it would draw anew
    split = patient.subset(IMAGES)
    images, generator = patient.inputs(split.images).double(), torch.Generator().manual_seed(patient.seed)

    def loss() -> Tensor:
        return patient.loss(module(images), split.labels)

    named = {name: weights for name, weights in module.named_parameters() if weights.requires_grad}
    slopes = torch.autograd.grad(loss(), list(named.values()), allow_unused=True)
    steepest = max((float(slope.norm()) for slope in slopes if slope is not None), default=1.0)

    def apart(weights: Tensor, slope: Tensor | None, step: float) -> float:
        along = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
        a = 0.0 if slope is None else float((slope * along).sum())
        with torch.no_grad():
            weights += step * along
            above = float(loss())
            weights -= 2 * step * along
            below = float(loss())
            weights += step * along
        n = (above - below) / (2 * step)
        return abs(a - n) / max(abs(a), abs(n), SMALL * steepest, step)

    errors: dict[str, float] = {}
    for (name, weights), slope in zip(named.items(), slopes, strict=True):
        # a step across a kink is wrong by chance, a backward in every direction: the best of some tries counts
        errors[name] = apart(weights, slope, STEP)
        for n in range(1, TRIES):
            if errors[name] > BAD / 10:
                errors[name] = min(errors[name], apart(weights, slope, STEP / 10**n))
    return errors
