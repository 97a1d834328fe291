"""Weights of classes in the loss, and balanced sampling of training images, from the labels of a split.

Shapes: N images, K classes; labels int64 (N,), or bool (N, K) with several labels.
"""

import torch
from torch import Generator, Tensor

from ...spaces.recipes.class_weights import NONE, check_class_names, table_of
from ...spaces.recipes.recipe import Recipe
from ..data.dataset import ImageData, Split
from ..metrics.label_losses import LabelLoss


def training_loss(data: ImageData, recipe: Recipe) -> LabelLoss:
    """Return the loss that ``recipe`` minimises on the training images of ``data``, on their device.

    Raises ``ValueError`` if a table of class weights does not name the classes of the data.
    """
    return LabelLoss(class_weights(data, recipe.class_weights), recipe.label_smoothing)


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


def training_order(train: Split, recipe: Recipe, n_classes: int, generator: Generator) -> Tensor:
    """Return the order of the training images in one epoch, int64 (N,) on the CPU, drawn from ``generator``.

    With ``recipe.sampling = "balanced"`` N images are drawn with replacement: first a class, all with the same
    probability, then one of its images. Images without labels are a class of their own.
    """
    if recipe.sampling == "shuffle":
        return torch.randperm(len(train), generator=generator)
    return _drawn(sampling_probabilities(train.labels.cpu(), n_classes), len(train), generator)


def sampling_probabilities(labels: Tensor, n_classes: int) -> Tensor:
    """Return the probability of each image (N,), float64, that balanced sampling draws it next."""
    counts = class_counts(labels, n_classes).double()
    of_class = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
    if labels.dim() == 1:
        weights = of_class[labels]
    else:
        without = ~labels.any(1)
        weights = labels.double() @ of_class + without / without.sum().clamp(min=1)
    return weights / weights.sum()


def _drawn(probabilities: Tensor, n: int, generator: Generator) -> Tensor:
    # not torch.multinomial, which takes at most 2**24 images
    ends = probabilities.cumsum(0)
    positions = torch.rand(n, generator=generator, dtype=torch.float64) * ends[-1]
    return torch.searchsorted(ends, positions, right=True).clamp(max=len(ends) - 1)
