"""Own images as a data set: class folders, a manifest, tar shards, Parquet files, arrays, or a data set of Python."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from ..image_files.index import SPLITS, Index
from ..image_files.locations import Location
from ..readers.dataset_items import read_items
from ..readers.read_index import read_index
from .dataset import Request, Source
from .equal_images import EqualImages, check_no_overlap, group_notes, numbered, split_groups
from .shapes import FILES_HASH, require_folder_options
from .splits import missing_parts, stratified_sample, stratified_split
from .stored_splits import StoredSplits


@dataclass(frozen=True, eq=False)
class SplitIndex:
    """The images of a data set in their final splits, and ``notes`` on them for the user."""

    index: Index
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Request) -> "SplitIndex":
        """Read the images of ``request.path`` and split them, as :meth:`split` does; no image is decoded."""
        _, root = require_folder_options(request.path, request.image_size)
        return cls.split(read_requested(root, request), request)

    @classmethod
    def split(cls, index: Index, request: Request) -> "SplitIndex":
        """Split the images of ``index``.

        Published splits are kept, and missing ones are split off from train, with equal images and the images of a
        group in one part. With ``request.decoding_rules`` 1 the rows have the order of version 0.1.0, otherwise the
        canonical order of :class:`~archsieve.models.image_files.index.Index`. ``limit`` keeps a sample of each
        published part.
        """
        index = _ordered(index, request)
        check_no_overlap(index)
        # version 0.1.0 split copies of an image like different images
        notes = () if request.has_rules_1 else (*index.notes, *group_notes(index), *EqualImages.of(index).notes())
        return cls(_split(_limited(index, request), request), notes)

    def content_hash(self, request: Request, skipped: Sequence[int] = ()) -> str | None:
        """Return the hash of images, splits, groups, weights and everything that decides their pixels.

        ``skipped`` are the rows of images that were left out: data with and without them have different hashes. None
        with ``request.decoding_rules`` 1: the hash is then that of the pixels.
        """
        if request.has_rules_1:
            return None
        decoding = json.dumps(request.decoding.to_json(), sort_keys=True)
        digest = sha256(f"{self.index.content_hash}{decoding}".encode())
        if (groups := _canonical_groups(self.index)) is not None:
            digest.update(b"groups" + groups.astype("<i8").tobytes())
        if (weights := self.index.weights) is not None:
            digest.update(b"weights" + weights[self.index.canonical_order].astype("<f4").tobytes())
        if request.from_network:  # each network has its own pixels
            digest.update(f"from network {request.from_network}".encode())
        if len(skipped):
            digest.update(b"skipped" + b"".join(sorted(self.index.digests[row].tobytes() for row in skipped)))
        return FILES_HASH + digest.hexdigest()


def _canonical_groups(index: Index) -> np.ndarray | None:
    """Return the number of the group of each row in canonical order, int64 (N,); None without a column of groups."""
    groups = None if index.groups is None else split_groups(index)
    return None if groups is None else numbered(groups[index.canonical_order])


def read_requested(root: Location, request: Request) -> Index:
    """Return the index of the images at ``root``, read with the columns and options of ``request``."""
    return read_index(root, columns=request.columns, nested=request.nested, label_separator=request.label_separator)


def load_image_folder(request: Request) -> Source:
    """Load the images of ``request.path``, uint8 (N, 3, S, S), S = ``image_size``, in their final splits.

    Raises :class:`DataError`, which names the folder or file.
    """
    return _source(SplitIndex.of(request), request)


def load_items(data: Any, request: Request) -> Source:
    """Load a map-style data set of Python or a mapping of them by split, or the index of one, as own images."""
    index = data if isinstance(data, Index) else read_items(data)
    return _source(SplitIndex.split(index, request), request)


def _source(split_index: SplitIndex, request: Request) -> Source:
    stored = StoredSplits.of(split_index.index, request)
    return Source(
        split_index.index.classes,
        **stored.parts,
        notes=(*split_index.notes, *stored.notes),
        skipped=stored.skipped,
        storage=stored.storage,
        content_hash=split_index.content_hash(request, stored.skipped_rows),
        decoding=request.decoding,
        files=stored.files,
    )


def stored_index(index: Index, request: Request) -> Index:
    """Return the images of ``index`` that a search with this request stores, in its order: it decides the cache."""
    return _limited(_ordered(index, request), request)


def _ordered(index: Index, request: Request) -> Index:
    return index.with_digests() if request.has_rules_1 else index.canonical()


def _limited(index: Index, request: Request) -> Index:
    """Keep at most ``limit`` images of each published part, before any is decoded."""
    if request.limit is None:
        return index
    labels, kept = torch.from_numpy(index.labels), []
    for rows in map(torch.from_numpy, index.rows.values()):
        kept.append(rows[stratified_sample(labels[rows], request.limit, seed=request.seed)])
    return index.take(torch.cat(kept).numpy())


def _split(index: Index, request: Request) -> Index:
    """Return ``index`` with the missing parts split off from train."""
    published = index.rows
    fractions = missing_parts(published, request.val_fraction, request.test_fraction)
    if not fractions:
        return index
    train = published["train"]
    part = index.take(train)
    groups = None if request.has_rules_1 else split_groups(part)
    labels = torch.from_numpy(part.labels)
    members = stratified_split(labels, fractions, index.classes, seed=request.seed, groups=groups)
    splits = index.splits.copy()
    for name, rows in members.items():
        splits[train[rows.numpy()]] = SPLITS.index(name)
    return index.with_splits(splits)
