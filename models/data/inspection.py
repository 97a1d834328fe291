"""What is in a data set: classes, splits, sizes, copies, wrong labels, images without content, unreadable files."""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..image_files.byte_access import unreadable
from ..image_files.decoding import decode, decode_with_facts
from ..image_files.decoding_rules import Decoding
from ..image_files.errors import DataError
from ..image_files.formats import open_image
from ..image_files.index import Index
from ..image_files.observations import Observations, is_constant
from ..process.cores import n_threads
from ..readers.labels import class_counts
from ..storage.choice import StorageChoice, StorageOptions
from ..storage.encoded import EncodedImages
from ..storage.open_images import choice_for
from .equal_images import EqualImages, check_no_overlap

MAX_EXAMINED = 10_000  # images that are opened; of more a sample
MAX_EXAMPLES = 3
MAX_SETS = 10  # of labels that are shown
PIXEL_MODES = {"1": "black and white", "L": "grey", "P": "palette", "RGB": "RGB", "RGBA": "RGB + alpha"}


class Spread(NamedTuple):
    """Smallest, median and largest value."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: list[int]) -> "Spread | None":
        """Return the spread of ``values``; None without any."""
        return cls(min(values), float(np.median(values)), max(values)) if values else None


@dataclass(frozen=True)
class LabelSets:
    """The labels of images that may have several: how many images have each number of labels, and each set of them.

    ``sets`` has the most frequent ones, ``n_sets`` counts all.
    """

    per_image: Mapping[int, int]
    sets: Mapping[str, int]
    n_sets: int

    @classmethod
    def of(cls, index: Index) -> "LabelSets | None":
        """Return the sets of labels of ``index``; None if each image has one label."""
        if not index.multi_label:
            return None
        _, first, counts = np.unique(index.label_sets, return_index=True, return_counts=True)
        frequent = np.argsort(-counts, kind="stable")[:MAX_SETS]
        numbers, images = np.unique(index.labels.sum(1), return_counts=True)
        return cls(
            dict(zip(numbers.tolist(), images.tolist(), strict=True)),
            {index.label_text(int(first[at])): int(counts[at]) for at in frequent},
            len(counts),
        )


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect_images` found.

    ``classes`` and ``splits`` map names to numbers of images; ``splits`` are those that were published. ``examined``
    images were opened: ``width`` and ``height`` are in pixels, ``channels`` and ``formats`` count images. ``constant``
    images have a single colour, ``odd`` files cannot be decoded. Of all images, ``duplicates`` repeat another one,
    ``conflicts`` equal one of another class, and ``overlap`` is the error for equal images in two splits. ``examples``
    has the first three of each. ``imbalance`` is the number of images of the most frequent class relative to the rarest
    one. ``label_sets`` is None if each image has one label. ``decode_s`` is the estimated time to decode all images.
    """

    reader: str
    root: str
    rows: int
    classes: Mapping[str, int]
    splits: Mapping[str, int]
    image_size: int
    examined: int
    width: Spread | None
    height: Spread | None
    channels: Mapping[str, int]
    formats: Mapping[str, int]
    constant: int
    odd: int
    duplicates: int
    conflicts: int
    overlap: str | None
    examples: Mapping[str, list[Any]]
    storage: StorageChoice
    decode_s: float
    imbalance: float
    label_sets: LabelSets | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        spreads = {key: value and value._asdict() for key, value in (("width", self.width), ("height", self.height))}
        return {**asdict(self), **spreads}


@dataclass
class _Findings:
    """What was found in the images that were opened."""

    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    constant: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    observations: Observations = field(default_factory=Observations)
    seconds: float = 0.0


