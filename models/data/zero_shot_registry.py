"""Zero-shot data sets by name: load them and split their classes into seen and unseen ones."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...spaces.parameters.lookup import look_up
from ..image_files.errors import DataError
from ..image_files.locations import Location, location
from ..readers.class_texts import read_class_texts, select_texts
from ..readers.feature_files import FeatureFile, read_features
from .dataset import Request, Split
from .glyphs import load_glyphs
from .shapes import FEATURES, ZERO_SHOT_DATASETS
from .zero_shot import ZeroShotData, ZeroShotSource, draw_test_images, draw_unseen
from .zero_shot_folder import load_cub, load_flowers, load_folder, notes_on_texts


class ClassSplit(NamedTuple):
    """The names of seen, unseen and validation classes, as far as they are chosen."""

    seen: Sequence[str] | None = None
    unseen: Sequence[str] | None = None
    validation: Sequence[str] | None = None


def read_class_split(path: Path) -> ClassSplit:
    """Read a published split, ``{"train": [...], "val": [...], "test": [...]}``; the classes of ``val`` are seen, too.

    Raises :class:`DataError` for another content, and if a class is in two lists.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"class_split must be a JSON file, but {path} cannot be read: {error}; correct it") from None
    parts = ("train", "val", "test")
    is_table = isinstance(content, dict) and set(content) <= set(parts) and "test" in content
    if not is_table or not all(isinstance(names, list) for names in content.values()):
        raise DataError(
            f'class_split must be {{"train": [...], "val": [...], "test": [...]}}, but {path} is different; write '
            "lists of class names"
        )
    train, val, test = (list(map(str, content.get(part, ()))) for part in parts)
    if twice := [name for name, count in Counter([*train, *val, *test]).items() if count > 1]:
        raise DataError(f"a class must be in one list of a split, but {twice[0]!r} is in two of {path}; remove one")
    return ClassSplit([*train, *val] if train else None, test, val or None)


DATASETS_WITH_TEXTS: dict[str, Callable[[Request, Path], ZeroShotSource]] = {
    "images": load_folder,
    "imagefolder": load_folder,
    "cub-200": load_cub,
    "flowers102": load_flowers,
}


def load_zero_shot(
    name: str,
    *,
    path: str | Location | None = None,
    texts: str | Path | None = None,
    unseen_fraction: float = 0.2,
    seen: Sequence[str] | None = None,
    unseen: Sequence[str] | None = None,
    class_split: str | Path | None = None,
    **options: Any,
) -> ZeroShotData:
    """Load the zero-shot data set ``name``: ``glyphs``, or images in ``path`` with ``CLASS.txt`` files in ``texts``.

    No network is trained on the unseen classes. They are those listed in ``unseen``; without ``unseen`` all that are
    not listed in ``seen``; without both the fraction ``unseen_fraction``, drawn by ``seed``. ``class_split`` is a JSON
    file of a published split; that of ``features`` may be in their file. The ``options`` are the
    other fields of :class:`~archsieve.models.data.dataset.Request`; only glyphs have a ``limit``.

    Raises ``ValueError`` for an unknown name and :class:`DataError` for data that cannot be used.
    """
    look_up(dict.fromkeys(ZERO_SHOT_DATASETS), name, "zero-shot data set")  # raises for an unknown name
    request = Request(None if path is None else location(path), **options)
    if request.limit is not None and name != "glyphs":
        raise DataError(
            f"limit must be left out for data set {name!r}, but got {request.limit!r}; only glyphs takes it"
        )
    if name == FEATURES:
        return _features(request, texts, _chosen(class_split, seen, unseen), unseen_fraction)
    if name == "glyphs":
        source = load_glyphs(request)
    else:
        if texts is None:
            raise DataError(f"data set {name!r} needs texts, but got none; set texts to a folder of CLASS.txt files")
        source = DATASETS_WITH_TEXTS[name](request, Path(texts).expanduser())
    return _split(name, source, _chosen(class_split, seen, unseen), unseen_fraction, request.seed)


def _chosen(class_split: str | Path | None, seen: Sequence[str] | None, unseen: Sequence[str] | None) -> ClassSplit:
    """Return the split that is given by its file or by lists; a file together with a list is an error."""
    if class_split is None:
        return ClassSplit(seen, unseen)
    if seen is not None or unseen is not None:
        raise DataError("class_split names all classes, but seen or unseen is set, too; leave one of them out")
    return read_class_split(Path(class_split).expanduser())


def _split(name: str, source: ZeroShotSource, chosen: ClassSplit, fraction: float, seed: int) -> ZeroShotData:
    drawn = draw_unseen(source.classes, fraction=fraction, seed=seed, seen=chosen.seen, unseen=chosen.unseen)
    data = ZeroShotData.of(name, source, drawn)
    if chosen.validation is None:
        return data
    for other in chosen.validation:
        if other not in source.classes:
            raise DataError(f"validation classes must have images, but {other!r} has none; remove it from the split")
    return replace(data, validation=tuple(chosen.validation))


def _features(request: Request, texts: str | Path | None, chosen: ClassSplit, fraction: float) -> ZeroShotData:
    """Load own features; their vectors are kept as they are, with mean 0 and deviation 1."""
    if request.folder is None:
        raise DataError("data set 'features' needs a path, but got none; set path to an .npz file or a folder")
    content, others = read_features(request.folder), tuple[str, ...]()
    of_classes = content.texts
    if texts is not None:
        folder = Path(texts).expanduser()
        of_classes, others = select_texts(read_class_texts(folder), content.classes, folder)
    if of_classes is None:
        raise DataError(
            f"features need texts or attributes of their classes, but {request.folder} has none; set data.texts to a "
            "folder, a .json or an .npz file"
        )
    if chosen == ClassSplit() and content.unseen is not None:
        chosen = ClassSplit(None, content.unseen, content.validation)
    source = replace(_feature_source(content, of_classes, request.seed), notes=notes_on_texts(others))
    data = _split(FEATURES, source, chosen, fraction, request.seed)
    width = data.input_shape[0]
    return replace(data, mean=torch.zeros(width), std=torch.ones(width))


def _feature_source(content: FeatureFile, texts: tuple[str, ...], seed: int) -> ZeroShotSource:
    """Return the features as images (N, F, 1, 1) with ``texts``; a fifth of each class are its test images if none are.

    A class that has no image is left out; it can be given to a prediction by its text.
    """
    used, labels_of_used = np.unique(content.labels, return_inverse=True)
    names, of_names = ([values[k] for k in used] for values in (content.classes, texts))
    labels = torch.from_numpy(labels_of_used.astype(np.int64))
    images = torch.from_numpy(np.ascontiguousarray(content.features, dtype=np.float32))[:, :, None, None]
    is_test = draw_test_images(labels, seed) if content.is_test is None else torch.from_numpy(content.is_test)
    return ZeroShotSource(tuple(names), tuple(of_names), Split(images, labels), is_test, torch.ones_like(is_test))
