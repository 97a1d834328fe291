"""Image files as pixels: one file, or many in parallel threads."""

import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from ..process.cores import n_threads
from .decoding_rules import ON_BAD, Decoding
from .deep_values import is_deep_color, read_deep
from .errors import DataError
from .formats import HEAD_BYTES, describe_unreadable, holds_full_size, open_image
from .observations import ImageFacts
from .pixel_gate import LARGE, MAX_PIXELS, MAX_PIXELS_AT_ONCE, PixelGate, QuietPillow, release_memory
from .pixels import Placement, place, square
from .rules_1 import square_by_rules_1

if TYPE_CHECKING:
    pass

__all__ = ["Decoded", "Decoding", "decode", "decode_many", "decode_with_facts"]

Pixels = NDArray[np.uint8]
ImageSource = Path | bytes  # a file, or its content

_GATE, _QUIET = PixelGate(MAX_PIXELS_AT_ONCE), QuietPillow()  # of the process: all threads share its memory


class Decoded(NamedTuple):
    """The pixels of an image, uint8 (C, S, S), and what is known of its file."""

    pixels: Pixels
    facts: ImageFacts


class BadImage(NamedTuple):
    """An image that cannot be decoded: its position in the sources, and the message of its error."""

    position: int
    message: str


def decode(
    source: ImageSource, decoding: Decoding, *, name: str | None = None, crop: NDArray[Any] | None = None
) -> Pixels:
    """Return the image in ``source``, a file or its content, as uint8 (C, S, S), S = ``decoding.image_size``.

    ``crop`` (4,) are the numbers of :func:`~.crops.crop_boxes` that decide a part of the whole image, which is then
    resized to a square; None for ``decoding.resize``. Rules 1 have no crops. Raises :class:`DataError` with ``name``,
    by default the path, if the file is not an image, is broken or too large.
    """
    return decode_with_facts(source, decoding, name=name, crop=crop).pixels


def decode_with_facts(
    source: ImageSource, decoding: Decoding, *, name: str | None = None, crop: NDArray[Any] | None = None
) -> Decoded:
    """Return what :func:`decode` returns, and the facts that :class:`Observations` counts. Raises the same."""
    name = name or (str(source) if isinstance(source, Path) else "the image")
    with _open_stream(source, name) as stream, _QUIET:
        try:
            with open_image(stream) as image:
                pixels, facts = _decode_opened(image, stream, decoding, name, crop)
        except (DataError, MemoryError):
            raise
        except UnidentifiedImageError:
            raise _unreadable(stream, name) from None
        except Exception as error:  # any: decoders of damaged files raise errors of many kinds
            raise DataError(
                f"images must be decodable, but {name} is not: {_reason(error)}; replace or remove it"
            ) from error
    return Decoded(np.ascontiguousarray(pixels.transpose(2, 0, 1)), facts)


def decode_many(
    sources: Sequence[ImageSource],
    decoding: Decoding,
    *,
    names: Sequence[str] | None = None,
    threads: int | None = None,
    on_bad: str = "error",
    progress: Callable[[int], None] | None = None,
    observe: Callable[[int, Decoded], None] | None = None,
    out: Pixels | None = None,
) -> tuple[Pixels, list[BadImage]]:
    """Return the images of ``sources``, uint8 (N, C, S, S), decoded in parallel, and those that cannot be decoded.

    ``names`` are for messages. With ``on_bad="error"`` the first bad image raises its :class:`DataError`; with "skip"
    its pixels stay what they are in ``out`` (zeros by default) and it is listed. ``progress`` is called with the number
    of images done, and ``observe`` with the position and result of each image, one call at a time. ``out`` is the array
    to write to. ``threads`` is by default the number of CPUs that this process may use, at most 8.

    A source is taken from ``sources`` in the thread that decodes it, so that a lazy sequence is read in parallel. An
    error in taking it is handled as that of decoding it.
    """
    if on_bad not in ON_BAD:
        raise DataError(f"on_bad must be one of {', '.join(ON_BAD)}, but got {on_bad!r}; use {ON_BAD[0]!r}")
    shape = (len(sources), decoding.channels, decoding.image_size, decoding.image_size)
    job = _Job(sources, decoding, names, on_bad, progress, observe, np.zeros(shape, np.uint8) if out is None else out)
    n = max(1, min(threads or n_threads(), len(sources)))
    with ThreadPoolExecutor(n) as pool, _QUIET:
        try:
            for worker in [pool.submit(job.work) for _ in range(n)]:
                worker.result()
        finally:
            job.stopped = True  # an interrupt of this thread ends the others after their current image
    bad = sorted(job.bad)
    if bad and on_bad == "error":
        raise DataError(bad[0].message)
    return job.out, bad


