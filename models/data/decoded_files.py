"""Image files that are decoded into memory, and the check that no class is lost with the bad ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..image_files.decoding import Decoded, decode_many
from ..image_files.errors import DataError
from ..image_files.observations import Observations
from ..readers.labels import class_counts
from .dataset import Request


class FilesRead(NamedTuple):
    """Decoded files: uint8 (M, 3, S, S), their ``positions`` (M,) in the list, and a message for each bad file."""

    images: Tensor
    positions: Tensor
    skipped: tuple[str, ...]


def read_files(
    files: Sequence[Path | bytes], names: Sequence[str], request: Request, observations: Observations
) -> FilesRead:
    """Decode ``files`` or their contents as ``request`` demands, and count them by ``names`` in ``observations``.

    Raises :class:`DataError` for a bad file, unless the request skips them.
    """

    def observe(position: int, decoded: Decoded) -> None:
        observations.add(decoded.pixels, decoded.facts, names[position])

    pixels, bad = decode_many(files, request.decoding, names=names, on_bad=request.on_bad, observe=observe)
    images, positions = torch.from_numpy(pixels), torch.arange(len(files))
    if bad:
        good = torch.ones(len(files), dtype=torch.bool)
        good[[image.position for image in bad]] = False
        images, positions = images[good], positions[good]
    return FilesRead(images, positions, tuple(image.message for image in bad))


def check_none_emptied(before: Tensor, after: Tensor, classes: Sequence[str], skipped: Sequence[str]) -> None:
    """Raise :class:`DataError` if all images of a class were skipped; the labels are those before and after."""
    counts, left = (class_counts(labels.numpy(), len(classes)) for labels in (before, after))
    emptied = np.flatnonzero((counts > 0) & (left == 0))
    if len(emptied):
        raise DataError(
            f"every class needs an image that can be decoded, but all {counts[emptied[0]]} of class "
            f"{classes[emptied[0]]!r} were skipped; replace them or remove the class. The first error was: {skipped[0]}"
        )
