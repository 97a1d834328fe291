"""Images of any form as the input of a trained network: files, folders, PIL images, arrays and tensors.

Shapes: N images of C channels, H rows and W columns; S is the side of the training images.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..image_files.decoding import decode_many
from ..image_files.decoding_rules import Decoding
from ..image_files.errors import DataError
from ..image_files.formats import FORMATS

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # Pillow writes other modes without loss only to TIFF
# Suffixes of images that may be unreadable: decoding them gives an error with the reason, instead of leaving them out.
OTHER_SUFFIXES = (".heic", ".heif", ".svg", ".dcm", ".ico", ".psd", ".jxl")
_ITEMS = (str, Path, Image.Image, Tensor, np.ndarray)


@dataclass(frozen=True)
class ImageInput:
    """What a network takes: images of ``shape`` (C, H, W), and how files become them; None if they cannot."""

    shape: tuple[int, int, int]
    decoding: Decoding | None

    @classmethod
    def of(cls, shape: tuple[int, int, int], *, rules: int = 2) -> "ImageInput":
        """Return the input of a network whose training images were not files: files are cropped to the square."""
        channels, height, width = shape
        readable = channels in (1, 3) and height == width
        return cls(shape, Decoding(height, channels, rules=rules) if readable else None)

    def batches(self, images: Any, *, batch_size: int, resize: bool = False) -> Iterator[Tensor]:
        """Yield ``images`` as tensors (B, C, H, W), uint8 or float32 in [0, 1], in their order.

        ``images`` are a path of an image or of a folder, a PIL image, an array or tensor of one or several images, or a
        sequence of these. Files and PIL images are resized by the rule of ``decoding``, arrays only with ``resize``.
        Raises :class:`DataError` for a value that is not an image of the network.
        """
        items = image_items(images)
        if isinstance(items, Tensor):
            yield from torch.split(self._of_tensor(items, resize), batch_size) if items.numel() else ()
            return
        for start in range(0, len(items), batch_size):
            yield self._joined(items[start : start + batch_size], resize)

    def files(self, files: Sequence[Path]) -> tuple[Tensor, list[int], list[tuple[int, str]]]:
        """Decode ``files``; return their pixels, the positions of these, and position and message of the others."""
        pixels, bad = decode_many(files, self._decoding("files"), on_bad="skip")
        failed = {image.position: image.message for image in bad}
        good = [position for position in range(len(files)) if position not in failed]
        return torch.from_numpy(pixels[good] if bad else pixels), good, sorted(failed.items())

    def _joined(self, items: Sequence[Any], resize: bool) -> Tensor:
        """Return several images as one batch."""
        if all(isinstance(item, Path) for item in items):
            pixels, _, bad = self.files(items)
            if bad:
                raise DataError(bad[0][1])
            return pixels
        parts = [self._one(item, resize) for item in items]
        if len({part.dtype for part in parts}) > 1:  # some are uint8 and others float
            parts = [part.float() / 255 if part.dtype == torch.uint8 else part for part in parts]
        return torch.cat(parts)

    def _one(self, item: Any, resize: bool) -> Tensor:
        """Return one item as a tensor (1, C, H, W)."""
        if isinstance(item, Path):
            return self._joined([item], resize)
        if isinstance(item, Image.Image):
            return _decoded([_encoded(item)], self._decoding("PIL images"), "a PIL image")
        tensor = self._of_tensor(_tensor(item), resize)
        if len(tensor) != 1:
            raise DataError(
                f"a sequence of arrays must hold one image in each, but one has the shape {tuple(np.shape(item))}; "
                "join batches with numpy.concatenate"
            )
        return tensor

    def _of_tensor(self, images: Tensor, resize: bool) -> Tensor:
        """Return an array of one or several images as (N, C, H, W), uint8 or float32 in [0, 1]."""
        batch = to_pixels(channels_first(images, self.shape))
        if batch.shape[1:] == self.shape:
            return batch
        if not resize:
            sizes = " x ".join(map(str, batch.shape[2:]))
            raise DataError(
                f"arrays must hold images of {self.shape[1]} x {self.shape[2]} pixels, but these have {sizes}; "
                "pass resize=True, or resize them as the training images were"
            )
        return resized(batch, self._decoding("arrays of another size"))

    def _decoding(self, what: str) -> Decoding:
        if self.decoding is None:
            raise DataError(
                f"{what} become square images of 1 or 3 channels, but the network takes {self.shape}; "
                "pass the images as an array of this shape"
            )
        return self.decoding


@dataclass(frozen=True)
class Listing:
    """The ``images`` of a path, and the number of ``others``: files of a folder that are not images by their suffix."""

    images: tuple[Path, ...]
    others: int = 0


def list_images(path: Path) -> Listing:
    """List ``path`` itself, or the images in the folder ``path`` and below it, sorted, without hidden files.

    Raises :class:`DataError` if there is no such path, or no image in the folder.
    """
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"an image file must exist, but {path} does not; check the path")
        return Listing((path,))
    suffixes = image_suffixes()
    inside = [file for file in sorted(path.rglob("*")) if not _is_hidden(file.relative_to(path)) and file.is_file()]
    images = tuple(file for file in inside if file.suffix.lower() in suffixes)
    if not images:
        other = f"only {len(inside)} other files, such as {inside[0].name}" if inside else "no files"
        raise DataError(f"a folder must have images such as .png or .jpg, but {path} has {other}; check the path")
    return Listing(images, len(inside) - len(images))


def image_suffixes() -> frozenset[str]:
    """Return the suffixes of image files, in lower case with their dot."""
    known = Image.registered_extensions()
    return frozenset({*(suffix for suffix, name in known.items() if name in FORMATS), *OTHER_SUFFIXES})


def channels_first(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return one or several images as (N, C, H, W).

    Accepted are (N, C, H, W), (N, H, W, C), one image (C, H, W) or (H, W, C), and for C = 1 also (N, H, W) and (H, W).
    If both orders of the axes are possible, the one with the height and width of ``shape`` is meant.
    """
    channels = shape[0]
    if channels == 1 and images.dim() in (2, 3) and 1 not in (images.shape[0], images.shape[-1]):
        images = images.reshape(-1, 1, *images.shape[-2:])
    if images.dim() == 3:
        images = images.unsqueeze(0)
    if images.dim() != 4:
        raise DataError(
            f"images must have the axes (N, C, H, W), (N, H, W, C), (C, H, W) or (H, W, C), but got an array of shape "
            f"{tuple(images.shape)}; add or remove axes"
        )
    orders = {"first": images, "last": images.permute(0, 3, 1, 2)}
    possible = {name: order for name, order in orders.items() if order.shape[1] == channels}
    exact = {name: order for name, order in possible.items() if order.shape[1:] == shape}
    chosen = list((exact or possible).values())
    if len(chosen) == 1 or (chosen and exact):
        return chosen[0]
    problem = "either order" if chosen else "neither order"
    raise DataError(
        f"images must have {channels} channels on the second or on the last axis, but {tuple(images.shape)} fits "
        f"{problem}; convert them to {'grey' if channels == 1 else 'RGB' if channels == 3 else f'{channels} channels'} "
        "or transpose them"
    )


