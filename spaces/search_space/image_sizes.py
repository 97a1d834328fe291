"""The image size as a choice: images are resized in front of blocks that suit their size."""

from collections.abc import Callable, Sequence

from ..blocks.backbone import Resize
from ..blocks.base import ShapeError
from ..parameters.domains import choice
from .space import Template

InputShape = tuple[int, int, int]
Templates = tuple[Template, ...]

INTERPOLATION = "bilinear"  # with antialiasing, as image files are resized


def with_image_sizes(
    blocks: Callable[[InputShape], Templates], input_shape: InputShape, image_size: int | Sequence[int] | None
) -> Templates:
    """Return the blocks for images of ``input_shape`` (C, H, W) that are resized to one of the sides ``image_size``.

    ``blocks`` returns the blocks for images of a shape. Sides with equal blocks share them and their choices. None
    leaves the images as they are, and so does the side that they have. The resizing is the first layer of the network,
    so that its costs are those of the smaller image, and a device reads the image in the size of the data.

    Raises ``ValueError`` if ``image_size`` is not a positive whole number or a list of these.
    """
    if image_size is None:
        return blocks(input_shape)
    sides_of: dict[Templates, list[Template]] = {}
    for side in checked_sizes(image_size):
        sides_of.setdefault(_blocks_at(blocks, input_shape[0], side), []).append(_resizing(input_shape, side))
    options = [(_choice(resizings), *templates) for templates, resizings in sides_of.items()]
    return options[0] if len(options) == 1 else (choice(*options),)


def checked_sizes(image_size: int | Sequence[int]) -> tuple[int, ...]:
    """Return the sides of images without repetitions; raise ``ValueError`` for other values."""
    sizes = tuple(image_size) if isinstance(image_size, Sequence) else (image_size,)
    if not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(
            f"image_size must be a whole number of pixels or a list of them, but got {image_size!r}; use 224, or leave "
            "it out"
        )
    return tuple(dict.fromkeys(sizes))


def _blocks_at(blocks: Callable[[InputShape], Templates], channels: int, side: int) -> Templates:
    try:
        return blocks((channels, side, side))
    except ShapeError as error:
        raise ShapeError(f"at an image size of {side}: {error}") from None


def _resizing(input_shape: InputShape, side: int) -> Template:
    return () if input_shape[1:] == (side, side) else Resize(side, INTERPOLATION)


def _choice(options: list[Template]) -> Template:
    return choice(*options) if len(options) > 1 else options[0]
