"""Quantisation-aware training: layers whose weights and inputs are rounded to int8 in the forward pass.

Jacob et al. 2018, arXiv 1712.05877. The gradient passes the rounding unchanged (straight-through estimator). Weights
are rounded symmetrically for each output channel, inputs asymmetrically for the whole tensor, as in the int8 formats of
the export. A batch norm that is folded into a layer scales each output channel, and its scale with it, so that it
changes nothing in the rounding.

The kernels of torch round; a graph of torchao (``prepare_qat_pt2e``) would be another module with other names of
weights, which checkpoints, averages and the optimizer could not follow.
"""

from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 255  # steps between the lowest and the highest of 256 values
MAX_WEIGHT = 127  # symmetric weights are from -127 to 127
SMALLEST_SCALE = 1e-12  # of a tensor that is zero everywhere


def rounded_weight(weight: Tensor) -> Tensor:
    """Return weights (O, ...) rounded to 255 values for each of the O output channels."""
    scale = (weight.detach().flatten(1).abs().amax(1) / MAX_WEIGHT).clamp(min=SMALLEST_SCALE)
    zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -MAX_WEIGHT, MAX_WEIGHT)


def rounded_input(values: Tensor) -> Tensor:
    """Return ``values``, float32 or lower, as float32 rounded to 256 values between their lowest and highest, and 0.

    0 must be an exact value, for padding. The range stays on the device: reading it would make the CPU wait for a GPU.
    """
    values = values.float()  # autocast may give bfloat16
    low, high = values.detach().aminmax()
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / LEVELS).clamp(min=SMALLEST_SCALE)
    zero_point = (-low / scale).round().clamp(0, LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, LEVELS)


class FakeQuantization:
    """Round the weights and the inputs of all convolutions and linear layers of ``module`` inside the context.

    The range of an input is that of the batch, so that nothing but the weights has to be saved. The parameters
    themselves stay in float32. Layers that the module does not call, such as those inside attention, are not rounded.
    """

    def __init__(self, module: nn.Module) -> None:
        self._layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        self._hooks: list[Any] = []

    def __enter__(self) -> None:
        for layer in self._layers:
            self._hooks.append(layer.register_forward_pre_hook(_round))
            self._hooks.append(layer.register_forward_hook(_restore, always_call=True))

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:  # removed, so that evaluations are in float32
            hook.remove()
        self._hooks.clear()


def _round(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    first, *others = inputs
    # an attribute of the instance hides the parameter, which the optimizer and state_dict() still see
    layer.__dict__["weight"] = rounded_weight(layer._parameters["weight"])  # type: ignore[arg-type]
    return rounded_input(first), *others


def _restore(layer: nn.Module, inputs: Any, output: Any) -> None:
    layer.__dict__.pop("weight", None)
