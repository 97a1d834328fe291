"""Images that are decoded for each batch, by threads that read ahead: for data larger than the disk and the memory."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..image_files.errors import DataError
from .encoded import EncodedImages
from .images import MovedPerBatch, StoredImages
from .mapped import sums_of
from .sharing import as_array, as_tensor

N_AHEAD = 2  # batches that are decoded while a network trains on the one before

Batch = tuple[Tensor, list["Future[np.ndarray]"]]  # rows, and their images


class StreamedImages(StoredImages):
    """Images that stay encoded; each batch is decoded by as many threads as torch may use in this process.

    ``sums`` (N, 2, C) int64 are the channel sums of each image, for exact statistics of the data set. With
    ``blank_if_bad``, for a forecast, an image that cannot be decoded is zeros instead of an error.
    """

    def __init__(self, images: EncodedImages, sums: Tensor, *, blank_if_bad: bool = False) -> None:
        super().__init__(images.shape, torch.uint8)
        self.images, self.sums, self.blank_if_bad = images, sums, blank_if_bad
        self._planned: Iterator[Tensor] = iter(())
        self._ahead: deque[Batch] = deque()

    def rows_at(self, rows: Tensor) -> Tensor:
        if self._ahead and torch.equal(self._ahead[0][0], rows):
            _, images = self._ahead.popleft()
            self._read_ahead()
        else:
            _, images = self._submitted(rows)
        return torch.from_numpy(np.stack([image.result() for image in images]))

    def channel_sums(self, rows: Tensor | None = None) -> Tensor:
        return sums_of(self.sums, rows)

    def prefetch(self, batches: Sequence[Tensor]) -> None:
        for _, images in self._ahead:
            for image in images:
                image.cancel()
        self._ahead.clear()
        self._planned = iter(batches)
        self._read_ahead()

    def prepare(self) -> None:
        for row in {0, len(self) // 2, len(self) - 1}:
            self.images.index.unchanged_source(row)
            self.images.decode(row)

    def moved_to(self, device: torch.device) -> StoredImages:
        return MovedPerBatch(self, device)

    def _read_ahead(self) -> None:
        while len(self._ahead) < N_AHEAD and (rows := next(self._planned, None)) is not None:
            self._ahead.append(self._submitted(rows))

    def _submitted(self, rows: Tensor) -> Batch:
        return rows, [self._pool.submit(self._decode, row) for row in rows.tolist()]

    def _decode(self, row: int) -> np.ndarray:
        try:
            return self.images.decode(row)
        except DataError:
            if not self.blank_if_bad:
                raise
            return np.zeros(self.shape[1:], np.uint8)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="decode")

    def __reduce__(self) -> Any:
        return _streamed, (self.images, as_array(self.sums), self.blank_if_bad)


def _streamed(images: EncodedImages, sums: Any, blank_if_bad: bool) -> StreamedImages:
    return StreamedImages(images, as_tensor(sums), blank_if_bad=blank_if_bad)