def to_pixels(images: Tensor) -> Tensor:
    """Return images as uint8, or as float32 in [0, 1].

    Integers of any type must be from 0 to 255 and become uint8. Floats must be in [0, 1]. Raises :class:`DataError`
    with the range of other values.
    """
    if images.dtype == torch.uint8:
        return images
    if images.dtype == torch.bool or images.is_complex():
        raise DataError(f"pixels must be integers or floats, but got {_name(images)}; convert them to uint8")
    if not images.numel():
        return images.to(torch.uint8)
    if not images.is_floating_point():
        images = images.to(torch.int64)  # torch cannot compare all types of integers
    low, high = images.min().item(), images.max().item()
    if not images.is_floating_point():
        if low < 0 or high > 255:
            raise DataError(
                f"integer pixels must be from 0 to 255, but these {_name(images)} are from {low} to {high}; "
                "scale them to this range"
            )
        return images.to(torch.uint8)
    if not (low >= 0 and high <= 1):  # also if there is a NaN
        hint = (
            "NaN is not a pixel: remove these images"
            if low != low
            else "divide them by 255"
            if 1 < high <= 255 and low >= 0
            else "scale them to this range"
        )
        raise DataError(
            f"float pixels must be in [0, 1], but these {_name(images)} are from {low:g} to {high:g}; {hint}"
        )
    return images.float()