class _Job:
    """The work of :func:`decode_many`, shared by its threads. Each takes the next position until none is left.

    Positions are handed out in order. Hence all before a bad one are in work when it fails, and the first bad image is
    the same in each run.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        decoding: Decoding,
        names: Sequence[str] | None,
        on_bad: str,
        progress: Callable[[int], None] | None,
        observe: Callable[[int, Decoded], None] | None,
        out: Pixels,
    ) -> None:
        self.sources, self.decoding, self.names, self.on_bad = sources, decoding, names, on_bad
        self.progress, self.observe, self.out = progress, observe, out
        self.bad: list[BadImage] = []
        self.stopped, self._done = False, 0
        self._lock, self._positions = threading.Lock(), iter(range(len(sources)))

    def work(self) -> None:
        """Decode images until all are taken or the job is stopped."""
        try:
            while (position := self._next()) is not None:
                self._decode(position)
        except BaseException:
            self.stopped = True
            raise

    def _next(self) -> int | None:
        with self._lock:
            return None if self.stopped else next(self._positions, None)

    def _decode(self, position: int) -> None:
        name = self.names[position] if self.names is not None else None
        decoded: Decoded | None = None
        try:
            decoded = decode_with_facts(self.sources[position], self.decoding, name=name)
            self.out[position] = decoded.pixels
        except DataError as error:
            with self._lock:
                self.bad.append(BadImage(position, str(error)))
                self.stopped |= self.on_bad == "error"
        self._report(position, decoded)

    def _report(self, position: int, decoded: Decoded | None) -> None:
        with self._lock:
            self._done += 1
            if self.observe is not None and decoded is not None:
                self.observe(position, decoded)
            if self.progress is not None:
                self.progress(self._done)


@contextmanager
def _open_stream(source: ImageSource, name: str) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    try:
        if not stat.S_ISREG(source.stat().st_mode):  # opening a pipe would wait for a writer
            raise DataError(f"an image must be a regular file, but {name} is not; remove it")
        stream = source.open("rb")
    except OSError as error:
        raise DataError(
            f"image files must be readable, but {name} is not: {error.strerror}; check its path and permissions"
        ) from None
    with stream:
        yield stream


def _decode_opened(
    image: ImageFile.ImageFile, stream: IO[bytes], decoding: Decoding, name: str, crop: NDArray[Any] | None
) -> tuple[Pixels, ImageFacts]:
    """Check the size of an opened image, then decode it: uint8 (S, S, C), and its facts."""
    size = image.size
    placement = place(image, decoding, crop) if decoding.rules > 1 else None  # it may set a JPEG to be decoded reduced
    width, height = size if holds_full_size(image) else image.size
    if placement is not None:
        _check_size(width * height, size, name)
    with _GATE.enter(width * height):
        try:
            pixels, used = _pixels(image, stream, placement, decoding, name)
        finally:
            image.close()  # its memory must be free before the next image is decoded
            if width * height > LARGE:
                release_memory()
    kept = min(size) / max(size) if decoding.resize == "crop" else 1.0
    return pixels, ImageFacts(size, kept, used)


def _pixels(
    image: ImageFile.ImageFile, stream: IO[bytes], placement: Placement | None, decoding: Decoding, name: str
) -> tuple[Pixels, float | None]:
    """Return the pixels of an image, uint8 (S, S, C), and the fraction of its range that is used, if it is known."""
    if placement is None:
        return _as_channels(square_by_rules_1(image, decoding.image_size), decoding.channels), None
    is_deep = is_deep_color(image)
    deep = read_deep(image, stream, decoding.value_range, name)
    pixels = _as_channels(Image.fromarray(square(image, deep, placement, decoding)), decoding.channels)
    return pixels, deep.used_range if deep is not None else _used_range(image) if is_deep else None


def _check_size(n_pixels: int, size: tuple[int, int], name: str) -> None:
    if n_pixels > MAX_PIXELS:
        raise DataError(
            f"images must have at most {MAX_PIXELS:,} pixels, but {name} has {size[0]:,} x {size[1]:,} = "
            f"{size[0] * size[1]:,}; make it smaller, or remove it"
        )


def _as_channels(square: Image.Image, channels: int) -> Pixels:
    """Return an RGB image as uint8 (S, S, channels). Pillow's weights for grey keep every level of a grey image."""
    return np.asarray(square) if channels == 3 else np.asarray(square.convert("L"))[..., None]


def _used_range(image: Image.Image) -> float:
    """Return the largest value of any colour as a fraction of its range."""
    extrema: Any = image.getextrema()[:3]
    return float(max(high for _, high in extrema)) / 255


def _unreadable(stream: IO[bytes], name: str) -> DataError:
    stream.seek(0)
    what, cure = describe_unreadable(stream.read(HEAD_BYTES), stream)
    return DataError(f"every image file must have a supported format, but {name} is {what}; {cure}")


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