def inspect_images(
    index: Index,
    decoding: Decoding,
    *,
    storage: StorageOptions | None = None,
    stored: Index | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspection:
    """Examine the images of ``index``: at most :data:`MAX_EXAMINED` are decoded, and all are read to find copies.

    ``stored`` is the index of the images in the order in which a search stores them; None for ``index``.
    """
    index = index.with_digests()
    equal = EqualImages.of(index)
    rows = sample_rows(index, MAX_EXAMINED)
    found = _examine(index.take(rows), decoding, progress)
    counts = class_counts(index.labels, len(index.classes)).tolist()
    conflicts = equal.conflicts
    return Inspection(
        reader=index.reader,
        root=index.root,
        rows=len(index),
        classes=dict(zip(index.classes, counts, strict=True)),
        splits={split: len(of_split) for split, of_split in index.rows.items()},
        image_size=decoding.image_size,
        examined=len(rows),
        width=Spread.of(found.widths),
        height=Spread.of(found.heights),
        channels=dict(found.modes.most_common()),
        formats=dict(found.formats.most_common()),
        constant=len(found.constant),
        odd=len(found.odd),
        duplicates=equal.n_copies,
        conflicts=sum(map(len, conflicts)),
        overlap=_overlap(index),
        examples={
            "constant": found.constant[:MAX_EXAMPLES],
            "odd": found.odd[:MAX_EXAMPLES],
            "duplicates": equal.examples(equal.sets),
            "conflicts": equal.examples(conflicts),
        },
        storage=choice_for(EncodedImages(index if stored is None else stored, decoding), storage or StorageOptions()),
        decode_s=found.seconds * len(index) / max(1, len(rows)),
        imbalance=max(counts) / max(1, min(counts)),
        label_sets=LabelSets.of(index),
        notes=(*index.notes, *found.observations.notes(decoding)),
    )


def sample_rows(index: Index, limit: int, *, seed: int = 0) -> np.ndarray:
    """Return at most ``limit`` rows, ascending, drawn by ``seed``."""
    if len(index) <= limit:
        return np.arange(len(index))
    return np.sort(np.random.default_rng(seed).choice(len(index), limit, replace=False))


def image_sizes(index: Index, *, limit: int = 200) -> list[tuple[int, int]]:
    """Return width and height in pixels of at most ``limit`` images; those that cannot be opened are left out."""
    sizes = []
    for row in sample_rows(index, limit).tolist():
        try:
            sizes.append(_header(index.source(row))[0])
        except Exception:  # what Pillow raises for damaged files; the search names them
            continue
    return sizes


def _overlap(index: Index) -> str | None:
    try:
        check_no_overlap(index)
    except DataError as error:
        return str(error)
    return None


def _examine(index: Index, decoding: Decoding, progress: Callable[[int, int], None]) -> _Findings:
    found, started = _Findings(), perf_counter()

    def look(row: int) -> tuple[int, Any]:
        try:
            source = index.source(row)
            decoded = decode_with_facts(source, decoding, name=index.name(row))
            return row, (*_header(source), decoded)
        except DataError as error:
            return row, str(error)
        except OSError as error:  # it was removed in the meantime
            return row, str(unreadable(Path(index.name(row)), error))

    with ThreadPoolExecutor(n_threads()) as pool:
        for done, (row, result) in enumerate(pool.map(look, index.read_order.tolist()), start=1):
            if isinstance(result, str):
                found.odd.append(result)
            else:
                (width, height), mode, kind, decoded = result
                found.widths.append(width)
                found.heights.append(height)
                found.modes[PIXEL_MODES.get(mode, mode)] += 1
                found.formats[kind] += 1
                found.constant += [index.name(row)] if is_constant(decoded.pixels) else []
                found.observations.add(decoded.pixels, decoded.facts, index.name(row))
            progress(done, len(index))
    found.seconds = perf_counter() - started
    return found


def _header(source: Path | bytes) -> tuple[tuple[int, int], str, str]:
    """Return size, mode and format of an image from its header."""
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream, open_image(stream) as image:
        return image.size, image.mode, str(image.format)


def contact_sheet(index: Index, decoding: Decoding, file: Path, *, columns: int = 8, max_classes: int = 16) -> None:
    """Write an image with a row of samples for each class, as a network sees them, to ``file``.

    Raises :class:`DataError` if Pillow cannot write the format that the suffix names.
    """
    from PIL import Image, ImageDraw

    side, label_height = max(32, min(96, decoding.image_size)), 14
    shown = index.classes[:max_classes]
    sheet = Image.new("RGB", (columns * side, len(shown) * (side + label_height)), "white")
    draw, labels = ImageDraw.Draw(sheet), index.labels
    for line, name in enumerate(shown):
        rows = np.flatnonzero(labels[:, line] if index.multi_label else labels == line)
        top = line * (side + label_height)
        draw.text((2, top), f"{name} ({len(rows):,})", fill="black")
        for column, row in enumerate(rows[sample_positions(len(rows), columns)].tolist()):
            if (tile := _tile(index, decoding, row, side)) is not None:
                sheet.paste(tile, (column * side, top + label_height))
    try:
        sheet.save(file)
    except ValueError as error:
        raise DataError(f"a contact sheet must be an image file, but {file}: {error}; use sheet.png") from None


def sample_positions(n: int, count: int) -> np.ndarray:
    """Return ``count`` positions spread evenly over 0..n-1, or all of them."""
    return np.unique(np.linspace(0, n - 1, min(n, count)).round().astype(np.int64))


def _tile(index: Index, decoding: Decoding, row: int, side: int) -> Any:
    from PIL import Image

    try:
        pixels = decode(index.source(row), decoding)
    except DataError:
        return None
    tile = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return tile.resize((side, side), Image.Resampling.NEAREST)
