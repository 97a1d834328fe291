"""Device, precision and memory layout of a network's computation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...spaces.parameters.lookup import look_up

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16}

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """Device, precision and memory layout of a network's computation.

    ``precision`` is a key of ``PRECISIONS``. ``bf16`` is autocast: weights and loss stay float32, convolutions and
    linear layers run in bfloat16. Raises ``ValueError`` for an unknown precision.
    """

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        look_up(PRECISIONS, self.precision, "precision")

    def place(self, module: M) -> M:
        """Move ``module`` in place to the device and layout, and return it."""
        if self.channels_last:
            return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
        return module.to(self.device)

    def logits(self, module: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return the output of ``module``, float32 (B, K), for normalised images (B, C, H, W) on the device."""
        dtype = PRECISIONS[self.precision]
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            logits: Tensor = module(images)
        return logits.float()  # losses are computed in float32


CPU = Compute(torch.device("cpu"))


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished all queued work. Return immediately for a CPU, which has no queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
