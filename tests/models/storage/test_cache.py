"""A cache is built once, and only a complete one is used."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from archsieve.models.image_files.decoding import Decoding, decode
from archsieve.models.image_files.errors import DataError
from archsieve.models.readers.read_index import read_index
from archsieve.models.storage.cache_build import cache_path, is_cached, open_cache
from archsieve.models.storage.cache_file import HEADER_BYTES, CacheHeader, CacheNotes, writing
from archsieve.models.storage.encoded import EncodedImages

Folder = Callable[..., Path]
SCRIPT = Path(__file__).with_name("build_cache.py")


@pytest.fixture
def images(image_folder: Folder) -> EncodedImages:
    return EncodedImages(read_index(image_folder(n=6)).canonical(), Decoding(16))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


class Builder:
    """A process that builds the cache of a folder."""

    def __init__(self, folder: Path, cache: Path, chunk: int = 4096, **options: object) -> None:
        command = [sys.executable, str(SCRIPT), str(folder), str(cache), str(chunk)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **options)  # type: ignore[call-overload]

    def read(self) -> str:
        line: str = self.process.stdout.readline()
        return line.strip()

    def go(self) -> None:
        assert self.read() == "ready"
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def rest(self) -> list[str]:
        lines: list[str] = self.process.stdout.read().splitlines()
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() is not None
        return lines


@pytest.fixture
def build() -> Iterator[Callable[..., Builder]]:
    started: list[Builder] = []

    def start(*arguments: object, **options: object) -> Builder:
        started.append(Builder(*arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for builder in started:
        builder.process.kill()
        builder.process.wait()
        builder.process.stdin.close()
        builder.process.stdout.close()


def counted(images: EncodedImages, cache: Path) -> tuple[np.ndarray, int]:
    """The pixels of the cache, and how many images were decoded for it."""
    done: list[int] = []
    file = open_cache(images, cache, progress=lambda n, total: done.append(n))
    assert file.pixels is not None
    return np.array(file.pixels), len(done)


def expected(images: EncodedImages) -> np.ndarray:
    return np.stack([decode(images.index.source(row), images.decoding) for row in range(len(images))])


def test_the_first_start_decodes_and_the_second_decodes_nothing(images: EncodedImages, cache: Path) -> None:
    assert not is_cached(images, cache)
    pixels, n_decoded = counted(images, cache)
    assert n_decoded == len(images) == 12
    assert (pixels == expected(images)).all()
    again, n_decoded = counted(images, cache)
    assert n_decoded == 0
    assert (again == pixels).all()
    assert {file.suffix for file in cache.iterdir()} == {".pixels", ".lock"}
    assert is_cached(images, cache)


def test_the_sums_are_those_of_the_pixels(images: EncodedImages, cache: Path) -> None:
    file, pixels = open_cache(images, cache), expected(images).astype(np.int64)
    assert (file.sums[:, 0] == pixels.sum((2, 3))).all()
    assert (file.sums[:, 1] == (pixels**2).sum((2, 3))).all()
    sums_only = open_cache(images, cache, has_pixels=False)
    assert sums_only.pixels is None
    assert (sums_only.sums == file.sums).all()


@pytest.mark.parametrize(
    "decoding",
    [Decoding(12), Decoding(16, channels=1), Decoding(16, resize="pad"), Decoding(16, interpolation="bicubic")],
)
def test_another_decoding_has_another_file(images: EncodedImages, cache: Path, decoding: Decoding) -> None:
    other = EncodedImages(images.index, decoding)
    assert cache_path(images, cache) != cache_path(other, cache)
    assert counted(images, cache)[0].shape == images.shape
    assert (counted(other, cache)[0] == expected(other)).all()


def test_labels_and_splits_do_not_change_the_file(images: EncodedImages, cache: Path) -> None:
    splits = images.index.splits.copy()
    splits[:3] = 1
    other = EncodedImages(images.index.with_splits(splits), images.decoding)
    assert other.index.content_hash != images.index.content_hash
    assert cache_path(images, cache) == cache_path(other, cache)


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "magic": lambda path: _overwrite(path, 3, b"\xff"),
    "digest": lambda path: _overwrite(path, 20, b"\0\0\0\0"),
    "header": lambda path: _overwrite(path, 60, b"9"),
    "no header yet": lambda path: _overwrite(path, 0, bytes(HEADER_BYTES)),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut off in the pixels": lambda path: os.truncate(path, HEADER_BYTES + 100),
    "cut off in the header": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
    "notes": lambda path: _overwrite(path, path.stat().st_size - 20, b"\xff\xfe"),
    "a number in the notes": lambda path: path.write_bytes(path.read_bytes()[:-2] + b" }"),
    "sums": lambda path: _overwrite(path, HEADER_BYTES + 12 * 3 * 16 * 16 + 3, b"\x7f"),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "foreign": lambda path: path.write_bytes(b"\x89PNG" * 5000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_file_is_built_again(
    images: EncodedImages, cache: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    pixels, _ = counted(images, cache)
    path = cache_path(images, cache)
    DAMAGES[damage](path)
    assert not is_cached(images, cache)
    again, n_decoded = counted(images, cache)
    assert n_decoded == len(images)
    assert (again == pixels).all()
    assert str(path) in caplog.text  # the user learns which file was replaced


def test_the_cache_of_other_images_is_not_used(images: EncodedImages, cache: Path) -> None:
    other = EncodedImages(images.index.take(np.arange(11, -1, -1)), images.decoding)
    counted(other, cache)
    cache_path(other, cache).rename(cache_path(images, cache))
    pixels, n_decoded = counted(images, cache)
    assert n_decoded == len(images)
    assert (pixels == expected(images)).all()


def test_two_processes_build_it_once(image_folder: Folder, cache: Path, build: Callable[..., Builder]) -> None:
    folder = image_folder(n=100)
    builders = [build(folder, cache, 10) for _ in range(2)]
    for builder in builders:
        builder.go()
    lines = [builder.rest() for builder in builders]
    n_decoded = sorted(sum(line.startswith("decoded") for line in part) for part in lines)
    assert n_decoded == [0, 200]
    opened = {part[-1] for part in lines}
    assert len(opened) == 1
    assert opened.pop().startswith("opened ")


@pytest.mark.parametrize("n_decoded", [1, 57, 200], ids=["first image", "middle", "last image"])
def test_a_killed_build_leaves_nothing_that_is_used(
    image_folder: Folder, cache: Path, build: Callable[..., Builder], n_decoded: int
) -> None:
    folder = image_folder(n=100)
    images = EncodedImages(read_index(folder).canonical(), Decoding(16))
    builder = build(folder, cache, 10)
    builder.go()
    while builder.read() != f"decoded {n_decoded} 200":
        assert builder.process.poll() is None
    builder.process.send_signal(signal.SIGKILL)
    builder.process.wait()
    # The last image may be followed by the renaming before the signal: then the file is complete.
    if not is_cached(images, cache):
        assert not cache_path(images, cache).exists()
        assert counted(images, cache)[1] == 200
    assert (counted(images, cache)[0] == expected(images)).all()
    assert not list(cache.glob("*.partial"))


def test_a_full_disk_is_one_error_and_leaves_no_file(
    image_folder: Folder, cache: Path, build: Callable[..., Builder]
) -> None:
    folder = image_folder(n=100)  # 154 kB of pixels

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    builder = build(folder, cache, 10, preexec_fn=limit)
    builder.go()
    line = builder.rest()[-1]
    assert line.startswith("DataError")
    assert str(cache) in line
    assert "163.4 KiB" in line  # what it needs
    assert [file.suffix for file in cache.iterdir()] == [".lock"]


def test_a_bad_image_is_an_error_or_a_note(image_folder: Folder, cache: Path) -> None:
    folder = image_folder(n=6)
    (folder / "cat" / "002.png").write_bytes(b"\x89PNG and nothing else")
    index = read_index(folder).with_digests()
    with pytest.raises(DataError, match=r"002\.png"):
        open_cache(EncodedImages(index, Decoding(16)), cache)
    assert not list(cache.glob("*.pixels"))
    file = open_cache(EncodedImages(index, Decoding(16), "skip"), cache)
    ((row, message),) = file.notes.bad
    assert index.name(row).endswith("002.png")
    assert "002.png" in message
    assert file.pixels is not None
    assert not file.pixels[row].any()
    with pytest.raises(DataError, match=r"002\.png"):  # a cache with gaps is no excuse
        open_cache(EncodedImages(index, Decoding(16)), cache)


def test_an_image_that_can_be_decoded_now_is_added_to_the_cache(
    image_folder: Folder, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = read_index(image_folder(n=6)).with_digests()
    images = EncodedImages(index, Decoding(16), "skip")
    path = cache_path(images, cache)
    cache.mkdir()
    with writing(path, CacheHeader(images.key, images.shape)) as writer:  # of a decoder that could not read row 2
        pixels = expected(images)
        pixels[2] = 0
        writer.add(pixels)
        writer.finish(CacheNotes(((2, "old name"),)))
    assert not is_cached(images, cache)
    file = open_cache(images, cache)
    assert file.notes.bad == ()
    assert (file.pixels == expected(images)).all()
    assert str(path) in caplog.text


def test_messages_of_a_cache_have_the_present_names(image_folder: Folder, cache: Path) -> None:
    folder = image_folder(n=6)
    (folder / "cat" / "002.png").write_bytes(b"\x89PNG and nothing else")
    open_cache(EncodedImages(read_index(folder).with_digests(), Decoding(16), "skip"), cache)
    folder.rename(folder.with_name("moved"))
    images = EncodedImages(read_index(folder.with_name("moved")).with_digests(), Decoding(16), "skip")
    ((row, message),) = open_cache(images, cache).notes.bad
    assert images.index.name(row) in message


@pytest.mark.parametrize("on_bad", ["error", "skip"])
def test_a_cache_is_never_built_of_other_images(image_folder: Folder, cache: Path, on_bad: str) -> None:
    """A node may see another version of the files under the same path."""
    folder = image_folder(n=6)
    images = EncodedImages(read_index(folder).canonical(), Decoding(16), on_bad)
    (folder / "cat" / "002.png").write_bytes((folder / "dog" / "003.png").read_bytes())
    with pytest.raises(DataError, match=r"cat/002\.png differs from the file of the driver"):
        open_cache(images, cache)
    assert not list(cache.glob("*.pixels"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_error(images: EncodedImages, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(DataError, match=str(cache)):
        open_cache(images, cache)


def test_a_folder_that_cannot_exist_is_one_error(images: EncodedImages, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="ARCHSIEVE_CACHE"):
        open_cache(images, tmp_path / "file" / "cache")


def test_a_complete_cache_in_a_read_only_folder_is_used(images: EncodedImages, cache: Path) -> None:
    pixels, _ = counted(images, cache)
    for file in cache.iterdir():
        file.chmod(0o400)
    cache.chmod(0o500)
    try:
        again, n_decoded = counted(images, cache)
    finally:
        cache.chmod(0o700)
    assert n_decoded == 0
    assert (again == pixels).all()
