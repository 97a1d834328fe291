"""Data at a lower fidelity: a share of the training images of each class, and smaller images."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from ...spaces.recipes.fidelity import Rung
from ..storage.images import batches_of
from .dataset import ImageData, Split

RESIZED_AT_A_TIME = 1024  # images, because a float32 copy of uint8 images takes 4 times the memory


def at_fidelity(data: ImageData, rung: Rung) -> ImageData:
    """Return ``data`` at the fidelity of ``rung``.

    The training images are a share of each class, at least one; a larger share contains a smaller one. The validation
    images are all kept. Both have the image size of the rung. Test images, statistics and hash are those of ``data``.
    """
    train = data.train
    if rung.data_share < 1:
        train = train.subset(share_of(train.labels, rung.data_share).to(train.labels.device))
    if rung.size(data.input_shape[1]) == data.input_shape[1]:
        return replace(data, train=train)
    size = rung.size(data.input_shape[1])
    return replace(data, train=_resized(train, size), val=_resized(data.val, size))


def share_of(labels: Tensor, share: float) -> Tensor:
    """Return the positions, int64 (M,), of a ``share`` of each class of ``labels``, in increasing order.

    Images with several labels, bool (N, K), are drawn together. The draw is the same for all trials and all shares.
    """
    labels = labels.cpu()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    classes = [order] if labels.dim() == 2 else [order[labels[order] == one] for one in sorted(set(labels.tolist()))]
    return torch.cat([one[: max(1, round(share * len(one)))] for one in classes]).sort().values


def _resized(split: Split, size: int) -> Split:
    parts = []
    for images in batches_of(split.images, RESIZED_AT_A_TIME):
        # the mean of the pixels under each new one, so that small images have no aliasing
        values = functional.interpolate(images.float(), size=(size, size), mode="area")
        parts.append(values.round().to(images.dtype) if images.dtype == torch.uint8 else values)
    return replace(split, images=torch.cat(parts))
