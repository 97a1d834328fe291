"""Opening the images of an index in the storage that fits."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from .cache_build import decode_all, is_cached, open_cache
from .cache_file import CacheFile, CacheNotes, channel_sums
from .choice import (
    DEFAULT_STORAGE,
    StorageChoice,
    StorageOptions,
    cache_folder,
    choose_storage,
    measure_capacity,
)
from .encoded import EncodedImages
from .images import StoredImages, TensorImages
from .mapped import MappedImages
from .sharing import as_tensor
from .streamed import StreamedImages

N_ESTIMATED = 512  # images from which the channel sums of a forecast are estimated


@dataclass(frozen=True, eq=False)
class OpenedImages:
    """All images of an index in a storage, the choice of the storage, and what decoding found.

    ``n_sampled``: the number of images that were decoded, if the notes are of a sample only; None for all of them.
    """

    images: StoredImages
    choice: StorageChoice
    notes: CacheNotes
    n_sampled: int | None = None


def choice_for(images: EncodedImages, options: StorageOptions) -> StorageChoice:
    """Return the storage that :func:`open_images` uses, without decoding an image."""
    folder = cache_folder(options.cache)
    capacity = measure_capacity(folder, cached=is_cached(images, folder))
    return choose_storage(options.kind, images.nbytes, capacity)


def open_images(images: EncodedImages, options: StorageOptions = DEFAULT_STORAGE) -> OpenedImages:
    """Return all ``images`` in the storage of ``options``. Raises :class:`DataError` if it cannot hold them.

    The first time a cache is built, or the channel sums for ``stream``, all images are decoded once.
    """
    choice, folder, progress = choice_for(images, options), cache_folder(options.cache), options.progress
    if choice.kind == "memory":
        pixels, notes = decode_all(images, progress)
        return OpenedImages(TensorImages(torch.from_numpy(pixels)), choice, notes)
    if choice.kind == "cache" and (options.write or is_cached(images, folder)):
        file = open_cache(images, folder, progress=progress)
        return OpenedImages(MappedImages(images, options.cache, file), choice, file.notes)
    if not options.write and not is_cached(images, folder, has_pixels=False):
        file, n_sampled = _estimated(images)
        blank = images.on_bad == "skip"
        streamed = StreamedImages(images, as_tensor(file.sums), blank_if_bad=blank)
        return OpenedImages(streamed, choice, file.notes, n_sampled if n_sampled < len(images) else None)
    file = _sums(images, options)
    return OpenedImages(StreamedImages(images, as_tensor(file.sums)), choice, file.notes)


def reopened(images: EncodedImages, options: StorageOptions) -> StoredImages:
    """Return ``images``, another decoding of images that are open in the same storage; their notes are known.

    Images that are streamed have no channel sums: with published networks, mean and deviation are published, too.
    """
    choice, folder = choice_for(images, options), cache_folder(options.cache)
    if choice.kind == "memory":
        return TensorImages(torch.from_numpy(decode_all(images)[0]))
    if choice.kind == "cache" and (options.write or is_cached(images, folder)):
        return MappedImages(images, options.cache, open_cache(images, folder))
    return StreamedImages(images, None, blank_if_bad=images.on_bad == "skip")


def _sums(images: EncodedImages, options: StorageOptions) -> CacheFile:
    """Return the exact channel sums of images that are decoded per batch."""
    folder = cache_folder(options.cache)
    if is_cached(images, folder, has_pixels=False):  # the folder may be read-only
        return open_cache(images, folder, has_pixels=False, progress=options.progress)
    if measure_capacity(folder).disk_bytes is None:  # computed again at the next start
        with TemporaryDirectory() as temporary:
            return open_cache(images, Path(temporary), has_pixels=False, progress=options.progress)
    return open_cache(images, folder, has_pixels=False, progress=options.progress)


def _estimated(images: EncodedImages) -> tuple[CacheFile, int]:
    """Return channel sums in which each image has those of the nearest of a sample, and the size of the sample.

    The sample has at most ``N_ESTIMATED`` images.
    """
    step = -(-len(images) // N_ESTIMATED)
    rows = np.arange(0, len(images), step)
    sample = EncodedImages(images.index.take(rows), images.decoding, images.on_bad)
    pixels, notes = decode_all(sample)
    bad = tuple((int(rows[row]), message) for row, message in notes.bad)
    sums = np.repeat(channel_sums(pixels), step, axis=0)[: len(images)]
    return CacheFile(None, sums, CacheNotes(bad, notes.observations)), len(rows)
