"""Images in a cache file, which all processes of a machine read through the system's page cache."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .cache_build import open_cache
from .cache_file import CacheFile
from .choice import cache_folder
from .encoded import EncodedImages
from .images import StoredImages
from .sharing import as_tensor


class MappedImages(StoredImages):
    """The pixels of a memory-mapped cache file; it is pickled as the images' index and decoding.

    On a machine without the file it is built at the first access. ``folder``: the setting of the search file; None for
    the default of the machine.
    """

    def __init__(self, images: EncodedImages, folder: str | None, file: CacheFile | None = None) -> None:
        super().__init__(images.shape, torch.uint8)
        self.images, self.folder = images, folder
        if file is not None:
            self.file = file

    @cached_property
    def file(self) -> CacheFile:
        """The cache file, built if it is missing."""
        return open_cache(self.images, cache_folder(self.folder))

    @cached_property
    def _pixels(self) -> Tensor:
        return as_tensor(self.file.pixels)

    @cached_property
    def _sums(self) -> Tensor:
        return as_tensor(self.file.sums)

    def rows_at(self, rows: Tensor) -> Tensor:
        return self._pixels[rows]

    def channel_sums(self, rows: Tensor | None = None) -> Tensor:
        return sums_of(self._sums, rows)

    def prepare(self) -> None:
        assert self.file is not None  # opened, or built

    def __reduce__(self) -> Any:
        return MappedImages, (self.images, self.folder)


def sums_of(sums: Tensor, rows: Tensor | None) -> Tensor:
    """Return the exact sum, (2, C) float64, of sums (N, 2, C) int64 at ``rows``."""
    return (sums if rows is None else sums[rows]).sum(0).double()