def resized(images: Tensor, decoding: Decoding) -> Tensor:
    """Return images (N, C, H, W) resized by the rule for files, uint8 (N, C, S, S); floats are rounded to 8 bits."""
    if images.is_floating_point():
        images = (images * 255).round().to(torch.uint8)
    arrays = images.permute(0, 2, 3, 1).cpu().numpy()
    pil_images = (Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array) for array in arrays)
    return _decoded([_encoded(image) for image in pil_images], decoding, "an array")


def _decoded(contents: Sequence[bytes], decoding: Decoding, name: str) -> Tensor:
    """Return images in memory, in the form of files, as uint8 (N, C, S, S); ``name`` is for messages."""
    return torch.from_numpy(decode_many(contents, decoding, names=[name] * len(contents))[0])


def image_items(images: Any) -> Tensor | list[Any]:
    """Return one tensor, or a list whose items are paths of files, PIL images, arrays and tensors."""
    if isinstance(images, str | Path):
        return list(list_images(Path(images)).images)
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, Tensor | np.ndarray) or not isinstance(images, Iterable):
        return _array_or_paths(images)
    if not isinstance(images, Sequence) and hasattr(images, "__array__"):  # a column of a data frame
        return _array_or_paths(images)
    items = list(images)
    if items and not isinstance(items[0], _ITEMS):
        return _array_or_paths(items)  # nested lists of numbers
    return [one for item in items for one in (image_items(item) if isinstance(item, str | Path) else [item])]


def _array_or_paths(images: Any) -> Tensor | list[Any]:
    if isinstance(images, Tensor):
        return _tensor(images)
    try:
        array = np.asarray(images)
    except (ValueError, TypeError) as error:
        raise DataError(f"images must be an array of numbers, but got {type(images).__name__}: {error}") from None
    if array.dtype.kind in "OUT":
        items = array.ravel().tolist()
        if not all(isinstance(item, _ITEMS) for item in items):
            raise DataError(
                f"images must be paths, PIL images or arrays of numbers, but got {items[0]!r}; convert them"
            )
        return image_items(items)
    return _tensor(array) if array.size or array.ndim > 1 else []


def _tensor(array: Any) -> Tensor:
    """Return an array as a tensor; torch has no big-endian numbers, negative strides or texts."""
    if isinstance(array, Tensor):
        return array.detach().cpu()
    array = np.asarray(array)
    if array.dtype.kind not in "buifc":
        raise DataError(
            f"images must be paths, PIL images or arrays of numbers, but got {array.dtype}; convert them to uint8"
        )
    if array.dtype.kind in "ui" and array.dtype != np.uint8:
        array = array.clip(None, np.iinfo(np.int64).max).astype(np.int64) if array.dtype == np.uint64 else array
        array = array.astype(np.int64)
    if array.dtype.kind == "f":
        array = array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64)
    array = np.asarray(array, order="C")
    # torch warns of arrays that are read-only
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _encoded(image: Image.Image) -> bytes:
    """Return a PIL image as a file without loss, so that it takes the way of image files."""
    content = io.BytesIO()
    upright = ImageOps.exif_transpose(image)
    # level 1: these bytes are read again at once, so that speed matters and size does not
    upright.save(content, "PNG" if upright.mode in PNG_MODES else "TIFF", compress_level=1)
    return content.getvalue()


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
