"""The check of filters: structured, and different from each other; as a picture (lecture)."""

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .context import Finding, Patient

if TYPE_CHECKING:
    from PIL.Image import Image

ALIKE = 0.95  # cosine of two filters
NOISY = 0.15  # correlation of neighbouring weights below which a filter is like noise
SHOWN = 5  # filters or pairs that are named in words; figures have them all
SIDE = 24  # pixels of a filter in the picture


def filters(patient: Patient) -> Finding:
    """The filters of the first convolution with a window; watched where many are alike."""
    weights = first_filters(patient.grown)
    if weights is None:
        return Finding("filters", "good", "no convolution has a window")
    flat = F.normalize(weights.flatten(1), dim=1)
    first, second = torch.triu_indices(len(flat), len(flat), 1)
    cosines = (flat[first] * flat[second]).sum(1)
    pairs = torch.stack([first, second], dim=1)[cosines > ALIKE].tolist()
    noisy = (smoothness(weights) < NOISY).nonzero().flatten().tolist()
    figures = {
        **{"filters": len(flat), "alike": len(pairs), "noisy": len(noisy)},
        **{"alike_pairs": pairs, "noisy_filters": noisy, "picture": as_png(weights)},
    }
    mean = float(cosines.abs().mean()) if len(cosines) else 0.0
    evidence = (
        f"{len(flat)} filters, mean |cosine| {mean:.2f}, {len(pairs)} pairs alike"
        f"{_some([f'{one} and {other}' for one, other in pairs])}, {len(noisy)} like noise{_some(map(str, noisy))}"
    )
    if len(pairs) > len(flat) / 4:
        return Finding("filters", "watch", evidence, "make the first layer narrower, or train longer", figures)
    return Finding("filters", "good", evidence, "", figures)


def _some(names: Iterable[str]) -> str:
    """The first few of ``names`` in brackets; nothing where there are none."""
    told = list(names)
    return f" ({', '.join(told[:SHOWN])}{', ...' if len(told) > SHOWN else ''})" if told else ""


def first_filters(module: nn.Module) -> Tensor | None:
    """The weights (O, I, k, k) of the first convolution whose window is larger than 1."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1:
            return layer.weight.detach()
    return None


def smoothness(weights: Tensor) -> Tensor:
    """The correlation of neighbouring weights of each filter (O, I, k, k): about 0 for noise, 1 for a flat field."""
    spread = weights.flatten(1).std(1).clamp(min=1e-12) ** 2
    centred = weights - weights.mean((1, 2, 3), keepdim=True)
    right = (centred[..., :-1] * centred[..., 1:]).mean((1, 2, 3))
    down = (centred[..., :-1, :] * centred[..., 1:, :]).mean((1, 2, 3))
    return (right + down) / 2 / spread


def picture(weights: Tensor) -> "Image":
    """The filters in a grid, each stretched to its own range; colours where a filter has three inputs."""
    from torchvision.transforms.v2.functional import to_pil_image
    from torchvision.utils import make_grid

    shown = weights if weights.shape[1] == 3 else weights.mean(1, keepdim=True)
    large = F.interpolate(shown.float(), size=(SIDE, SIDE), mode="nearest")
    drawn: Image = to_pil_image(make_grid(large, nrow=8, normalize=True, scale_each=True, padding=2, pad_value=1.0))
    return drawn


def as_png(weights: Tensor) -> str:
    """The picture as base64 of a PNG file."""
    file = io.BytesIO()
    picture(weights).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
