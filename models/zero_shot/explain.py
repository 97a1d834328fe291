"""Explain a zero-shot model: the words that matter for an unseen class, and the nearest test images.

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
from ..storage.images import batches_of
from .metrics import pr_aucs
from .saved_model import ZeroShotModel
from .trainer import calibrated

TOP_WORDS = 5
NEAREST = 3
BATCH_SIZE = 64  # photographs of 224 x 224 pixels take much memory inside a network
THUMBNAIL_PX = 64  # maximum side: thumbnails are embedded in reports and stored in the database


@dataclass(frozen=True)
class WordDrop:
    """The decrease of a class's area under the precision-recall curve if one word is removed."""

    word: str
    drop: float


@dataclass(frozen=True)
class ClassExplanation:
    """One unseen class: its PR-AUC among the test images of unseen classes, its most important words, its images.

    ``right`` and ``wrong`` are indices of test images of unseen classes: the nearest images of this class, and the
    nearest images of other classes.
    """

    name: str
    text: str
    pr_auc: float
    words: tuple[WordDrop, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@torch.inference_mode()
def explain(
    model: ZeroShotModel, data: ZeroShotData, classes: Tensor | None = None, *, embedded: Tensor | None = None
) -> list[ClassExplanation]:
    """Explain each of ``classes``, by default all unseen classes (Ba et al. 2015, section 5.3).

    For each word its TF-IDF entry in the class's text is set to 0, the vector is scaled back to its previous length,
    and the scores of this class are computed again. The negatives are the test images of the other unseen classes.
    ``embedded`` are the :func:`embeddings`, if they are known.
    """
    chosen = data.unseen if classes is None else classes
    embedded = embeddings(model, data) if embedded is None else embedded
    vectors, scores = _scored(model, data, embedded)
    columns_by_class = {int(k): i for i, k in enumerate(data.unseen)}
    return [_explain_class(model, data, embedded, scores, vectors, columns_by_class[k], k) for k in chosen.tolist()]


@torch.inference_mode()
def class_areas(model: ZeroShotModel, data: ZeroShotData, embedded: Tensor) -> Tensor:
    """Return the PR-AUC of each unseen class (U,) among the test images of all unseen classes."""
    scores = calibrated(_scored(model, data, embedded)[1], model.network.recipe.calibration)
    columns = torch.searchsorted(data.unseen, data.test_unseen.labels)
    return torch.from_numpy(pr_aucs(scores, columns, torch.arange(len(data.unseen))))


@torch.inference_mode()
def embeddings(model: ZeroShotModel, data: ZeroShotData) -> Tensor:
    """Return the embeddings (N, E) of the test images of unseen classes."""
    # in parts, to limit the memory
    return torch.cat([model.embed(part) for part in batches_of(data.test_unseen.images, BATCH_SIZE)])


def _scored(model: ZeroShotModel, data: ZeroShotData, embedded: Tensor) -> tuple[Tensor, Tensor]:
    """Return vectors (U, p) of the texts of the unseen classes, and scores (N, U) of embeddings (N, E)."""
    vectors = model.encoder([data.classes[k] for k in data.unseen.tolist()], data.texts_of(data.unseen))
    return vectors, model.network.compare(embedded, model.network.classifiers(vectors))


def _explain_class(
    model: ZeroShotModel, data: ZeroShotData, embedded: Tensor, scores: Tensor, vectors: Tensor, column: int, k: int
) -> ClassExplanation:
    is_own = data.test_unseen.labels == k
    full_area = _area(model, scores, is_own, column)
    # stable, so that images with equal scores keep their order
    order = scores[:, column].argsort(descending=True, stable=True)
    nearest = [order[mask[order]][:NEAREST].tolist() for mask in (is_own, ~is_own)]
    drops = _drops(model, embedded, scores, vectors[column], is_own, column, full_area)
    return ClassExplanation(data.classes[k], data.texts[k], full_area, drops, *map(tuple, nearest))


def _drops(
    model: ZeroShotModel,
    embedded: Tensor,
    scores: Tensor,
    vector: Tensor,
    is_own: Tensor,
    column: int,
    full_area: float,
) -> tuple[WordDrop, ...]:
    """Return the words with the largest drop first, without numbers and words whose removal lowers nothing.

    There are none if the text vectors are not bags of words.
    """
    if model.encoder.words is None:
        return ()
    drops = []
    for entry in vector.nonzero().squeeze(1).tolist():
        # a number is a length or a year of the article: it identifies the text, and describes no image
        if not any(map(str.isalpha, model.encoder.words[entry])):
            continue
        # only the classifier of this class changes; the scores of other classes stay
        changed = scores.clone()
        changed[:, column] = model.network.compare(embedded, model.network.classifiers(without(vector, entry)[None]))[
            :, 0
        ]
        drops.append(WordDrop(model.encoder.words[entry], full_area - _area(model, changed, is_own, column)))
    effective = [word for word in drops if word.drop > 0]
    return tuple(sorted(effective, key=lambda word: (-word.drop, word.word))[:TOP_WORDS])


def without(vector: Tensor, entry: int) -> Tensor:
    """Return ``vector`` (p,) with one entry set to 0, scaled back to its length; zeros if no other entry is left."""
    changed = vector.clone()
    changed[entry] = 0.0
    length = changed.norm()
    return changed * (vector.norm() / length) if length > 0 else changed


def _area(model: ZeroShotModel, scores: Tensor, is_own: Tensor, column: int) -> float:
    column_scores = calibrated(scores, model.network.recipe.calibration)[:, column : column + 1]
    return float(np.asarray(pr_aucs(column_scores, (~is_own).long(), torch.tensor([0])))[0])


def data_uri(image: Tensor) -> str:
    """Return an image (C, H, W) as a data URI of a PNG with sides of at most 64 pixels.

    The image has 1 or 3 channels and is uint8 or float32 in [0, 1].
    """
    pixels = image if image.dtype == torch.uint8 else (255 * image).round().clamp(0, 255).to(torch.uint8)
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    thumbnail = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    thumbnail.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    out = io.BytesIO()
    thumbnail.save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
