"""Images that are not one tensor: views of rows, joined parts, and what the storages give.

Shapes: N images (N, C, H, W); B of them are read at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .sharing import as_array, as_tensor
from .tensor_crops import cropped

GPU_FRACTION = 0.5  # of the free memory of a GPU that images may take; networks need the rest


class StoredImages(ABC):
    """Images (N, C, H, W) with a part of a tensor's interface: ``shape``, ``dtype``, ``len``, ``to`` and indexing.

    Indexing by an int, a slice or an int64 tensor (B,) returns a tensor on ``device``. An object is never changed;
    what :meth:`to` returns is kept, so that several views of the same images share one copy on a GPU.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        self.shape, self.dtype, self.device = torch.Size(shape), dtype, torch.device(device)
        self._moved: dict[torch.device, StoredImages] = {}

    @abstractmethod
    def rows_at(self, rows: Tensor) -> Tensor:
        """Return the images at ``rows`` (B,) int64, a tensor (B, C, H, W) on ``device``."""

    def channel_sums(self, rows: Tensor | None = None) -> Tensor | None:
        """Return the sums of the pixel values and of their squares at ``rows``, (2, C) float64; None if unknown.

        Pixels are whole numbers, so the sums are exact. ``rows`` None: of all images.
        """
        return None

    def crops_at(self, rows: Tensor, draws: Tensor) -> Tensor:
        """Return a crop of each image at ``rows``, a tensor (B, C, H, W); ``draws`` (B, 4) decide where.

        The crops are of the stored pixels, or of the whole image file where the images stay encoded.
        """
        return cropped(self.rows_at(rows), draws)

    def prefetch(self, batches: Sequence[Tensor], draws: Sequence[Tensor] | None = None) -> None:
        """Announce the next calls of :meth:`rows_at`, or with ``draws`` of :meth:`crops_at`; a storage may read ahead.

        Earlier announcements end.
        """
        return

    def prepare(self) -> None:
        """Make the images readable on this machine. Raises :class:`DataError` if they are not there."""
        return

    def moved_to(self, device: torch.device) -> "StoredImages":
        """Return the images on ``device``: copied if they take at most half of its free memory, else batch by batch."""
        if device.type == "cuda" and self.nbytes <= GPU_FRACTION * torch.cuda.mem_get_info(device)[0]:
            return TensorImages(_copied(self, device))
        return MovedPerBatch(self, device)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "StoredImages":
        """Return the images on ``device``; ``self`` if they are there."""
        target = torch.device(device)
        if target.type == self.device.type:
            return self
        if target not in self._moved:
            self._moved[target] = self.moved_to(target)
        return self._moved[target]

    def dim(self) -> int:
        """Return 4, as a tensor of images does."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all images as one tensor."""
        return self.shape.numel() * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        if isinstance(index, int):
            return self.rows_at(torch.tensor([range(len(self))[index]], device=self.device))[0]
        if isinstance(index, slice):
            index = torch.arange(*index.indices(len(self)), device=self.device)
        return self.rows_at(index)


Images = Tensor | StoredImages


