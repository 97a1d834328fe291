"""Distillation: a network learns from the class probabilities of a trained network, its teacher.

Shapes: images (B, C, H, W), logits (B, K).
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import ImageData
from ..networks.compute import Compute


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network for images of ``size`` (H, W), normalised by ``mean`` and ``std`` (C,).

    Images of another size are resized with ``interpolation``, "bilinear" or "bicubic".

    ``order`` (K,) int64 has the number of each class of the student among the outputs of the teacher.
    """

    network: nn.Module
    mean: Tensor
    std: Tensor
    size: tuple[int, int]
    order: Tensor
    interpolation: str = "bilinear"

    def place(self, compute: Compute) -> "Teacher":
        """Return the teacher on the device, in evaluation mode."""
        network = compute.place(self.network.eval().requires_grad_(False))
        mean, std, order = (tensor.to(compute.device) for tensor in (self.mean, self.std, self.order))
        return replace(self, network=network, mean=mean, std=std, order=order)

    @torch.no_grad()
    def logits(self, images: Tensor, data: ImageData, compute: Compute) -> Tensor:
        """Return the logits of images that are normalised for a student on ``data``."""
        pixels = images * data.std.view(-1, 1, 1) + data.mean.view(-1, 1, 1)
        if tuple(pixels.shape[2:]) != self.size:
            pixels = F.interpolate(pixels, self.size, mode=self.interpolation, antialias=True)
        scores = compute.logits(self.network, (pixels - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1))
        return scores[:, self.order]


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float, *, multi_label: bool = False) -> Tensor:
    """Return T^2 KL(teacher || student) in nats of the logits divided by T, the mean over images (Hinton et al. 2015).

    The factor keeps the size of the gradient for any ``temperature`` T. With several labels it is the mean over images
    and classes of the divergence of each class from its absence.
    """
    student, teacher = student / temperature, teacher / temperature
    if multi_label:
        taught = teacher.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(teacher, taught)
        return temperature**2 * (F.binary_cross_entropy_with_logits(student, taught) - entropy)
    log_student, log_teacher = student.log_softmax(1), teacher.log_softmax(1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
