"""The predictions of a network, and their loss and accuracy.

Shapes: N images (N, C, H, W), B of them in a batch, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...spaces.parameters.lookup import look_up
from ..data.dataset import Device, ImageData, Split, in_unit_range

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16}

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """Where a network computes, in which precision and memory layout.

    ``bf16`` is autocast: weights and loss stay float32, convolutions and linear layers run in bfloat16.
    """

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        look_up(PRECISIONS, self.precision, "precision")

    def place(self, module: M) -> M:
        """The module itself, moved to the device and layout."""
        if self.channels_last:
            return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
        return module.to(self.device)

    def logits(self, module: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """What ``module`` says of normalised images (B, C, H, W) on the device: float32 (B, K)."""
        dtype = PRECISIONS[self.precision]
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            logits: Tensor = module(images)
        return logits.float()


def evaluate(
    module: nn.Module,
    split: Split,
    data: ImageData,
    device: Device = "cpu",
    batch_size: int = 256,
    *,
    precision: str = "fp32",
    channels_last: bool = False,
) -> tuple[float, float]:
    """Mean cross-entropy (nats, no label smoothing) and accuracy (0..1) of ``module`` on ``split``.

    ``data`` gives the normalisation. The module is moved to ``device``, evaluated in eval mode and left in the mode it
    was in.
    """
    compute = Compute(torch.device(device), precision, channels_last)
    return measure(compute.place(module), split, data.to(device), compute, batch_size)


def predict(
    module: nn.Module,
    images: Tensor,
    data: ImageData,
    device: Device = "cpu",
    batch_size: int = 256,
    *,
    precision: str = "fp32",
    channels_last: bool = False,
) -> Tensor:
    """Class probabilities, float32 (N, K) on the CPU, of images (N, C, H, W) as they are in a split."""
    compute = Compute(torch.device(device), precision, channels_last)
    return scores(compute.place(module), images, data.to(device), compute, batch_size).softmax(1).cpu()


def measure(module: nn.Module, split: Split, data: ImageData, compute: Compute, batch_size: int) -> tuple[float, float]:
    """:func:`evaluate` where ``module`` and ``data`` already lie on the device."""
    logits = scores(module, split.images, data, compute, batch_size)
    labels = split.labels.to(compute.device)
    hits = (logits.argmax(1) == labels).sum()
    return float(F.cross_entropy(logits, labels)), int(hits) / len(split)


@torch.inference_mode()
def scores(module: nn.Module, images: Tensor, data: ImageData, compute: Compute, batch_size: int) -> Tensor:
    """Logits (N, K) of images as they are in a split, in eval mode; all lie on the device."""
    was_training = module.training
    module.eval()
    try:
        batches = (batch.to(compute.device, non_blocking=True) for batch in torch.split(images, batch_size))
        return torch.cat([compute.logits(module, data.normalise(in_unit_range(batch))) for batch in batches])
    finally:
        module.train(was_training)


def predicted(
    module: nn.Module, split: Split, data: ImageData, compute: Compute, batch_size: int
) -> dict[str, int | float]:
    """``classes`` that are predicted at all, and the ``top_share`` (0..1) of the one predicted most.

    ``module`` and ``data`` already lie on the device. A share near 1 is a network that has collapsed.
    """
    counts = torch.bincount(scores(module, split.images, data, compute, batch_size).argmax(1), minlength=data.n_classes)
    return {"classes": int((counts > 0).sum()), "top_share": float(counts.max()) / len(split)}
