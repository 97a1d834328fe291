"""The image files of a data set, to be decoded in another way: networks differ in how images are resized."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..image_files.decoding_rules import Decoding
from .choice import StorageOptions
from .encoded import EncodedImages
from .images import RowsOf
from .open_images import reopened
from .sharing import as_array, as_tensor


@dataclass(frozen=True, eq=False)
class FileImages:
    """The files of ``images``, and the ``rows`` of each split in them, int64 (N,), by the name of the split.

    ``from_network`` are the names of the options of the decoding that each network sets: "interpolation", "crop_pct".
    ``storage`` is that of the data set.
    """

    images: EncodedImages
    rows: Mapping[str, torch.Tensor]
    storage: StorageOptions
    from_network: tuple[str, ...]

    def decoding_for(self, **options: Any) -> Decoding:
        """Return the decoding with those of ``options`` that a network sets; "crop_pct" only where images are cropped.

        ``options`` are "interpolation" and "crop_pct".
        """
        decoding = self.images.decoding
        names = [name for name in self.from_network if name != "crop_pct" or decoding.resize == "crop"]
        return decoding if decoding.rules == 1 else replace(decoding, **{name: options[name] for name in names})

    def decoded(self, decoding: Decoding) -> dict[str, RowsOf]:
        """Return the images of each split by ``decoding``; images in memory are decoded here, once for each call."""
        images = reopened(replace(self.images, decoding=decoding), self.storage)
        return {part: RowsOf(images, rows) for part, rows in self.rows.items()}

    def __reduce__(self) -> Any:
        rows = {part: as_array(rows) for part, rows in self.rows.items()}
        return _file_images, (self.images, rows, self.storage, self.from_network)


def _file_images(
    images: EncodedImages, rows: Mapping[str, Any], storage: StorageOptions, names: tuple[str, ...]
) -> FileImages:
    return FileImages(images, {part: as_tensor(row) for part, row in rows.items()}, storage, names)
