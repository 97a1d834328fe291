"""Tar shards as WebDataset writes them: an image and its label, or class folders, read by the place of the members."""

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

import numpy as np
import pyarrow as pa

from ..image_files.errors import DataError
from ..image_files.index import SPLITS, Index, index_table
from ..image_files.locations import Location, relative
from .class_folders import is_utf8
from .label_sets import encode_column, label_notes
from .labels import check_split_classes
from .split_names import IMAGE_SUFFIXES, is_ignored, split_in

LABEL_SUFFIXES = ("cls", "txt", "json")  # the first that a sample has is used
JSON_KEYS = ("label", "class", "cls", "target", "category", "labels")
MAX_LABEL_BYTES = 1 << 20
END_CHUNK = 1 << 20  # bytes after the last member that are read at a time

Label = str | list[str]


def read_tar_shards(files: Sequence[Location], root: Location, label_separator: str | None = None) -> Index:
    """Return the index of tar files, in the order of shards and members.

    A sample is an image and the members of the same name up to the first dot: ``7.jpg`` and ``7.cls`` (a class name or
    number), ``7.txt`` (a class name) or ``7.json`` (with a key such as "label"). Without them the folder of the image
    is its class. A list in a .json, or a text with ``label_separator``, is several labels. A word such as "val" in the
    path of a shard, or in the folder of a member, is the split.

    Raises :class:`DataError` for a shard that is cut off or compressed, and for images without a label.
    """
    shards = [_Shard.read(file, str(relative(file, root))) for file in files]
    rows = [len(shard.names) for shard in shards]
    if not sum(rows):
        raise DataError(f"tar shards need images, but {root} has none in {len(files)} shards; check the path")
    where = str(files[0]) if len(files) == 1 else f"{len(files)} shards of {root}"
    values = _one_type([label for shard in shards for label in shard.labels])
    classes, labels = encode_column(values, label_separator, f"the labels of {where}")
    codes = pa.array(np.repeat(np.arange(len(shards), dtype=np.int32), rows))
    table = index_table(
        pa.DictionaryArray.from_arrays(codes, pa.array([shard.name for shard in shards], pa.string())),
        pa.array([name for shard in shards for name in shard.names], pa.string()),
        labels,
        np.array([SPLITS.index(split) for shard in shards for split in shard.splits], np.int8),
        offset=np.concatenate([np.array(shard.offsets, np.int64) for shard in shards]),
        length=np.concatenate([np.array(shard.lengths, np.int64) for shard in shards]),
    )
    return check_split_classes(Index(classes, "tar", str(root), table, label_notes(labels)))


def _one_type(labels: list[Label]) -> list[Label]:
    """Return the labels; where some images have lists, one label is a list, too."""
    if not any(isinstance(label, list) for label in labels):
        return labels
    return [label if isinstance(label, list) else [label] for label in labels]


@dataclass
class _Shard:
    """The images of one shard: name, place and label of each."""

    name: str
    names: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, file: Location, name: str) -> "_Shard":
        shard, label_of = cls(name), dict[str, tuple[int, Label]]()
        try:
            with file.open("rb") as raw:
                links = dict[str, list[tuple[int, tarfile.TarInfo]]]()
                for member in _members(file, raw):
                    if not _is_left_out(member, file):
                        if member.islnk():  # its bytes are those of another member, which has this name
                            links.setdefault(member.linkname, []).append((len(shard.names), member))
                        shard._add(member, raw, label_of, file)
                if links:
                    shard._resolve(links, raw, label_of, file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"a tar shard must be readable, but {file} is not: {reason}; check the path") from None
        for image in shard.names:
            shard.labels.append(_label(image, label_of, file))
            shard.splits.append(split_in(name) or split_in(str(PurePosixPath(image).parent)) or "train")
        return shard

    def _resolve(
        self,
        links: dict[str, list[tuple[int, tarfile.TarInfo]]],
        raw: IO[bytes],
        label_of: dict[str, tuple[int, Label]],
        file: Location,
    ) -> None:
        """Give the hard links, with the rows that they have if they are images, the place of their targets."""
        raw.seek(0)
        for member in _members(file, raw):
            if member.isfile():
                for row, link in links.pop(member.name, ()):
                    link.offset_data, link.size = member.offset_data, member.size
                    if _key(link.name)[1] in IMAGE_SUFFIXES:
                        self.offsets[row], self.lengths[row] = member.offset_data, member.size
                    else:
                        self._add(link, raw, label_of, file)
        if links:
            target, ((_, link), *_) = next(iter(links.items()))
            raise DataError(
                f"a hard link must point to a file of the same shard, but {link.name} of {file} points to {target!r}; "
                "write the shard again, with tar --hard-dereference"
            )

    def _add(
        self, member: tarfile.TarInfo, raw: IO[bytes], label_of: dict[str, tuple[int, Label]], file: Location
    ) -> None:
        key, suffix = _key(member.name)
        if suffix in IMAGE_SUFFIXES:
            self.names.append(member.name)
            self.offsets.append(member.offset_data)
            self.lengths.append(member.size)
        elif suffix in LABEL_SUFFIXES and member.size <= MAX_LABEL_BYTES and member.offset_data >= 0:
            rank = LABEL_SUFFIXES.index(suffix)
            if key not in label_of or rank < label_of[key][0]:
                raw.seek(member.offset_data)
                text = _label_text(raw.read(member.size), suffix, f"{member.name} in {file}")
                if text is not None:
                    label_of[key] = rank, text


