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
MAX_LABEL_SCORES = 200_000  # M x K where images have several labels; above it, fewer images are kept
TOP = 5


@dataclass(frozen=True, eq=False)
class KeptPredictions:
    """What a network predicts for M of N validation images.

    ``n_images`` is N. ``index`` (M,) int64 are the kept images, ascending.
    """

    n_images: int
    n_classes: int
    index: Tensor
    labels: Tensor
    predicted: Tensor

    def state_dict(self) -> dict[str, int | Tensor]:
        """Return the fields as plain types, for a checkpoint."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, eq=False)
class ValidationPredictions(KeptPredictions):
    """The predictions for images that have one label each.

    ``labels`` and ``predicted`` (M,) int64 are classes, ``rank`` (M,) int64 is the number of classes with a higher
    score than the label. ``label_probability`` (M,) is float32. ``log_probabilities`` (M, T) float16 belong to
    ``classes`` (M, T) int64, the most probable first; if all classes are kept, to the classes in order, and ``classes``
    is empty (M, 0). They are logarithms, because float16 rounds each probability above 0.9998 to 1 and each below 3e-8
    to 0, and images with equal ones have no order.
    """

    rank: Tensor
    label_probability: Tensor
    log_probabilities: Tensor
    classes: Tensor


@dataclass(frozen=True, eq=False)
class LabelPredictions(KeptPredictions):
    """The predictions for images that have any number of labels.

    ``labels`` and ``predicted`` (M, K) are bool, the ``logits`` (M, K) of the classes float16: a probability near 1
    would be rounded to 1 in this type.
    """

    logits: Tensor


def from_state(state: Mapping[str, int | Tensor]) -> KeptPredictions:
    """Return the predictions of a ``state_dict``; earlier states have probabilities instead of their logarithms."""
    if "rank" in state and isinstance(rounded := state.get("probabilities"), Tensor):
        others = {name: value for name, value in state.items() if name != "probabilities"}
        state = {**others, "log_probabilities": _half(rounded.float().log())}
    kind: type[KeptPredictions] = ValidationPredictions if "rank" in state else LabelPredictions
    return kind(**state)  # type: ignore[arg-type]


def compact(logits: Tensor, labels: Tensor) -> KeptPredictions:
    """Return the predictions of logits (N, K) for labels (N,) or bool (N, K), on the CPU.

    The work is done on the device.
    """
    n, k = logits.shape
    if labels.dim() == 2:
        index = kept_images(n, _most_images(k)).to(logits.device)
        logits, labels = logits[index].float(), labels.to(logits.device)[index]
        return LabelPredictions(n, k, index.cpu(), labels.cpu(), (logits > 0).cpu(), _half(logits).cpu())
    index = kept_images(n, MAX_IMAGES).to(logits.device)
    logits, labels = logits[index].float(), labels.to(logits.device)[index]
    logs = logits.log_softmax(1)
    of_label = logits.gather(1, labels[:, None])
    kept, classes = _highest(logs)
    return ValidationPredictions(
        n_images=n,
        n_classes=k,
        index=index.cpu(),
        labels=labels.cpu(),
        predicted=logits.argmax(1).cpu(),
        rank=(logits > of_label).sum(1).cpu(),
        label_probability=logs.gather(1, labels[:, None]).squeeze(1).exp().cpu(),
        log_probabilities=kept.cpu(),
        classes=classes.cpu(),
    )


def _highest(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities (M, T) float16 that are kept of all (M, K), and their classes, (M, 0) for all."""
    if logs.numel() <= MAX_PROBABILITIES or logs.shape[1] <= TOP:
        return _half(logs), torch.empty((len(logs), 0), dtype=torch.int64)
    highest, classes = logs.float().topk(TOP, dim=1)
    return _half(highest), classes


def _half(values: Tensor) -> Tensor:
    """Return finite float16 values: above its range they would become infinite."""
    largest = torch.finfo(torch.float16).max
    return values.clamp(-largest, largest).half()


def kept_images(n: int, most: int) -> Tensor:
    """Return the ascending index of the kept images of ``n``, at most ``most``: the same for every network."""
    if n <= most:
        return torch.arange(n)
    return torch.from_numpy(np.sort(np.random.default_rng(0).permutation(n)[:most]))


def _most_images(n_classes: int) -> int:
    """Return how many images with several labels are kept."""
    return max(1, min(MAX_IMAGES, MAX_LABEL_SCORES // n_classes))


def concatenate(parts: Sequence[KeptPredictions]) -> KeptPredictions:
    """Return the predictions of several networks for images of their own, such as those of folds, as one."""
    if len(parts) == 1:
        return parts[0]
    of_labels = [part for part in parts if isinstance(part, LabelPredictions)]
    if of_labels:
        return _concatenate_labels(of_labels)
    return _concatenate_classes([part for part in parts if isinstance(part, ValidationPredictions)])


def _index(parts: Sequence[KeptPredictions]) -> Tensor:
    """Return the positions of the kept images in the images of all parts."""
    starts = np.cumsum([0, *(part.n_images for part in parts[:-1])])
    return torch.cat([part.index + int(start) for part, start in zip(parts, starts, strict=True)])


def _concatenate_labels(parts: Sequence[LabelPredictions]) -> LabelPredictions:
    index, n_classes = _index(parts), parts[0].n_classes
    rows = kept_images(len(index), _most_images(n_classes))
    names = ("labels", "predicted", "logits")
    columns = {name: torch.cat([getattr(part, name) for part in parts])[rows] for name in names}
    return LabelPredictions(sum(part.n_images for part in parts), n_classes, index[rows], **columns)


def _concatenate_classes(parts: Sequence[ValidationPredictions]) -> ValidationPredictions:
    # A small fold may have all probabilities, a larger one the highest only.
    width = min(part.log_probabilities.shape[1] for part in parts)
    only_top = any(part.classes.shape[1] for part in parts)
    tops = [_top(part, width) if only_top else (part.log_probabilities, part.classes) for part in parts]
    joined = ValidationPredictions(
        n_images=sum(part.n_images for part in parts),
        n_classes=parts[0].n_classes,
        index=_index(parts),
        **{
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("labels", "predicted", "rank", "label_probability")
        },
        log_probabilities=torch.cat([top for top, _ in tops]),
        classes=torch.cat([classes for _, classes in tops]),
    )
    return _bounded(joined)


def _top(part: ValidationPredictions, width: int) -> tuple[Tensor, Tensor]:
    if part.classes.shape[1]:
        return part.log_probabilities, part.classes
    kept, classes = part.log_probabilities.float().topk(width, dim=1)
    return kept.half(), classes


def _bounded(joined: ValidationPredictions) -> ValidationPredictions:
    """Return the predictions with no more images and probabilities than those of one network have."""
    rows = kept_images(len(joined.index), MAX_IMAGES)
    logs, classes = joined.log_probabilities[rows], joined.classes[rows]
    if not classes.shape[1]:
        logs, classes = _highest(logs)
    names = ("index", "labels", "predicted", "rank", "label_probability")
    columns = {name: getattr(joined, name)[rows] for name in names}
    return ValidationPredictions(joined.n_images, joined.n_classes, **columns, log_probabilities=logs, classes=classes)
