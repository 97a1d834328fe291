"""Post-training static quantisation with torchao's PT2E, for the kernels of XNNPACK.

Shapes: N images (N, C, H, W).

Weights are int8 for each output channel, activations int8 for each tensor. Their ranges come from a few training
images. Layers without an int8 kernel, such as gelu, stay in float32.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataset import ImageData, in_unit_range
from ..storage.images import Images, batches_of
from .folding import folded
from .packages import INT8_PACKAGES, require

N_CALIBRATION = 256
CALIBRATION_SEED = 0  # of the draw of the calibration images
CALIBRATED_AT_A_TIME = 64  # images


def calibration_images(data: ImageData, n: int = N_CALIBRATION) -> Tensor:
    """Return up to ``n`` training images, normalised float32 (N, C, H, W); the same for the same data."""
    return data.normalise(in_unit_range(drawn(data.train.images, n)))


def drawn(images: Images, n: int) -> Tensor:
    """Return up to ``n`` of ``images``, drawn with a fixed seed, in their order."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(CALIBRATION_SEED))
    return images[order[:n].sort().values]


def quantized(network: nn.Module, calibration: Tensor, *, batch: int | None = None) -> nn.Module:
    """Return ``network`` in int8: normalised images -> scores, as a graph of int8 operations that torch can run.

    ``calibration`` are normalised training images (N, C, H, W). With ``batch`` the graph takes exactly this number of
    images, else any number of at least 2. Raises ``ValueError`` if torchao or executorch is not installed.
    """
    require("int8", INT8_PACKAGES, "devices")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both packages warn of their own changes
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        shapes: Any = ({0: torch.export.Dim("batch")},) if batch is None else None
        example = calibration[: batch or 2]
        graph = torch.export.export(folded(network), (example,), dynamic_shapes=shapes).module()
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(graph, quantizer)
        with torch.inference_mode():
            for images in torch.split(calibration, batch or CALIBRATED_AT_A_TIME):
                if len(images) == batch or (batch is None and len(images) > 1):
                    prepared(images)
        converted: nn.Module = convert_pt2e(prepared)
    return converted


@torch.inference_mode()
def scores_of(
    module: Callable[[Tensor], Tensor],
    images: Images,
    normalise: Callable[[Tensor], Tensor] = lambda images: images,
    batch_size: int = 256,
) -> Tensor:
    """Return the scores (N, K) of ``images`` (N, C, H, W), of which the graph takes at least 2 at a time.

    Each batch is normalised on its own: all images as float32 take four times the memory.
    """
    parts = []
    for part in map(normalise, batches_of(images, batch_size)):
        # a last batch of one image is doubled, because torch.export treats a dimension of size 1 as a constant
        parts.append(module(part) if len(part) > 1 else module(part.repeat(2, 1, 1, 1))[:1])
    return torch.cat(parts)


@torch.inference_mode()
def extreme_images(network: nn.Module, images: Tensor) -> Tensor:
    """Return those of normalised ``images`` in which any tensor of ``network`` has its lowest or highest value.

    A few images then give the same ranges as all of them, for a calibration that is slow and takes the extremes.
    """
    rows: set[int] = set()

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            flat = output.flatten(1)
            rows.update((int(flat.amin(1).argmin()), int(flat.amax(1).argmax())))

    watch(network, None, images)
    hooks = [module.register_forward_hook(watch) for module in network.modules()]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return images[sorted(rows)]
