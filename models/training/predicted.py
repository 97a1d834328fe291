"""How a network's predictions fall over the classes."""

import torch
from torch import nn

from ..data.dataset import ImageData, Split
from .evaluate import Compute, scores


def predicted(
    module: nn.Module, split: Split, data: ImageData, compute: Compute, batch_size: int
) -> dict[str, int | float]:
    """``classes`` that are predicted at all, and the ``top_share`` (0..1) of the one predicted most.

    ``module`` and ``data`` already lie on the device. A share near 1 is a network that has collapsed.
    """
    counts = torch.bincount(scores(module, split.images, data, compute, batch_size).argmax(1), minlength=data.n_classes)
    return {"classes": int((counts > 0).sum()), "top_share": float(counts.max()) / len(split)}
