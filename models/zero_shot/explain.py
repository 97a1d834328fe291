"""Explanations of a zero-shot model: the words that matter for an unseen class, and the nearest test images.

Shapes: N test images of unseen classes, E entries of the joint embedding, p words.
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.zero_shot import ZeroShotData
from .metrics import pr_aucs
from .saved_model import ZeroShotModel
from .trainer import calibrated

TOP_WORDS = 5
NEAREST = 3
THUMBNAIL_PX = 64  # at most, so that an image can be part of a page and of a database


@dataclass(frozen=True)
class WordDrop:
    """How much a class's area under the precision-recall curve falls without one word."""

    word: str
    drop: float


@dataclass(frozen=True)
class ClassExplanation:
    """One unseen class: its PR-AUC among the unseen classes' test images, its words by what each adds, and its images.

    ``right`` and ``wrong`` are places in the test images of unseen classes: the nearest of the class, and the nearest
    of others.
    """

    name: str
    text: str
    pr_auc: float
    words: tuple[WordDrop, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@torch.inference_mode()
def explain(model: ZeroShotModel, data: ZeroShotData, classes: Tensor | None = None) -> list[ClassExplanation]:
    """An explanation of each of ``classes``, all unseen ones where left out (Ba et al. 2015, section 5.3).

    One TF-IDF entry of the class's text is set to 0 and the vector scaled back to its old length; the images' scores
    against that class alone are computed anew. The negatives are the test images of the other unseen classes.
    """
    chosen = data.unseen if classes is None else classes
    embedded, vectors, scores = _scored(model, data)
    place = {int(k): i for i, k in enumerate(data.unseen)}
    return [_explained(model, data, embedded, scores, vectors, place[k], k) for k in chosen.tolist()]


@torch.inference_mode()
def class_areas(model: ZeroShotModel, data: ZeroShotData) -> Tensor:
    """The PR-AUC of each unseen class (U,) among the test images of all of them."""
    scores = calibrated(_scored(model, data)[2], model.network.recipe.calibration)
    places = torch.searchsorted(data.unseen, data.test_unseen.labels)
    return torch.from_numpy(pr_aucs(scores, places, torch.arange(len(data.unseen))))


def _scored(model: ZeroShotModel, data: ZeroShotData) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (N, E) of the unseen classes' test images, vectors (U, p) of their texts, scores (N, U)."""
    embedded = torch.cat([model.embed(part) for part in torch.split(data.test_unseen.images, 512)])
    vectors = model.encoder([data.classes[k] for k in data.unseen.tolist()], data.texts_of(data.unseen))
    return embedded, vectors, model.network.compare(embedded, model.network.classifiers(vectors))


def _explained(
    model: ZeroShotModel, data: ZeroShotData, embedded: Tensor, scores: Tensor, vectors: Tensor, column: int, k: int
) -> ClassExplanation:
    own = data.test_unseen.labels == k
    whole = _area(model, scores, own, column)
    order = scores[:, column].argsort(descending=True, stable=True)
    nearest = [order[mask[order]][:NEAREST].tolist() for mask in (own, ~own)]
    drops = _drops(model, embedded, scores, vectors[column], own, column, whole)
    return ClassExplanation(data.classes[k], data.texts[k], whole, drops, *map(tuple, nearest))


def _drops(
    model: ZeroShotModel, embedded: Tensor, scores: Tensor, vector: Tensor, own: Tensor, column: int, whole: float
) -> tuple[WordDrop, ...]:
    """The words of the vector, the most needed first; none where texts are no bags of words."""
    if model.encoder.words is None:
        return ()
    found = []
    for entry in vector.nonzero().squeeze(1).tolist():
        changed = scores.clone()
        changed[:, column] = model.network.compare(embedded, model.network.classifiers(without(vector, entry)[None]))[
            :, 0
        ]
        found.append(WordDrop(model.encoder.words[entry], whole - _area(model, changed, own, column)))
    return tuple(sorted(found, key=lambda word: (-word.drop, word.word))[:TOP_WORDS])


def without(vector: Tensor, entry: int) -> Tensor:
    """``vector`` (p,) with one entry 0, scaled back to its old length; all zeros where that was all."""
    changed = vector.clone()
    changed[entry] = 0.0
    length = changed.norm()
    return changed * (vector.norm() / length) if length > 0 else changed


def _area(model: ZeroShotModel, scores: Tensor, own: Tensor, column: int) -> float:
    told = calibrated(scores, model.network.recipe.calibration)[:, column : column + 1]
    return float(np.asarray(pr_aucs(told, (~own).long(), torch.tensor([0])))[0])


def data_uri(image: Tensor) -> str:
    """An image (C, H, W) of 1 or 3 channels, uint8 or float32 in [0, 1], as a PNG of at most 64 pixels in a text."""
    pixels = image if image.dtype == torch.uint8 else (255 * image).round().clamp(0, 255).to(torch.uint8)
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
