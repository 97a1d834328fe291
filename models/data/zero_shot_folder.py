"""Zero-shot data from files: own images in any form, and an article ``CLASS.txt`` for each class.

Layouts: all that :func:`~archsieve.models.readers.read_index.read_index` reads, CUB-200 as published, and Flowers102 as
torchvision stores it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..image_files.errors import DataError
from ..image_files.index import SPLITS
from ..image_files.observations import Observations
from ..readers.class_texts import read_class_texts, select_texts
from ..storage.encoded import LazyNames, LazySources
from .dataset import Request, Split
from .decoded_files import check_none_emptied, read_files
from .equal_images import connected
from .image_folder import read_requested
from .shapes import require_folder_options
from .torchvision_sets import as_data_error
from .zero_shot import ZeroShotSource, draw_test_images, equal_images


def load_folder(request: Request, texts: Path) -> ZeroShotSource:
    """Load own images, such as ``path/CLASS/*``, and the articles ``texts/CLASS.txt``.

    A fifth of the images of a seen class are its test images, with all copies of an image, and all images of a group,
    on one side. If the data have the splits train, val and test, the images of test are.
    """
    _, root = require_folder_options(request.path, request.image_size)
    index = read_requested(root, request)
    if index.multi_label:
        raise DataError(f"zero-shot images must have one label each, but those of {root} have several; use one column")
    rows, published_test = range(len(index)), torch.from_numpy(index.splits == SPLITS.index("test"))
    images = _Images(LazySources(index, rows), LazyNames(index, rows), torch.from_numpy(index.labels))
    source = _source(
        index.classes, images, published_test if published_test.any() else None, request, texts, index.groups
    )
    return source if request.has_rules_1 else replace(source, notes=index.notes + source.notes)


def load_cub(request: Request, texts: Path) -> ZeroShotSource:
    """Load CUB-200 (2010 or 2011) as published: ``images.txt``, ``classes.txt`` and two more lists.

    A seen class is tested on the publisher's test images, an unseen class on all its images.
    """
    if request.folder is None:
        raise DataError("data set 'cub-200' needs a path, but got none; set path to the folder with images.txt")
    root = request.folder
    names = _table(root / "classes.txt")
    classes = tuple(names[key] for key in sorted(names, key=int))
    label_of = {key: k for k, key in enumerate(sorted(names, key=int))}  # the published numbers start at 1
    class_keys, is_training = _table(root / "image_class_labels.txt"), _table(root / "train_test_split.txt")
    images = _table(root / "images.txt")
    if incomplete := [key for key in images if class_keys.get(key) not in label_of or key not in is_training]:
        raise DataError(
            f"every image needs a class and a split, but image {incomplete[0]} of {root / 'images.txt'} lacks one; "
            "unpack the archive again"
        )
    files = [root / "images" / path for path in images.values()]
    published_test = torch.tensor([is_training[key] == "0" for key in images])
    labels = [label_of[class_keys[key]] for key in images]
    return _source(classes, _Images.of(files, labels), published_test, request, texts)


def load_flowers(request: Request, texts: Path) -> ZeroShotSource:
    """Load Oxford Flowers102 from torchvision's files in ``path``; texts have its class names, ``pink primrose.txt``.

    For a seen class torchvision's train and val images are training images, and those of its test part test images.
    """
    if request.folder is None or request.image_size is None:
        raise DataError(
            "data set 'flowers102' needs path and image_size, but one is missing; set both, as in image_size = 64"
        )
    from torchvision.datasets import Flowers102

    names = tuple(Flowers102.classes)
    files, labels = list[Path](), list[int]()
    published_test: list[bool] = []
    for part in ("train", "val", "test"):
        with as_data_error("Flowers102", request.folder):
            flowers = Flowers102(request.folder, part, download=request.download)
        # The private lists give the files without decoding an image, which indexing the data set would do.
        files += map(Path, flowers._image_files)
        labels += map(int, flowers._labels)
        published_test += [part == "test"] * len(flowers)
    return _source(names, _Images.of(files, labels), torch.tensor(published_test), request, texts)


class _Images(NamedTuple):
    """N image files or their contents, their names for messages, and their labels (N,)."""

    sources: Sequence[Path | bytes]
    names: Sequence[str]
    labels: Tensor

    @classmethod
    def of(cls, files: Sequence[Path], labels: Sequence[int]) -> "_Images":
        return cls(files, list(map(str, files)), torch.tensor(labels))


def _source(
    classes: tuple[str, ...],
    encoded: _Images,
    test_if_seen: Tensor | None,
    request: Request,
    texts: Path,
    groups: np.ndarray | None = None,
) -> ZeroShotSource:
    # before the images: it is fast, so that errors in texts appear early
    articles, others = select_texts(read_class_texts(texts), classes, texts)
    observations = Observations()
    read = read_files(encoded.sources, encoded.names, request, observations)
    kept = encoded.labels[read.positions]
    check_none_emptied(encoded.labels, kept, classes, read.skipped)
    # version 0.1.0 drew copies of an image like different images
    copies = None if request.has_rules_1 else equal_images(read.images)
    if groups is not None and not request.has_rules_1:
        copies = _related(copies, groups[read.positions.numpy()])
    if test_if_seen is None:
        test_if_seen = draw_test_images(kept, request.seed, copies=copies)
    else:
        test_if_seen = test_if_seen[read.positions]
    return ZeroShotSource(
        classes,
        articles,
        Split(read.images, kept),
        test_if_seen,
        torch.ones_like(test_if_seen),
        copies=copies,
        notes=(*observations.notes(request.decoding), *notes_on_texts(others)),
        skipped=read.skipped,
        decoding=request.decoding,
    )


def notes_on_texts(others: Sequence[str]) -> tuple[str, ...]:
    """Return a note on classes that have a text and no image."""
    if not others:
        return ()
    return (
        f"{len(others)} classes have a text and no images, the first is {others[0]!r}; they are not tested, and "
        "archsieve predict recognises them by their texts",
    )


def _related(copies: Tensor | None, groups: np.ndarray) -> Tensor:
    """Return a number for each image (N,) that is equal for copies and for images of one group; -1 is no group."""
    contents = np.arange(len(groups)) if copies is None else copies.numpy()
    return torch.from_numpy(connected(contents, groups).astype(np.int64))


def _table(file: Path) -> dict[str, str]:
    """Read the lines ``key value`` of one of CUB's lists."""
    if not file.is_file():
        raise DataError(
            f"CUB-200 as published has {file.name}, but there is no {file}; set path to the folder that contains it"
        )
    lines = [line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if broken := [line for line in lines if len(line) != 2]:
        raise DataError(
            f"lines of {file} must be a number and a value, but one is {broken[0]}; unpack the archive again"
        )
    return {key: value.strip() for key, value in lines}