class TensorImages(StoredImages):
    """A tensor in memory that several views share; it is pickled once, without a private copy in each worker."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor.shape, tensor.dtype, tensor.device)
        self.tensor = tensor

    def rows_at(self, rows: Tensor) -> Tensor:
        return self.tensor[rows]

    def moved_to(self, device: torch.device) -> StoredImages:
        return TensorImages(self.tensor.to(device))

    def __reduce__(self) -> Any:
        return _tensor_images, (as_array(self.tensor),)


class RowsOf(StoredImages):
    """The images at ``rows`` (N,) int64 of other images, without a copy."""

    def __init__(self, images: StoredImages, rows: Tensor) -> None:
        super().__init__((len(rows), *images.shape[1:]), images.dtype, images.device)
        self.images, self.rows = images, rows

    def rows_at(self, rows: Tensor) -> Tensor:
        return self.images.rows_at(self.rows[rows])

    def crops_at(self, rows: Tensor, draws: Tensor) -> Tensor:
        return self.images.crops_at(self.rows[rows], draws)

    def channel_sums(self, rows: Tensor | None = None) -> Tensor | None:
        return self.images.channel_sums(self.rows if rows is None else self.rows[rows])

    def prefetch(self, batches: Sequence[Tensor], draws: Sequence[Tensor] | None = None) -> None:
        self.images.prefetch([self.rows[batch] for batch in batches], draws)

    def prepare(self) -> None:
        self.images.prepare()

    def moved_to(self, device: torch.device) -> StoredImages:
        return RowsOf(self.images.to(device), self.rows.to(device))

    def __reduce__(self) -> Any:
        return _rows_of, (self.images, as_array(self.rows))


class Joined(StoredImages):
    """The images of several parts, one after another, without a copy."""

    def __init__(self, parts: Sequence[StoredImages]) -> None:
        first = parts[0]
        super().__init__((sum(map(len, parts)), *first.shape[1:]), first.dtype, first.device)
        self.parts = tuple(parts)

    def rows_at(self, rows: Tensor) -> Tensor:
        batch = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype, device=self.device)
        for part, inside, within in self._split(rows):
            batch[inside] = part.rows_at(within)
        return batch

    def crops_at(self, rows: Tensor, draws: Tensor) -> Tensor:
        batch = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype, device=self.device)
        for part, inside, within in self._split(rows):
            batch[inside] = part.crops_at(within, draws[inside])
        return batch

    def channel_sums(self, rows: Tensor | None = None) -> Tensor | None:
        chosen = torch.arange(len(self)) if rows is None else rows
        sums = [part.channel_sums(within) for part, _, within in self._split(chosen)]
        known = [one for one in sums if one is not None]
        return torch.stack(known).sum(0) if len(known) == len(sums) else None

    @classmethod
    def of(cls, parts: Sequence[StoredImages]) -> StoredImages:
        """Return the images of ``parts``; views of one storage become one view, so that it reads ahead for all."""
        views = [part for part in parts if isinstance(part, RowsOf)]
        if len(views) == len(parts) and all(view.images is views[0].images for view in views):
            return RowsOf(views[0].images, torch.cat([view.rows for view in views]))
        return cls(parts)

    def prefetch(self, batches: Sequence[Tensor], draws: Sequence[Tensor] | None = None) -> None:
        for number, part in enumerate(self.parts):
            inside = [
                (k, mask, within)
                for k, batch in enumerate(batches)
                for n, mask, within in self._numbered(batch)
                if n == number
            ]
            of_part = None if draws is None else [draws[k][mask] for k, mask, _ in inside]
            part.prefetch([within for _, _, within in inside], of_part)

    def prepare(self) -> None:
        for part in self.parts:
            part.prepare()

    def _split(self, rows: Tensor) -> Iterator[tuple[StoredImages, Tensor, Tensor]]:
        """Yield each part that has some of ``rows``, with where they are in ``rows`` (bool) and in the part."""
        for number, inside, within in self._numbered(rows):
            yield self.parts[number], inside, within

    def _numbered(self, rows: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        start = 0
        for number, part in enumerate(self.parts):
            inside = (rows >= start) & (rows < start + len(part))
            if inside.any():
                yield number, inside, rows[inside] - start
            start += len(part)


class MovedPerBatch(StoredImages):
    """Images that stay where they are; each batch is copied to ``device``."""

    def __init__(self, images: StoredImages, device: torch.device) -> None:
        super().__init__(images.shape, images.dtype, device)
        self.images = images

    def rows_at(self, rows: Tensor) -> Tensor:
        return self.images.rows_at(rows.to(self.images.device)).to(self.device, non_blocking=True)

    def crops_at(self, rows: Tensor, draws: Tensor) -> Tensor:
        source = self.images.device
        return self.images.crops_at(rows.to(source), draws.to(source)).to(self.device, non_blocking=True)

    def channel_sums(self, rows: Tensor | None = None) -> Tensor | None:
        return self.images.channel_sums(None if rows is None else rows.to(self.images.device))

    def prefetch(self, batches: Sequence[Tensor], draws: Sequence[Tensor] | None = None) -> None:
        source = self.images.device
        of_source = None if draws is None else [draw.to(source) for draw in draws]
        self.images.prefetch([batch.to(source) for batch in batches], of_source)

    def prepare(self) -> None:
        self.images.prepare()

    def moved_to(self, device: torch.device) -> StoredImages:
        return self.images.to(device)


def stored(images: Images) -> StoredImages:
    """Return ``images`` with the interface of a storage."""
    return TensorImages(images) if isinstance(images, Tensor) else images


def batches_of(images: Images, size: int) -> Iterator[Tensor]:
    """Yield all images in their order, ``size`` at a time; those of a storage are read ahead."""
    if isinstance(images, Tensor):
        yield from torch.split(images, size)
        return
    batches = torch.split(torch.arange(len(images), device=images.device), size)
    images.prefetch(batches)
    for batch in batches:
        yield images.rows_at(batch)


def _copied(images: StoredImages, device: torch.device, size: int = 1024) -> Tensor:
    """Return all images as one tensor on ``device``; in parts, because a second copy may not fit into memory."""
    tensor, start = torch.empty(images.shape, dtype=images.dtype, device=device), 0
    for batch in batches_of(images, size):
        tensor[start : start + len(batch)] = batch
        start += len(batch)
    return tensor


def _tensor_images(array: Any) -> TensorImages:
    return TensorImages(as_tensor(array))


def _rows_of(images: StoredImages, rows: Any) -> RowsOf:
    return RowsOf(images, as_tensor(rows))
