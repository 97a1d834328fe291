"""Check of the first filters: structured and different from each other; also drawn as an image (lecture)."""

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .context import DiagnosticContext, Finding

if TYPE_CHECKING:
    from PIL.Image import Image

SIMILAR_COSINE = 0.95  # two filters with a larger cosine are similar
MIN_SMOOTHNESS = 0.15  # a filter with a lower correlation of adjacent weights looks like noise
MAX_NAMED = 5  # filters or pairs named in the evidence; the metrics list all
TILE_PX = 24  # side of one filter in the image


def filters(context: DiagnosticContext) -> Finding:
    """Check the filters of the first convolution with a kernel larger than 1.

    The rating is "watch" if more than a quarter as many pairs as filters are similar.
    """
    weights = first_filters(context.trained_network)
    if weights is None:
        return Finding("filters", "good", "no convolution has a kernel larger than 1")
    flat = F.normalize(weights.flatten(1), dim=1)
    first, second = torch.triu_indices(len(flat), len(flat), 1)
    cosines = (flat[first] * flat[second]).sum(1)
    pairs = torch.stack([first, second], dim=1)[cosines > SIMILAR_COSINE].tolist()
    noisy = (smoothness(weights) < MIN_SMOOTHNESS).nonzero().flatten().tolist()
    metrics = {
        **{"filters": len(flat), "similar": len(pairs), "noisy": len(noisy)},
        **{"similar_pairs": pairs, "noisy_filters": noisy, "image": as_png(weights)},
    }
    mean = float(cosines.abs().mean()) if len(cosines) else 0.0
    evidence = (
        f"{len(flat)} filters, mean |cosine| {mean:.2f}, {len(pairs)} similar pairs"
        f"{_first_of([f'{one} and {other}' for one, other in pairs])}, {len(noisy)} noisy{_first_of(map(str, noisy))}"
    )
    if len(pairs) > len(flat) / 4:
        return Finding("filters", "watch", evidence, "make the first layer narrower, or train longer", metrics)
    return Finding("filters", "good", evidence, "", metrics)


def _first_of(names: Iterable[str]) -> str:
    """Return the first few of ``names`` in parentheses, or an empty string without names."""
    texts = list(names)
    return f" ({', '.join(texts[:MAX_NAMED])}{', ...' if len(texts) > MAX_NAMED else ''})" if texts else ""


def first_filters(module: nn.Module) -> Tensor | None:
    """Return the weights (O, I, k, k) of the first convolution with a kernel larger than 1, or None."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1:
            return layer.weight.detach()
    return None


def smoothness(weights: Tensor) -> Tensor:
    """Return the correlation of adjacent weights of each filter (O, I, k, k): about 0 for noise, near 1 if smooth."""
    spread = weights.flatten(1).std(1).clamp(min=1e-12) ** 2
    centred = weights - weights.mean((1, 2, 3), keepdim=True)
    right = (centred[..., :-1] * centred[..., 1:]).mean((1, 2, 3))
    down = (centred[..., :-1, :] * centred[..., 1:, :]).mean((1, 2, 3))
    return (right + down) / 2 / spread


def filter_grid(weights: Tensor) -> "Image":
    """Draw the filters in a grid, each scaled to its own range; in colour if the filters have three input channels."""
    from torchvision.transforms.v2.functional import to_pil_image
    from torchvision.utils import make_grid

    shown = weights if weights.shape[1] == 3 else weights.mean(1, keepdim=True)
    large = F.interpolate(shown.float(), size=(TILE_PX, TILE_PX), mode="nearest")
    image: Image = to_pil_image(make_grid(large, nrow=8, normalize=True, scale_each=True, padding=2, pad_value=1.0))
    return image


def as_png(weights: Tensor) -> str:
    """Return the image of the filters as a PNG file in base64."""
    file = io.BytesIO()
    filter_grid(weights).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
