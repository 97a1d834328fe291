"""Notes on images that are already tensors: single colours, and images that are all the same."""

from collections.abc import Iterable

import torch

from ..storage.images import batches_of
from .dataset import Split

CHUNK = 1024  # images that are compared at a time


def pixel_notes(splits: Iterable[Split]) -> tuple[str, ...]:
    """Return a sentence if all images are identical, or if some of them have a single colour."""
    n = n_constant = 0
    first: torch.Tensor | None = None
    identical = True
    for chunk in (chunk for split in splits for chunk in batches_of(split.images, CHUNK)):
        first = chunk[0] if first is None else first
        values = chunk.flatten(2)
        n += len(chunk)
        n_constant += int((values.amin(2) == values.amax(2)).all(1).sum())
        identical = identical and bool((chunk == first).all())
    if identical and n > 1:
        return (f"all {n:,} images are identical; no network can tell them apart",)
    return (f"{n_constant:,} of {n:,} images have a single colour",) if n_constant else ()
