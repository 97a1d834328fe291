"""The splits of an index with their images in a storage."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..image_files.index import Index
from ..image_files.observations import Observations
from ..storage.choice import StorageChoice
from ..storage.encoded import EncodedImages
from ..storage.file_images import FileImages
from ..storage.images import RowsOf, StoredImages, TensorImages
from ..storage.open_images import open_images
from .dataset import Request, Split
from .decoded_files import check_none_emptied
from .equal_images import split_groups


@dataclass(frozen=True, eq=False)
class StoredSplits:
    """Splits by name, the storage of their images, notes on the images, and a message for each skipped image.

    ``skipped_rows`` are the rows of the skipped images in the index, ascending. ``files`` is None where the request
    fixes the decoding, and for items of a Python data set in memory: they may not reach another process.
    """

    parts: Mapping[str, Split]
    storage: StorageChoice
    notes: tuple[str, ...]
    skipped: tuple[str, ...]
    skipped_rows: tuple[int, ...] = ()
    files: FileImages | None = None

    @classmethod
    def of(cls, index: Index, request: Request) -> "StoredSplits":
        """Open the images of ``index`` in the storage that the request asks for, and skip bad ones if it says so.

        Raises :class:`DataError` for a bad image that is not skipped, a class without a good image, and a storage that
        does not fit.
        """
        encoded = EncodedImages(index, request.decoding, request.on_bad)
        opened = open_images(encoded, request.storage)
        is_good, skipped = np.ones(len(index), bool), tuple(message for _, message in opened.notes.bad)
        is_good[[row for row, _ in opened.notes.bad]] = False
        parts, rows_of, labels, groups = {}, {}, torch.from_numpy(index.labels), _groups(index, request)
        weights = None if index.weights is None else torch.tensor(index.weights)  # a copy, because Arrow's is read-only
        check_none_emptied(labels, labels[torch.from_numpy(is_good)], index.classes, skipped)
        for part, rows in index.rows.items():
            good = rows_of[part] = torch.from_numpy(rows[is_good[rows]])
            check_none_emptied(labels[torch.from_numpy(rows)], labels[good], index.classes, skipped)
            of_part = None if groups is None else groups[good]
            of_images = None if weights is None else weights[good]
            parts[part] = Split(_images_at(opened.images, good), labels[good], of_part, of_images)
        notes = Observations.from_json(opened.notes.observations).notes(request.decoding)
        if opened.n_sampled is not None and request.on_bad == "skip":
            notes += (
                f"only {opened.n_sampled:,} of {len(index):,} images were decoded, so that the search may skip more "
                "images than this forecast",
            )
        skipped_rows = tuple(sorted(row for row, _ in opened.notes.bad))
        stays = index.items is not None and opened.choice.kind == "memory"
        files = None
        if request.from_network and not stays:
            storage = replace(request.storage, progress=None)
            files = FileImages(encoded, rows_of, storage, request.from_network)
        return cls(parts, opened.choice, notes, skipped, skipped_rows, files)


def _groups(index: Index, request: Request) -> torch.Tensor | None:
    """Return the groups of all rows, numbered over all splits; version 0.1.0 had none."""
    groups = None if request.has_rules_1 else split_groups(index)
    return None if groups is None else torch.from_numpy(groups)


def _images_at(images: StoredImages, rows: torch.Tensor) -> "torch.Tensor | RowsOf":
    """Return the images of a split: a tensor of those in memory, and a view of others."""
    return images.tensor[rows] if isinstance(images, TensorImages) else RowsOf(images, rows)
