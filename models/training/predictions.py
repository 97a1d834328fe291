"""Predictions of the validation images by one network, in the few numbers that a run stores.

Shapes: N images of which M are kept, K classes, T kept classes of an image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

MAX_IMAGES = 20_000  # of more images, a random sample is kept
MAX_PROBABILITIES = 100_000  # M x K; above it, only those of the TOP most probable classes are kept
TOP = 5


@dataclass(frozen=True, eq=False)
class ValidationPredictions:
    """What a network predicts for M of N validation images.

    ``n_images`` is N. ``index`` (M,) int64 are the kept images, ascending. ``labels`` and ``predicted`` (M,) int64 are
    classes, ``rank`` (M,) int64 is the number of classes with a higher score than the label. ``label_probability`` (M,)
    is float32. ``probabilities`` (M, T) float16 belong to ``classes`` (M, T) int64, the most probable first; if all
    classes are kept, to the classes in order, and ``classes`` is empty (M, 0).
    """

    n_images: int
    n_classes: int
    index: Tensor
    labels: Tensor
    predicted: Tensor
    rank: Tensor
    label_probability: Tensor
    probabilities: Tensor
    classes: Tensor

    def state_dict(self) -> dict[str, int | Tensor]:
        """Return the fields as plain types, for a checkpoint."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def from_state(state: Mapping[str, int | Tensor]) -> ValidationPredictions:
    """Return the predictions of :meth:`ValidationPredictions.state_dict`."""
    return ValidationPredictions(**state)  # type: ignore[arg-type]


def compact(logits: Tensor, labels: Tensor) -> ValidationPredictions:
    """Return the predictions of logits (N, K) for labels (N,), on the CPU; the work is done on the device."""
    n, k = logits.shape
    index = kept_images(n).to(logits.device)
    logits, labels = logits[index].float(), labels.to(logits.device)[index]
    probabilities = logits.softmax(1)
    of_label = logits.gather(1, labels[:, None])
    kept, classes = _highest(probabilities)
    return ValidationPredictions(
        n_images=n,
        n_classes=k,
        index=index.cpu(),
        labels=labels.cpu(),
        predicted=logits.argmax(1).cpu(),
        rank=(logits > of_label).sum(1).cpu(),
        label_probability=probabilities.gather(1, labels[:, None]).squeeze(1).cpu(),
        probabilities=kept.cpu(),
        classes=classes.cpu(),
    )


def _highest(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probabilities (M, T) float16 that are kept of all (M, K), and their classes, (M, 0) for all."""
    if probabilities.numel() <= MAX_PROBABILITIES or probabilities.shape[1] <= TOP:
        return probabilities.half(), torch.empty((len(probabilities), 0), dtype=torch.int64)
    highest, classes = probabilities.float().topk(TOP, dim=1)
    return highest.half(), classes


def kept_images(n: int) -> Tensor:
    """Return the ascending index of the kept images of ``n``: the same for every network."""
    if n <= MAX_IMAGES:
        return torch.arange(n)
    return torch.from_numpy(np.sort(np.random.default_rng(0).permutation(n)[:MAX_IMAGES]))


def concatenate(parts: Sequence[ValidationPredictions]) -> ValidationPredictions:
    """Return the predictions of several networks for images of their own, such as those of folds, as one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.n_images for part in parts[:-1])])
    # A small fold may have all probabilities, a larger one the highest only.
    width = min(part.probabilities.shape[1] for part in parts)
    only_top = any(part.classes.shape[1] for part in parts)
    tops = [_top(part, width) if only_top else (part.probabilities, part.classes) for part in parts]
    index = torch.cat([part.index + int(start) for part, start in zip(parts, starts, strict=True)])
    joined = ValidationPredictions(
        n_images=sum(part.n_images for part in parts),
        n_classes=parts[0].n_classes,
        index=index,
        **{
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("labels", "predicted", "rank", "label_probability")
        },
        probabilities=torch.cat([top for top, _ in tops]),
        classes=torch.cat([classes for _, classes in tops]),
    )
    return _bounded(joined)


def _top(part: ValidationPredictions, width: int) -> tuple[Tensor, Tensor]:
    if part.classes.shape[1]:
        return part.probabilities, part.classes
    kept, classes = part.probabilities.float().topk(width, dim=1)
    return kept.half(), classes


def _bounded(joined: ValidationPredictions) -> ValidationPredictions:
    """Return the predictions with no more images and probabilities than those of one network have."""
    rows = kept_images(len(joined.index))
    probabilities, classes = joined.probabilities[rows], joined.classes[rows]
    if not classes.shape[1]:
        probabilities, classes = _highest(probabilities)
    names = ("index", "labels", "predicted", "rank", "label_probability")
    columns = {name: getattr(joined, name)[rows] for name in names}
    return ValidationPredictions(
        joined.n_images, joined.n_classes, **columns, probabilities=probabilities, classes=classes
    )