def _members(file: Location, raw: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the files and links of a shard. Raises :class:`DataError` where it is cut off, broken or no plain tar."""
    try:
        with tarfile.open(fileobj=raw, mode="r:") as tar:
            end = 0
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # a million of them would take a gigabyte
                end = tar.offset  # of the next header
                if not is_utf8(member.name):
                    raise DataError(
                        f"names in a shard must be UTF-8, but {os.fsencode(member.name)!r} of {file} is not; rename it "
                        "and write the shard again"
                    )
                if member.islnk():
                    member.offset_data, member.size = -1, 0  # unknown before the target is found
                if member.isfile() or member.islnk() or member.issym():
                    yield member
    except (tarfile.ReadError, tarfile.HeaderError, EOFError) as error:
        raise _broken(file, error) from None
    _check_end(file, raw, end)


def _check_end(file: Location, raw: IO[bytes], end: int) -> None:
    """Raise :class:`DataError` unless blocks of zeros follow the last member at ``end``: members may be missing."""
    size = raw.seek(0, 2)
    if size < end + tarfile.BLOCKSIZE:
        raise _broken(file, f"it has {size:,} bytes and ends inside or directly after a member")
    raw.seek(end)
    while chunk := raw.read(END_CHUNK):
        if chunk.count(0) < len(chunk):
            raise _broken(
                file,
                f"the header at byte {end:,} is damaged, or data follow the end of the archive, as where two "
                "archives were joined",
            )


def _is_left_out(member: tarfile.TarInfo, file: Location) -> bool:
    """Return whether a member is no image or label. Raises :class:`DataError` for an image that is a symbolic link."""
    if any(map(is_ignored, PurePosixPath(member.name).parts)):
        return True
    if member.issym() and _key(member.name)[1] in IMAGE_SUFFIXES:
        raise DataError(
            f"an image of a shard must be a file, but {member.name} of {file} is a symbolic link to "
            f"{member.linkname!r}; write the shard again, with tar --dereference"
        )
    return member.issym()


def _broken(file: Location, reason: object) -> DataError:
    with file.open("rb") as raw:
        head = raw.read(6)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return DataError(
            f"a tar shard must be uncompressed, because images are read by byte offset, but {file} is "
            "compressed; decompress it first, for example with gunzip"
        )
    return DataError(
        f"a tar shard must be a complete tar file, but {file} is truncated, damaged or no tar file: {reason}; "
        "copy, download or write it again"
    )


def _key(name: str) -> tuple[str, str]:
    """Return the name of the sample and the suffix of a member: all up to the first dot of its file name, the last."""
    path = PurePosixPath(name)
    return str(path.parent / path.name.partition(".")[0]), path.suffix[1:].lower()


def _label_text(content: bytes, suffix: str, where: str) -> Label | None:
    try:
        text = content.decode("utf-8-sig").strip()
        if suffix != "json":
            return text
        values = json.loads(text)
    except ValueError as error:
        raise DataError(f"a label must be UTF-8 text or JSON, but {where} is not: {error}; write it again") from None
    if not isinstance(values, dict):
        return _plain(values)
    return next((_plain(values[key]) for key in JSON_KEYS if values.get(key) is not None), None)


def _plain(value: object) -> Label:
    return list(map(str, value)) if isinstance(value, list) else str(value)


def _label(image: str, label_of: dict[str, tuple[int, Label]], file: Location) -> Label:
    if (found := label_of.get(_key(image)[0])) is not None:
        return found[1]
    folder = PurePosixPath(image).parent.name
    if label_of or not folder:
        raise DataError(
            f"every image of a shard needs a label, but {image} of {file} has none; add a member "
            f"{PurePosixPath(image).name.partition('.')[0]}.cls with its class"
        )
    return folder
