"""Many images in parallel: order, bad images, notes, memory."""

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsieve.models.image_files.decoding import Decoded, Decoding, decode_many
from archsieve.models.image_files.errors import DataError
from archsieve.models.image_files.observations import Observations
from archsieve.models.image_files.pixel_gate import PixelGate

Encode = Callable[..., bytes]


@pytest.fixture
def levels(encode: Encode) -> list[bytes]:
    """64 images, the k-th with the value 3 k."""
    return [encode(np.full((10, 10, 3), 3 * k, np.uint8)) for k in range(64)]


@pytest.mark.parametrize("threads", [None, 1, 7, 100])
def test_images_have_the_order_of_their_sources(levels: list[bytes], threads: int | None) -> None:
    pixels, bad = decode_many(levels, Decoding(4), threads=threads)
    assert bad == []
    assert pixels.shape == (64, 3, 4, 4)
    assert pixels[:, 0, 0, 0].tolist() == [3 * k for k in range(64)]


def test_no_sources_give_no_images() -> None:
    pixels, bad = decode_many([], Decoding(4))
    assert (pixels.shape, bad) == ((0, 3, 4, 4), [])


def test_the_first_bad_image_is_the_error(levels: list[bytes]) -> None:
    for k in (20, 21, 22, 50):
        levels[k] = b"broken"
    names = [f"file {k}" for k in range(64)]
    for _ in range(5):
        with pytest.raises(DataError, match="file 20 "):
            decode_many(levels, Decoding(4), names=names, threads=8)


def test_bad_images_are_listed_and_stay_zero(levels: list[bytes]) -> None:
    for k in (5, 3):
        levels[k] = b"broken"
    pixels, bad = decode_many(levels, Decoding(4), names=[f"file {k}" for k in range(64)], on_bad="skip")
    assert [image.position for image in bad] == [3, 5]
    assert "file 3 " in bad[0].message
    assert pixels[3:6, 0, 0, 0].tolist() == [0, 12, 0]


def test_an_unknown_value_of_on_bad_is_refused(levels: list[bytes]) -> None:
    with pytest.raises(DataError, match="ignore"):
        decode_many(levels, Decoding(4), on_bad="ignore")


def test_progress_and_results_come_one_at_a_time(levels: list[bytes]) -> None:
    done: list[int] = []
    seen: dict[int, int] = {}

    def observe(position: int, decoded: Decoded) -> None:
        seen[position] = int(decoded.pixels[0, 0, 0])

    decode_many(levels, Decoding(4), progress=done.append, observe=observe, threads=4)
    assert done == list(range(1, 65))
    assert seen == {k: 3 * k for k in range(64)}


def test_pixels_are_written_into_the_given_array(levels: list[bytes], tmp_path: Path) -> None:
    out = np.lib.format.open_memmap(tmp_path / "cache.npy", "w+", np.uint8, (64, 3, 4, 4))
    pixels, _ = decode_many(levels, Decoding(4), out=out)
    assert pixels is out
    assert np.load(tmp_path / "cache.npy")[:, 1, 2, 3].tolist() == [3 * k for k in range(64)]


def test_an_error_of_the_sources_ends_the_work(levels: list[bytes]) -> None:
    class Sources(Sequence[bytes]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, position: int) -> bytes:  # type: ignore[override]
            if position == 30:
                raise ZeroDivisionError
            return levels[position]

    with pytest.raises(ZeroDivisionError):
        decode_many(Sources(), Decoding(4), threads=3)


def test_the_filters_of_warnings_are_restored(levels: list[bytes]) -> None:
    before = list(warnings.filters)
    decode_many(levels, Decoding(4), threads=8)
    assert warnings.filters == before


