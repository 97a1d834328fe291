"""Damaged files: for any problem of a decoder, the error is a DataError that names the file."""

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from archsieve.models.image_files.decoding import Decoding, decode
from archsieve.models.image_files.errors import DataError

EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
NAME = "photos/cat/0001"
DECODINGS = (
    Decoding(16),
    Decoding(16, resize="pad", value_range=(0, 100)),
    Decoding(16, channels=1, resize="stretch"),
    Decoding(16, rules=1),
)


@pytest.fixture(scope="module")
def whole(encode: Callable[..., bytes], photograph: Callable[..., Image.Image]) -> dict[str, bytes]:
    """One whole file of each of 16 formats."""
    image = photograph(61, 47)
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 200
    clear = image.convert("RGBA")
    clear.putalpha(99)
    return {
        "PNG": encode(clear),
        "PNG of 16 bits": encode(deep, exif=EXIF),
        "JPEG": encode(image, "JPEG", exif=EXIF),
        "progressive JPEG": encode(image.convert("CMYK"), "JPEG", progressive=True),
        "MPO": encode(image, "MPO", save_all=True, append_images=[image]),
        "GIF": encode(image, "GIF", save_all=True, append_images=[clear.convert("P")]),
        "BMP": encode(image, "BMP"),
        "WEBP": encode(clear, "WEBP", exif=EXIF),
        "TIFF": encode(image, "TIFF", compression="tiff_lzw"),
        "TIFF of floats": encode(deep.astype(np.float32) / 65535, "TIFF"),
        "PPM": encode(image, "PPM"),
        "JPEG 2000": encode(image, "JPEG2000"),
        "AVIF": encode(image, "AVIF"),
        "PCX": encode(image.convert("P"), "PCX"),
        "SGI": encode(image, "SGI"),
        "TGA": encode(image, "TGA", compression="tga_rle"),
    }


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return ``content`` with one kind of damage, more often in the header than elsewhere."""
    data = bytearray(content)
    end = rng.choice([32, 200, len(data)])
    start = rng.randrange(min(end, len(data)))
    match rng.randrange(5):
        case 0:
            return bytes(data[:start])
        case 1:
            data[start : start + rng.choice([1, 4, 64])] = b""
        case 2:
            data[start:start] = rng.randbytes(rng.choice([1, 4, 64]))
        case 3:
            data[start : start + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
        case 4:
            for _ in range(rng.choice([1, 8, 64])):
                data[rng.randrange(min(end, len(data)))] = rng.randrange(256)
    return bytes(data)


def damaged_files(whole: dict[str, bytes], n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``n`` damaged files, as many of each format."""
    rng = random.Random(seed)
    for k in range(n):
        form = list(whole)[k % len(whole)]
        yield form, damage(whole[form], rng)


def decode_all(whole: dict[str, bytes], n: int, seed: int) -> tuple[int, int]:
    """Decode damaged files; return how many were read and how many refused. Anything but a DataError escapes."""
    n_read, messages = 0, list[tuple[str, str]]()
    for k, (form, content) in enumerate(damaged_files(whole, n, seed)):
        try:
            pixels = decode(content, DECODINGS[k // len(whole) % len(DECODINGS)], name=f"{NAME} {form}")
        except DataError as error:
            messages.append((form, str(error)))
        else:
            n_read += 1
            assert pixels.shape[1:] == (16, 16)
    assert [message for form, message in messages if f"{NAME} {form}" not in message] == []
    return n_read, len(messages)


@pytest.mark.parametrize("rules", [1, 2])
def test_the_whole_files_are_read(whole: dict[str, bytes], rules: int) -> None:
    assert len(whole) == 16
    flat = [form for form, content in whole.items() if decode(content, Decoding(16, rules=rules)).std() < 5]
    assert flat == (["TIFF of floats"] if rules == 1 else [])  # version 0.1.0 made floats black


def test_damaged_files_raise_data_errors_only(whole: dict[str, bytes]) -> None:
    n_read, n_refused = decode_all(whole, 640, seed=0)
    assert n_read > 50
    assert n_refused > 200


@pytest.mark.slow
def test_twelve_thousand_damaged_files_raise_data_errors_only(whole: dict[str, bytes]) -> None:
    n_read, n_refused = decode_all(whole, 12_000, seed=1)
    assert n_read > 1000
    assert n_refused > 4000
