"""Images that are decoded for each batch, by threads that read ahead: for data larger than the disk and the memory."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class DecodingBatch:
    """The images at ``rows`` (B,), or their crops by ``draws`` (B, 4), which are being decoded."""

    rows: Tensor
    draws: Tensor | None
    images: "list[Future[np.ndarray]]"

    def is_of(self, rows: Tensor, draws: Tensor | None) -> bool:
        """Return whether these are the images or crops that are wanted."""
        same = (draws is None) == (self.draws is None) and torch.equal(self.rows, rows)
        return same and (draws is None or self.draws is None or torch.equal(self.draws, draws))


class StreamedImages(StoredImages):
    """Images that stay encoded; each batch is decoded by as many threads as torch may use in this process.

    ``sums`` (N, 2, C) int64 are the channel sums of each image, for exact statistics of the data set, or None. With
    ``blank_if_bad``, for a forecast, an image that cannot be decoded is zeros instead of an error.
    """

    def __init__(self, images: EncodedImages, sums: Tensor | None, *, blank_if_bad: bool = False) -> None:
        super().__init__(images.shape, torch.uint8)
        self.images, self.sums, self.blank_if_bad = images, sums, blank_if_bad
        self._planned: Iterator[tuple[Tensor, Tensor | None]] = iter(())
        self._ahead: deque[DecodingBatch] = deque()

    def rows_at(self, rows: Tensor) -> Tensor:
        return self._decoded(rows, None)

    def crops_at(self, rows: Tensor, draws: Tensor) -> Tensor:
        # the pixels of version 0.1.0 are those of the whole image
        return super().crops_at(rows, draws) if self.images.decoding.rules == 1 else self._decoded(rows, draws)

    def _decoded(self, rows: Tensor, draws: Tensor | None) -> Tensor:
        if self._ahead and self._ahead[0].is_of(rows, draws):
            batch = self._ahead.popleft()
            self._read_ahead()
        else:
            batch = self._submitted(rows, draws)
        return torch.from_numpy(np.stack([image.result() for image in batch.images]))

    def channel_sums(self, rows: Tensor | None = None) -> Tensor | None:
        return None if self.sums is None else sums_of(self.sums, rows)

    def prefetch(self, batches: Sequence[Tensor], draws: Sequence[Tensor] | None = None) -> None:
        for batch in self._ahead:
            for image in batch.images:
                image.cancel()
        self._ahead.clear()
        crops = [None] * len(batches) if draws is None or self.images.decoding.rules == 1 else draws
        self._planned = zip(batches, crops, strict=True)
        self._read_ahead()

    def prepare(self) -> None:
        for row in {0, len(self) // 2, len(self) - 1}:
            self.images.index.unchanged_source(row)
            self.images.decode(row)

    def moved_to(self, device: torch.device) -> StoredImages:
        return MovedPerBatch(self, device)

    def _read_ahead(self) -> None:
        while len(self._ahead) < N_AHEAD and (planned := next(self._planned, None)) is not None:
            self._ahead.append(self._submitted(*planned))

    def _submitted(self, rows: Tensor, draws: Tensor | None) -> DecodingBatch:
        crops = [None] * len(rows) if draws is None else draws.numpy()
        pairs = zip(rows.tolist(), crops, strict=True)
        return DecodingBatch(rows, draws, [self._pool.submit(self._decode, row, crop) for row, crop in pairs])

    def _decode(self, row: int, crop: np.ndarray | None) -> np.ndarray:
        try:
            return self.images.decode(row, crop)
        except DataError:
            if not self.blank_if_bad:
                raise
            return np.zeros(self.shape[1:], np.uint8)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="decode")

    def __reduce__(self) -> Any:
        return _streamed, (self.images, None if self.sums is None else as_array(self.sums), self.blank_if_bad)


def _streamed(images: EncodedImages, sums: Any, blank_if_bad: bool) -> StreamedImages:
    return StreamedImages(images, None if sums is None else as_tensor(sums), blank_if_bad=blank_if_bad)
