"""Gradient check: the backward pass against central differences in float64 (Ranzato's rule; lecture).

For a random direction d in each parameter tensor: (f(w + h d) - f(w - h d)) / 2h against the gradient along d.
"""

import torch
from torch import Tensor, nn

from .context import DiagnosticContext, Finding

FIRST_STEP = 1e-6  # each retry divides the step by ten
TRIES = 4
N_IMAGES = 8
MAX_ERROR = 1e-3  # relative
MIN_SLOPE_RATIO = 1e-7  # of the largest gradient norm: smaller slopes are rounding errors on both sides


def gradients(context: DiagnosticContext) -> Finding:
    """Check that both gradients agree within a thousandth for every parameter tensor; name those that do not."""
    errors = relative_errors(context)
    wrong = sorted((name for name, error in errors.items() if error > MAX_ERROR), key=lambda name: -errors[name])
    worst = max(errors.values(), default=0.0)
    metrics = {"worst": worst, "tensors": len(errors), "wrong": wrong}
    if not wrong:
        evidence = f"the backward pass agrees with central differences: worst relative error {worst:.1e}"
        return Finding("gradients", "good", evidence, "", metrics)
    evidence = (
        f"the backward pass is wrong at {len(wrong)} of {len(errors)} parameter tensors: {', '.join(wrong[:3])} "
        f"(relative error {worst:.1e})"
    )
    advice = (
        "check the backward pass of that layer and of the layers after it; torch.autograd.gradcheck tests one layer"
    )
    return Finding("gradients", "bad", evidence, advice, metrics)


def relative_errors(context: DiagnosticContext) -> dict[str, float]:
    """Return |a - n| / max(|a|, |n|) for each parameter tensor on one batch in float64.

    a is the slope by the backward pass, n the slope by central differences.
    """
    module = context.make(context.seed).double().train()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()  # a new mask at each call would change the loss between the two evaluations
    split = context.subset(N_IMAGES)
    images, generator = context.inputs(split.images).double(), torch.Generator().manual_seed(context.seed)

    def loss() -> Tensor:
        return context.loss(module(images), split.labels)

    named = {name: weights for name, weights in module.named_parameters() if weights.requires_grad}
    gradients_by_backward = torch.autograd.grad(loss(), list(named.values()), allow_unused=True)
    steepest = max((float(slope.norm()) for slope in gradients_by_backward if slope is not None), default=1.0)

    def relative_error(weights: Tensor, slope: Tensor | None, step: float) -> float:
        direction = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
        a = 0.0 if slope is None else float((slope * direction).sum())
        with torch.no_grad():
            weights += step * direction
            above = float(loss())
            weights -= 2 * step * direction
            below = float(loss())
            weights += step * direction
        n = (above - below) / (2 * step)
        return abs(a - n) / max(abs(a), abs(n), MIN_SLOPE_RATIO * steepest, step)

    errors: dict[str, float] = {}
    for (name, weights), slope in zip(named.items(), gradients_by_backward, strict=True):
        # A step across a kink of relu gives a wrong difference, but a wrong backward pass is wrong in every direction.
        # So the smallest error of a few random directions and steps decides.
        errors[name] = relative_error(weights, slope, FIRST_STEP)
        for n in range(1, TRIES):  # stop as soon as the error is clearly below the limit
            if errors[name] > MAX_ERROR / 10:
                errors[name] = min(errors[name], relative_error(weights, slope, FIRST_STEP / 10**n))
    return errors