def test_the_gate_bounds_the_pixels_of_all_threads() -> None:
    gate, inside, most, lock = PixelGate(100), 0, 0, threading.Lock()

    def work(pixels: int) -> None:
        nonlocal inside, most
        for _ in range(50):
            with gate.enter(pixels):
                with lock:
                    inside += pixels
                    most = max(most, inside)
                with lock:
                    inside -= pixels

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in (10, 30, 60, 70, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == 0
    assert 70 <= most <= 250  # the one of 250 is alone; all others together have at most 100


MEMORY = """
import sys
from pathlib import Path
from archsieve.models.image_files.decoding import Decoding, decode_many

def peak():  # not getrusage, which remembers the parent process
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))

files = sorted(Path(sys.argv[1]).iterdir())
decode_many(files[:1], Decoding(64))
before = peak()
decode_many(files[1:], Decoding(64), threads=4)
print(peak() - before)
"""


def test_four_threads_take_the_memory_of_one_large_image(tmp_path: Path, encode: Encode) -> None:
    """Four images of 52 million pixels take 208 MB each: 830 MB if they are decoded, or kept, at once."""
    content = encode(Image.new("RGB", (7200, 7200)))
    (tmp_path / "0.png").write_bytes(encode(Image.new("RGB", (10, 10))))
    for k in range(1, 5):
        (tmp_path / f"{k}.png").write_bytes(content)
    result = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True)
    assert 150_000 < int(result.stdout) < 300_000  # KiB


def observed(contents: Sequence[bytes], decoding: Decoding) -> tuple[str, ...]:
    observations = Observations()
    decode_many(
        contents,
        decoding,
        observe=lambda position, decoded: observations.add(decoded.pixels, decoded.facts, f"file {position}"),
    )
    assert Observations.from_json(observations.to_json()).notes(decoding) == observations.notes(decoding)
    return observations.notes(decoding)


def test_ordinary_images_give_no_note(photograph: Callable[..., Image.Image], encode: Encode) -> None:
    contents = [encode(photograph(40, 30)), encode(photograph(30, 50), "JPEG")]
    assert observed(contents, Decoding(16)) == ()


def test_twelve_bit_data_in_sixteen_bits_are_noted(encode: Encode) -> None:
    grey = [encode(np.linspace(0, high, 64).reshape(8, 8).astype(np.uint16)) for high in (1728, 1500)]
    (note,) = observed(grey, Decoding(8))
    assert "2 of 2" in note
    assert "1,728 of 65,535" in note
    assert "value_range = [0, 4095]" in note
    assert observed(grey, Decoding(8, value_range=(0, 4095))) == ()
    whole = encode(np.linspace(0, 50_000, 64).reshape(8, 8).astype(np.uint16))
    assert observed([*grey, whole], Decoding(8)) == ()  # the range of the data set counts, not that of one image


def test_twelve_bit_colours_are_noted() -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + struct.pack(">24H", *range(y, 4096, 171)) for y in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (note,) = observed([b"\x89PNG\r\n\x1a\n" + body], Decoding(8))
    assert "value_range = [0, 4095]" in note


def test_a_crop_to_a_small_part_is_noted(photograph: Callable[..., Image.Image], encode: Encode) -> None:
    strips = [encode(photograph(1000, 20)), encode(photograph(100, 90)), encode(photograph(30, 300))]
    (note,) = observed(strips, Decoding(16))
    assert "2 of 3" in note
    assert "file 0 keeps 2.0%" in note
    assert "pad" in note
    assert observed(strips, Decoding(16, resize="pad")) == ()


def test_images_of_one_colour_are_noted(photograph: Callable[..., Image.Image], encode: Encode) -> None:
    contents = [encode(photograph(40, 30)), encode(Image.new("RGB", (9, 9), (1, 2, 3))), encode(Image.new("L", (9, 9)))]
    (note,) = observed(contents, Decoding(16))
    assert "2 of 3" in note
    assert "file 1" in note


def test_identical_images_are_noted(encode: Encode) -> None:
    """Black shapes on a transparent background, decoded as version 0.1.0 did, are all black."""
    contents = []
    for k in range(3):
        values = np.zeros((16, 16, 4), np.uint8)
        values[k : k + 8, k : k + 4, 3] = 255
        contents.append(encode(values))
    (note,) = observed(contents, Decoding(16, rules=1))
    assert "all 3 images are identical" in note
    assert observed(contents, Decoding(16)) == ()
