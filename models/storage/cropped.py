"""Images of which each is shown as one crop, for an epoch of training.

Shapes: images (B, C, S, S); ``draws`` (B, 4) in [0, 1), see :func:`~archsieve.models.image_files.crops.crop_boxes`.
"""

from collections.abc import Sequence

from torch import Tensor

from .images import Images, StoredImages, stored


class CroppedImages(StoredImages):
    """The images of ``images``, each cropped by its row of ``draws`` (N, 4) and resized to the same side.

    Where the images stay encoded, the crop is of the full image; otherwise of the stored pixels.
    """

    def __init__(self, images: Images, draws: Tensor) -> None:
        super().__init__(images.shape, images.dtype, images.device)
        self.images, self.draws = stored(images), draws.to(images.device)

    def rows_at(self, rows: Tensor) -> Tensor:
        return self.images.crops_at(rows, self.draws[rows])

    def prefetch(self, batches: Sequence[Tensor], draws: Sequence[Tensor] | None = None) -> None:
        self.images.prefetch(batches, [self.draws[batch] for batch in batches])
