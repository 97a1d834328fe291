"""Which formats are read, and what is said of files that are not: what they are, and what to do."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsieve.models.image_files.decoding import Decoding, decode
from archsieve.models.image_files.errors import DataError
from archsieve.models.image_files.pixel_gate import MAX_PIXELS

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size that its data do not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(bands: int, bits: int = 16) -> bytes:
    """Return a TIFF of 2 x 2 pixels with any number of bands, as satellites have them."""
    data = bytes(4 * bands * bits // 8)
    where = 8 + len(data)
    tags = [
        (256, 3, 1, 2), (257, 3, 1, 2), (258, 3, bands, where), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
        (277, 3, 1, bands), (278, 3, 1, 2), (279, 4, 1, len(data)),
    ]  # fmt: skip
    depths = struct.pack(f"<{bands}H", *[bits] * bands)
    entries = b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    start = struct.pack("<HL", 42, where + len(depths))
    return b"II" + start + data + depths + struct.pack("<H", len(tags)) + entries + bytes(4)


def message(content: bytes) -> str:
    with pytest.raises(DataError) as error:
        decode(content, Decoding(8), name="photos/a/01")
    assert "photos/a/01" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "kind", "cure"),
    [
        (b"", "empty", "remove"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "convert"),
        (b"<svg viewBox='0 0 1 1'/>", "SVG", "convert"),
        (bytes(128) + b"DICM" + bytes(99), "DICOM", "16-bit PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript", "convert"),
        (b"%PDF-1.7\n", "PDF", "convert"),
        (tiff(13), "TIFF of 13 bands of 16 bits", "1, 3 or 4 bands"),
        (b"hello, I am a caption\n", "text", "remove"),
        ("a caption in UTF-8: chérie".encode(), "text", "remove"),
        (b"<!DOCTYPE html><html></html>", "web page", "download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS", "git lfs pull"),
        (b"PK\x03\x04" + bytes(99), "ZIP", "unpack"),
        (b"8BPS" + bytes(99), "Photoshop", "convert"),
        (b"\xff\x0a" + bytes(99), "JPEG XL", "convert"),
        (b"\0\0\0\x20ftypisom" + bytes(99), "MP4", "frames"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "broken PNG", "replace"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "broken JPEG", "replace"),
        (bytes(range(200)), "none of the formats", "PNG or JPEG"),
    ],
)
def test_a_file_that_is_no_image_is_named_by_what_it_is(content: bytes, kind: str, cure: str) -> None:
    text = message(content)
    assert kind in text
    assert cure in text


def test_heic_names_the_extra_or_is_read() -> None:
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        assert "archsieve[heif]" in message(HEIC)
        assert "HEIC" in message(HEIC)
    else:
        assert "broken HEIC" in message(HEIC)


def test_heic_is_read_with_pillow_heif(encode: Callable[..., bytes]) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    content = encode(Image.new("RGB", (64, 48), (200, 30, 30)), "HEIF")
    assert decode(content, Decoding(8))[0].mean() == pytest.approx(200, abs=8)


def test_a_program_in_postscript_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(" + bytes(str(tmp_path / "x"), "utf-8")
        + b") (w) file closefile\nshowpage\n"
    )  # fmt: skip
    with pytest.raises(DataError, match="PostScript"):
        decode(tmp_path / "a.png", Decoding(8))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_an_image_with_too_many_pixels_is_refused_before_decoding() -> None:
    text = message(png_header(12_000, 10_000))
    assert "12,000 x 10,000 = 120,000,000" in text
    assert f"{MAX_PIXELS:,}" in text


def test_an_image_beyond_any_limit_is_refused() -> None:
    assert "10000000000 pixels" in message(png_header(100_000, 100_000))


def test_a_large_jpeg_is_read_because_it_is_decoded_reduced(encode: Callable[..., bytes]) -> None:
    content = encode(Image.new("L", (12_000, 10_000), 99), "JPEG")
    assert decode(content, Decoding(64)).shape == (3, 64, 64)


def test_a_large_progressive_jpeg_is_refused(encode: Callable[..., bytes]) -> None:
    content = encode(Image.new("L", (12_000, 10_000), 99), "JPEG", progressive=True)
    assert "120,000,000" in message(content)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "PCX", "TGA"])
def test_the_suffix_does_not_matter(encode: Callable[..., bytes], tmp_path: Path, form: str) -> None:
    (tmp_path / "image.txt").write_bytes(encode(np.full((9, 9, 3), 200, np.uint8), form))
    assert decode(tmp_path / "image.txt", Decoding(4)).mean() == pytest.approx(200, abs=3)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png"):
        decode(tmp_path / "pipe.png", Decoding(4))
    with pytest.raises(DataError, match=r"gone\.png.*No such file"):
        decode(tmp_path / "gone.png", Decoding(4))
    with pytest.raises(DataError, match=tmp_path.name):
        decode(tmp_path, Decoding(4))
