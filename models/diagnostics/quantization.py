"""Check of the network in int8: whether rounding costs accuracy, and in which layer."""

import torch

from ...spaces.metrics.registry import VAL_ACCURACY
from ..quantization.int8 import calibration_images
from ..quantization.rounding import in_int8, input_ranges
from ..training.evaluate import evaluating
from .context import DiagnosticContext, Finding

MAX_LOSS, LARGE_LOSS = 0.005, 0.05  # of the accuracy (0..1): half a point, five points


def int8(context: DiagnosticContext) -> Finding:
    """Check that the network has nearly the same accuracy with weights and layer inputs rounded to int8.

    The ranges of the inputs come from training images, the accuracies from the validation images. If more than half a
    point is lost, each layer is rounded alone, and the one that loses most is named.
    """
    network, val = context.trained_network, context.data.val
    with evaluating(network), torch.no_grad():
        ranges = input_ranges(network, calibration_images(context.data))
        exact = context.accuracy(network, val)
        with in_int8(network, ranges):
            rounded = context.accuracy(network, val)
        loss = exact - rounded
        metrics = {VAL_ACCURACY: exact, "int8_val_accuracy": rounded, "layers": len(ranges)}
        evidence = f"validation accuracy {rounded:.4f} with {len(ranges)} layers in int8, {exact:.4f} in float32"
        if loss <= MAX_LOSS or not ranges:
            return Finding("int8", "good", evidence, "", metrics)
        alone = {}
        for name, ends in ranges.items():
            with in_int8(network, {name: ends}):
                alone[name] = exact - context.accuracy(network, val)
    worst = max(alone, key=lambda name: alone[name])
    low, high = ranges[worst]
    return Finding(
        "int8",
        "bad" if loss > LARGE_LOSS else "watch",
        f"{evidence}; the layer {worst} alone loses {alone[worst]:.4f}, its inputs are from {low:.3g} to {high:.3g}",
        f"use an activation with a limit, such as relu6, before {worst}, or raise recipe.weight_decay, so that its "
        "values have a smaller range",
        {**metrics, "lost_by_layer": alone},
    )
