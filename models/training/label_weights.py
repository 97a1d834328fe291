"""Weights of classes in the loss, and balanced sampling of training images, from the labels of a split.

Shapes: N images, K classes; labels int64 (N,), or bool (N, K) with several labels.
"""

import torch
from torch import Generator, Tensor

from ...spaces.recipes.class_weights import NONE, check_class_names, table_of
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData
from ..metrics.label_losses import LabelLoss


def training_loss(data: ImageData, recipe: Recipe) -> LabelLoss:
    """Return the loss that ``recipe`` minimises on the training images of ``data``, on their device.

    Raises ``ValueError`` if a table of class weights does not name the classes of the data.
    """
    return LabelLoss(class_weights(data, recipe.class_weights), recipe.label_smoothing, multi_label=data.multi_label)


def class_weights(data: ImageData, value: str) -> Tensor | None:
    """Return the weights (K,) of ``recipe.class_weights``, float32 on the device of the labels; None for "none".

    "balanced" is N / (K n_k) with one label, as in scikit-learn, and (N - n_k) / n_k with several labels, as torch
    recommends for ``pos_weight``; n_k is the number of training images of class k.
    """
    if value == NONE:
        return None
    check_class_names(value, data.classes)
    device, table = data.train.labels.device, table_of(value)
    if table is not None:
        return torch.tensor([table[name] for name in data.classes], dtype=torch.float32, device=device)
    n, counts = len(data.train), class_counts(data.train.labels, data.n_classes).double().clamp(min=1)
    balanced = (n - counts) / counts if data.multi_label else n / (data.n_classes * counts)
    return balanced.float()


def class_counts(labels: Tensor, n_classes: int) -> Tensor:
    """Return the number of images of each class, int64 (K,)."""
    return labels.sum(0) if labels.dim() == 2 else torch.bincount(labels, minlength=n_classes)


def balanced_order(probabilities: Tensor, generator: Generator) -> Tensor:
    """Draw N images with replacement by their ``probabilities`` (N,); return their indices, int64 (N,)."""
    # not torch.multinomial, which takes at most 2**24 images
    ends = probabilities.cumsum(0)
    positions = torch.rand(len(ends), generator=generator, dtype=torch.float64) * ends[-1]
    return torch.searchsorted(ends, positions, right=True).clamp(max=len(ends) - 1)


def balanced_probabilities(labels: Tensor, n_classes: int) -> Tensor:
    """Return the probability of each image (N,), float64 on the CPU, that balanced sampling draws it next.

    It draws first a class, all with the same probability, then one of its images. Images without labels are a class of
    their own.
    """
    labels = labels.cpu()
    counts = class_counts(labels, n_classes).double()
    of_class = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
    if labels.dim() == 1:
        weights = of_class[labels]
    else:
        without = ~labels.any(1)
        weights = without / without.sum().clamp(min=1).double()
        for label, weight in enumerate(of_class.tolist()):  # a product of matrices would copy the labels as float64
            weights += labels[:, label] * weight
    return weights / weights.sum()
