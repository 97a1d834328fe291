"""Images as they are in their files: an index, and how each image becomes pixels."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..image_files.decoding import Decoding, decode
from ..image_files.errors import DataError
from ..image_files.index import Index


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """The N images of ``index``, which ``decoding`` turns into uint8 (N, C, S, S). It can be pickled.

    ``on_bad``: "error" if an image that cannot be decoded is an error, "skip" if it is left out.
    """

    index: Index
    decoding: Decoding
    on_bad: str = "error"

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all images: (N, C, S, S)."""
        side = self.decoding.image_size
        return len(self), self.decoding.channels, side, side

    @property
    def nbytes(self) -> int:
        """Bytes of all decoded images."""
        return int(np.prod(self.shape, dtype=np.int64))

    @cached_property
    def key(self) -> str:
        """The sha256 of the encoded images in their order, and of the decoding: equal keys mean equal pixels.

        Labels and splits do not change it, so that other splits of the same images use the same cache.
        """
        digest = hashlib.sha256(json.dumps(self.decoding.to_json(), sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.index.digests).data)
        return digest.hexdigest()

    def decode(self, row: int, crop: np.ndarray | None = None) -> np.ndarray:
        """Return the image at ``row``, or its ``crop``, uint8 (C, S, S); see :func:`~..image_files.decoding.decode`.

        Raises :class:`DataError` if it cannot be decoded.
        """
        return decode(self.index.source(row), self.decoding, name=self.index.name(row), crop=crop)


class LazySources(Sequence[Path | bytes]):
    """The sources of some rows; the bytes of a row are read when it is taken, by the thread that decodes it.

    With ``check`` they are compared with the digests of the index; ``errors`` has those of images that differ.
    """

    def __init__(self, index: Index, rows: Sequence[int], *, check: bool = False) -> None:
        self._index, self._rows, self._check, self.errors = index, rows, check, list[DataError]()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> Path | bytes:  # type: ignore[override]
        row = self._rows[position]
        if not self._check:
            return self._index.source(row)
        try:
            return self._index.unchanged_source(row)
        except DataError as error:
            self.errors.append(error)
            raise


class LazyNames(Sequence[str]):
    """The names of some rows, for messages."""

    def __init__(self, index: Index, rows: Sequence[int]) -> None:
        self._index, self._rows = index, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> str:  # type: ignore[override]
        return self._index.name(self._rows[position])
