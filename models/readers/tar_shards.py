"""Tar shards as WebDataset writes them: an image and its label, or class folders, read by the place of the members."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
import pyarrow as pa

from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from .labels import check_split_classes, encode_labels
from .split_names import is_ignored, split_in

IMAGE_SUFFIXES = frozenset(
    {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm", "jp2", "avif", "heic", "heif"}
)
LABEL_SUFFIXES = ("cls", "txt", "json")  # the first that a sample has is used
JSON_KEYS = ("label", "class", "cls", "target", "category")
MAX_LABEL_BYTES = 1 << 20


def read_tar_shards(files: Sequence[Path], root: Path) -> Index:
    """Return the index of tar files, in the order of shards and members.

    A sample is an image and the members of the same name up to the first dot: ``7.jpg`` and ``7.cls`` (a class name or
    number), ``7.txt`` (a class name) or ``7.json`` (with a key such as "label"). Without them the folder of the image
    is its class. A word such as "val" in the path of a shard, or in the folder of a member, is the split.

    Raises :class:`DataError` for a shard that is cut off or compressed, and for images without a label.
    """
    shards = [_Shard.read(file, str(file.relative_to(root))) for file in files]
    rows = [len(shard.names) for shard in shards]
    if not sum(rows):
        raise DataError(f"tar shards need images, but {root} has none in {len(files)} shards; check the path")
    where = str(files[0]) if len(files) == 1 else f"{len(files)} shards of {root}"
    classes, labels = encode_labels([label for shard in shards for label in shard.labels], f"the labels of {where}")
    codes = pa.array(np.repeat(np.arange(len(shards), dtype=np.int32), rows))
    table = index_table(
        pa.DictionaryArray.from_arrays(codes, pa.array([shard.name for shard in shards], pa.string())),
        pa.array([name for shard in shards for name in shard.names], pa.string()),
        labels,
        np.array([SPLITS.index(split) for shard in shards for split in shard.splits], np.int8),
        offset=np.concatenate([np.array(shard.offsets, np.int64) for shard in shards]),
        length=np.concatenate([np.array(shard.lengths, np.int64) for shard in shards]),
    )
    return check_split_classes(Index(classes, "tar", str(root), table))


@dataclass
class _Shard:
    """The images of one shard: name, place and label of each."""

    name: str
    names: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path, name: str) -> "_Shard":
        shard, label_of = cls(name), dict[str, tuple[int, str]]()
        try:
            with file.open("rb") as raw:
                for member in _members(file, raw):
                    shard._add(member, raw, label_of, file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"a tar shard must be readable, but {file} is not: {reason}; check the path") from None
        for image in shard.names:
            shard.labels.append(_label(image, label_of, file))
            shard.splits.append(split_in(name) or split_in(str(PurePosixPath(image).parent)) or "train")
        return shard

    def _add(self, member: tarfile.TarInfo, raw: IO[bytes], label_of: dict[str, tuple[int, str]], file: Path) -> None:
        key, suffix = _key(member.name)
        if suffix in IMAGE_SUFFIXES:
            self.names.append(member.name)
            self.offsets.append(member.offset_data)
            self.lengths.append(member.size)
        elif suffix in LABEL_SUFFIXES and member.size <= MAX_LABEL_BYTES:
            rank = LABEL_SUFFIXES.index(suffix)
            if key not in label_of or rank < label_of[key][0]:
                raw.seek(member.offset_data)
                text = _label_text(raw.read(member.size), suffix, f"{member.name} in {file}")
                if text is not None:
                    label_of[key] = rank, text


def _members(file: Path, raw: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the files of a shard. Raises :class:`DataError` where it is cut off or no plain tar."""
    try:
        with tarfile.open(fileobj=raw, mode="r:") as tar:
            end = 0
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # a million of them would take a gigabyte
                end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if member.isfile() and not any(map(is_ignored, PurePosixPath(member.name).parts)):
                    yield member
    except (tarfile.ReadError, tarfile.HeaderError, EOFError) as error:
        raise _broken(file, error) from None
    raw.seek(0, 2)
    # a whole tar ends with blocks of zeros: without them members may be missing
    if raw.tell() < end + tarfile.BLOCKSIZE:
        raise _broken(file, f"it has {raw.tell():,} bytes and ends inside or directly after a member")


def _broken(file: Path, reason: object) -> DataError:
    with file.open("rb") as raw:
        head = raw.read(6)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return DataError(
            f"a tar shard must be uncompressed, because images are read by their place, but {file} is "
            "compressed; decompress it first, for example with gunzip"
        )
    return DataError(
        f"a tar shard must be whole, but {file} is cut off or no tar file: {reason}; copy or download it again"
    )


def _key(name: str) -> tuple[str, str]:
    """Return the name of the sample and the suffix of a member: all up to the first dot of its file name, the last."""
    path = PurePosixPath(name)
    return str(path.parent / path.name.partition(".")[0]), path.suffix[1:].lower()


def _label_text(content: bytes, suffix: str, where: str) -> str | None:
    try:
        text = content.decode("utf-8-sig").strip()
        if suffix != "json":
            return text
        values = json.loads(text)
    except ValueError as error:
        raise DataError(f"a label must be UTF-8 text or JSON, but {where} is not: {error}; write it again") from None
    if not isinstance(values, dict):
        return str(values)
    return next((str(values[key]) for key in JSON_KEYS if values.get(key) is not None), None)


def _label(image: str, label_of: dict[str, tuple[int, str]], file: Path) -> str:
    if (found := label_of.get(_key(image)[0])) is not None:
        return found[1]
    folder = PurePosixPath(image).parent.name
    if label_of or not folder:
        raise DataError(
            f"every image of a shard needs a label, but {image} of {file} has none; add a member "
            f"{PurePosixPath(image).name.partition('.')[0]}.cls with its class"
        )
    return folder
