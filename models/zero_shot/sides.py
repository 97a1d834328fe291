"""The two sides of a zero-shot model as programs or graphs: images to embeddings, and text vectors to classifiers.

Shapes: N images (N, C, H, W), C texts with vectors (C, p), E entries of the joint embedding.
"""

import json

import torch
from torch import Tensor, nn

from ...spaces.parameters.lookup import look_up
from ..export.formats import CHECK_SEED, FORMATS, N_CHECK_IMAGES, Exported
from .linear_network import LinearNetwork
from .saved_model import ZeroShotModel
from .trainer import AnyNetwork

SIDES = ("image", "text")


class ImageSideProgram(nn.Module):
    """Images (N, C, H, W), float32 in [0, 1], to embeddings (N, E)."""

    def __init__(self, model: ZeroShotModel) -> None:
        super().__init__()
        self.network = model.network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", model.mean.view(-1, 1, 1))
        self.register_buffer("std", model.std.view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed((images - self.mean) / self.std)


class TextSideProgram(nn.Module):
    """Text vectors (C, p) to classifiers (C, E)."""

    def __init__(self, network: AnyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, texts: Tensor) -> Tensor:
        return self.network.classifiers(texts)


def export_side(model: ZeroShotModel, format: str, side: str) -> Exported:
    """Export one of :data:`SIDES` of ``model``, read the result back and compare its outputs.

    Both sides take any number of rows. Raises ``ValueError`` for an unknown format or side, and for a package that is
    not installed.
    """
    look_up(dict.fromkeys(SIDES), side, "side")
    file_format = look_up(FORMATS, format, "format")
    if format == "safetensors":
        raise ValueError(f"safetensors holds the whole model, but got the side {side!r}; use onnx or torch-export")
    generator = torch.Generator().manual_seed(CHECK_SEED)
    shape = model.architecture.input_shape if side == "image" else (model.encoder.width,)
    inputs = torch.rand(N_CHECK_IMAGES, *shape, generator=generator)
    module: nn.Module = ImageSideProgram(model) if side == "image" else TextSideProgram(model.network)
    content = file_format.write(module.eval(), inputs, {0: torch.export.Dim("batch")}, description(model, side))
    with torch.inference_mode():
        expected, outputs = module(inputs), file_format.read(content)(inputs)
    return Exported(
        content, float((expected - outputs).abs().max()), tuple(inputs.shape[1:]), tuple(expected.shape[1:])
    )


def description(model: ZeroShotModel, side: str) -> str:
    """Return as JSON what a program needs in addition to both graphs to predict.

    The score of a class is ``scale`` times the product of embedding and classifier, plus ``bias``; by ``distance`` it
    is minus half of the squared distance. ``gamma`` is subtracted from the scores of the ``seen`` classes.
    """
    network, scale, bias = model.network, 1.0, 0.0
    if isinstance(network, LinearNetwork):
        scale = 1 / float(network.scale)
    elif network.recipe.compares_by == "cosine":
        scale, bias = float(network.log_scale.detach().exp().clamp(max=100)), float(network.bias.detach())
    return json.dumps(
        {
            "form": side,
            "encoder": model.encoder.state(),
            "compares_by": "dot" if network.recipe.is_linear else network.recipe.compares_by,
            "scale": scale,
            "bias": bias,
            "calibration": network.recipe.calibration,
            "seen": list(model.seen),
            "gamma": model.gamma,
        }
    )
