"""What each kind of image becomes: the table of docs/images.md."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from archsieve.models.image_files.decoding import Decoding, decode
from archsieve.models.image_files.errors import DataError

Encode = Callable[..., bytes]
RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def pixel(content: bytes, x: int, y: int, size: int = 8, **options: Any) -> tuple[int, ...]:
    """Return the colour of one pixel of the decoded image."""
    return tuple(decode(content, Decoding(size, **options))[:, y, x].tolist())


def half_transparent(mode: str) -> Image.Image:
    """Return 8 x 8 black pixels; the left half is transparent."""
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:, 4:] = 255
    image = Image.new("L" if mode == "LA" else "RGB", (8, 8))
    image.putalpha(Image.fromarray(alpha))
    return image


def palette_with_transparency(form: str) -> tuple[Image.Image, dict[str, Any]]:
    """Return 8 x 8 black pixels with the transparent palette entry 1 in the left half."""
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(1, (0, 0, 4, 8))
    return image, {"transparency": 1}


@pytest.mark.parametrize("background", [WHITE, (1, 128, 3)])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "palette in GIF", "WEBP", "key colour", "16-bit key"])
def test_transparency_shows_the_background(encode: Encode, kind: str, background: tuple[int, int, int]) -> None:
    if kind in ("RGBA", "LA"):
        content = encode(half_transparent(kind))
    elif kind == "WEBP":
        content = encode(half_transparent("RGBA"), "WEBP", lossless=True)
    elif kind.startswith("palette"):
        image, options = palette_with_transparency(kind)
        content = encode(image, "GIF" if "GIF" in kind else "PNG", **options)
    elif kind == "key colour":
        values = np.zeros((8, 8, 3), np.uint8)
        values[:, :4] = 9
        content = encode(values, transparency=(9, 9, 9))
    else:
        deep = np.zeros((8, 8), np.uint16)
        deep[:, :4] = 500
        content = encode(deep, transparency=500)
    assert pixel(content, 1, 1, background=background) == background
    assert pixel(content, 6, 1, background=background) == BLACK


def test_partial_transparency_mixes_with_the_background(encode: Encode) -> None:
    content = encode(np.full((8, 8, 4), (200, 100, 50, 128), np.uint8))
    # 200 * 128/255 + 255 * 127/255, and so on
    assert pixel(content, 3, 3) == pytest.approx((227, 177, 152), abs=1)


def test_transparent_pixels_do_not_bleed_into_others_when_resized(encode: Encode) -> None:
    values = np.zeros((64, 64, 4), np.uint8)
    values[..., 1] = 255  # green, invisible
    values[16:48, 16:48] = (255, 0, 0, 255)
    red, green, _ = decode(encode(values), Decoding(16))
    assert (red >= green).all()
    assert (red[0, 0], green[0, 0]) == (255, 255)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((8, 8), 65535, np.uint16), 255),
        (np.full((8, 8), 32767, np.uint16), 127),
        (np.full((8, 8), 4095, np.uint16), 16),
        (np.full((8, 8), 0.5, np.float32), 128),
        (np.full((8, 8), 1.0, np.float32), 255),
    ],
)
def test_deep_values_are_scaled_by_the_range_of_their_type(encode: Encode, values: Any, expected: int) -> None:
    assert pixel(encode(values, "TIFF"), 2, 2) == (expected,) * 3


@pytest.mark.parametrize(
    ("values", "value_range", "expected"),
    [
        (np.full((8, 8), 4095, np.uint16), (0, 4095), 255),
        (np.full((8, 8), 1000, np.uint16), (0, 4095), 62),
        (np.full((8, 8), 200, np.int32), (0, 255), 200),
        (np.full((8, 8), -500, np.int32), (-1000, 1000), 64),
        (np.full((8, 8), 7.5, np.float32), (5, 10), 128),
        (np.full((8, 8), 99.0, np.float32), (5, 10), 255),
        (np.full((8, 8), -99.0, np.float32), (5, 10), 0),
        (np.full((8, 8), 200, np.uint8), (0, 10), 200),  # an 8-bit image has its range
    ],
)
def test_value_range_replaces_the_range_of_the_type(
    encode: Encode, values: Any, value_range: tuple[float, float], expected: int
) -> None:
    assert pixel(encode(values, "TIFF"), 2, 2, value_range=value_range) == (expected,) * 3


def test_levels_are_kept_until_after_resizing(encode: Encode) -> None:
    """0 and 3 of 12-bit data are both black in 8 bits, unless they are averaged with their neighbours first."""
    values = np.zeros((16, 16), np.uint16)
    values[::2] = 24
    assert pixel(encode(values), 4, 4, value_range=(0, 4095)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (np.full((8, 8), 17.25, np.float32), "17.25"),
        (np.full((8, 8), -0.5, np.float32), "-0.5"),
        (np.full((8, 8), 255, np.int32), "255"),
        (np.full((8, 8), np.nan, np.float32), "NaN"),
    ],
)
def test_values_without_a_known_range_are_refused(encode: Encode, values: Any, numbers: str) -> None:
    with pytest.raises(DataError) as error:
        decode(encode(values, "TIFF"), Decoding(8), name="cells/01.tif")
    assert "cells/01.tif" in str(error.value)
    assert numbers in str(error.value)


def test_a_refusal_proposes_a_range_that_works(encode: Encode) -> None:
    content = encode(np.full((8, 8), 17.25, np.float32), "TIFF")
    with pytest.raises(DataError, match=r"value_range = \[0, 17.25\]"):
        decode(content, Decoding(8))
    assert pixel(content, 0, 0, value_range=(0, 17.25)) == (255, 255, 255)


def test_sixteen_bit_grey_of_a_pgm_uses_its_maximum(encode: Encode) -> None:
    body = struct.pack(">64H", *([1023] * 32 + [0] * 32))
    content = b"P5 8 8 1023\n" + body
    assert pixel(content, 2, 1) == WHITE
    assert pixel(content, 2, 6) == BLACK


def deep_colour_png(value: int) -> bytes:
    """Return a PNG of 8 x 8 pixels with 16 bits for each colour, which Pillow cannot write."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + struct.pack(">24H", *([value, 2 * value, 0] * 8)) for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_sixteen_bit_colours_keep_their_lower_byte_with_a_value_range() -> None:
    content = deep_colour_png(1000)
    assert pixel(content, 3, 3) == (3, 7, 0)
    assert pixel(content, 3, 3, value_range=(0, 4095)) == (62, 125, 0)


@pytest.mark.parametrize("order", ["little", "big"])
def test_sixteen_bit_colours_of_a_tiff(order: str) -> None:
    content = deep_colour_tiff(1000, order)
    assert pixel(content, 3, 3) == (3, 7, 0)
    assert pixel(content, 3, 3, value_range=(0, 4095)) == (62, 125, 0)


def deep_colour_tiff(value: int, order: str) -> bytes:
    """Return an uncompressed TIFF of 8 x 8 pixels with 16 bits for each colour."""
    sign = "<" if order == "little" else ">"
    data = struct.pack(f"{sign}192H", *([value, 2 * value, 0] * 64))
    tags = [
        (256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14), (277, 3, 1, 3),
        (278, 3, 1, 8), (279, 4, 1, len(data)),
    ]  # fmt: skip
    start = 14 + len(data)
    header = (b"II" if order == "little" else b"MM") + struct.pack(f"{sign}HL3H", 42, start, 16, 16, 16)
    entries = b"".join(
        struct.pack(f"{sign}HHL", tag, kind, count)
        + (struct.pack(f"{sign}L", number) if kind == 4 or count > 2 else struct.pack(f"{sign}HH", number, 0))
        for tag, kind, count, number in tags
    )
    return header + data + struct.pack(f"{sign}H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "RGBX"])
def test_every_colour_mode_becomes_rgb(encode: Encode, mode: str) -> None:
    image = Image.new("RGB", (8, 8), RED if mode not in ("1", "L") else WHITE)
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
        image = ImageCms.applyTransform(image, transform)
    else:
        image = image.convert(mode)
    content = encode(image, "JPEG" if mode == "YCbCr" else "TIFF")
    expected = WHITE if mode in ("1", "L") else RED
    assert pixel(content, 4, 4) == pytest.approx(expected, abs=6)


def turned(orientation: int) -> bytes:
    """Return a damaged EXIF block with an orientation: its first entry and its length are wrong."""
    entries = struct.pack("<HHLL", 0x8769, 4, 1, 0xFFFFFFFF) + struct.pack("<HHLHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 900) + entries


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (1, 1)), (2, (6, 1)), (3, (6, 6)), (4, (1, 6)), (5, (1, 1)), (6, (6, 1)), (7, (6, 6)), (8, (1, 6))],
)
def test_orientation_is_read_from_a_damaged_exif_block(
    encode: Encode, form: str, orientation: int, corner: tuple[int, int]
) -> None:
    values = np.zeros((8, 8, 3), np.uint8)
    values[:4, :4] = 255
    options = {"quality": 100} if form != "PNG" else {}
    content = encode(values, form, exif=turned(orientation), **options)
    assert pixel(content, *corner)[0] > 200
    assert pixel(content, 7 - corner[0], 7 - corner[1])[0] < 60


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x01\0\x06\0\0",  # the orientation as text
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0",  # orientation 99
        b"nonsense",
    ],
)
def test_an_unreadable_orientation_is_none(encode: Encode, block: bytes) -> None:
    values = np.zeros((8, 8, 3), np.uint8)
    values[:4] = 255
    assert pixel(encode(values, "JPEG", quality=100, exif=block), 4, 1)[0] > 200


def test_the_orientation_of_a_tiff_is_applied(encode: Encode) -> None:
    values = np.zeros((8, 8, 3), np.uint8)
    values[:4] = 255
    assert pixel(encode(values, "TIFF", tiffinfo={274: 3}), 4, 6) == WHITE


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(encode: Encode, form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    content = encode(frames[0], form, save_all=True, append_images=frames[1:])
    assert pixel(content, 4, 4) == pytest.approx(RED, abs=8)


def test_grey_networks_get_every_level_of_a_grey_image(encode: Encode) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    decoded = decode(encode(values), Decoding(16, channels=1))
    assert decoded.shape == (1, 16, 16)
    assert (decoded[0] == values).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("resize", "left", "middle", "above"),
    [("crop", (200, 200, 200), (200, 200, 200), (200, 200, 200)),
     ("stretch", (0, 0, 0), (200, 200, 200), (200, 200, 200)),
     ("pad", (0, 0, 0), (200, 200, 200), (7, 8, 9))],
)  # fmt: skip
def test_resize(
    encode: Encode, form: str, resize: str, left: tuple[int, ...], middle: tuple[int, ...], above: tuple[int, ...]
) -> None:
    """A strip of 400 x 100 that is black, then grey, then black."""
    values = np.zeros((100, 400, 3), np.uint8)
    values[:, 135:265] = 200
    content = encode(values, form, **({"quality": 100} if form == "JPEG" else {}))
    options = {"resize": resize, "background": (7, 8, 9)}
    assert pixel(content, 0, 8, 16, **options) == pytest.approx(left, abs=3)
    assert pixel(content, 8, 8, 16, **options) == pytest.approx(middle, abs=3)
    assert pixel(content, 8, 1, 16, **options) == pytest.approx(above, abs=3)


@pytest.mark.parametrize("size", [(1, 1), (3, 1000), (1000, 3), (8, 8), (7, 9)])
@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_every_size_becomes_square(encode: Encode, size: tuple[int, int], resize: str, form: str) -> None:
    content = encode(Image.new("RGB", size, RED), form)
    decoded = decode(content, Decoding(8, resize=resize))
    assert decoded.shape == (3, 8, 8)
    assert decoded.dtype == np.uint8
    assert decoded[0].max() >= 250


@pytest.mark.parametrize("side", [16, 64, 100, 224])
@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_reduced_decoding_differs_by_less_than_two_levels(
    encode: Encode, photograph: Callable[..., Image.Image], side: int, resize: str
) -> None:
    image = photograph(1200, 901)
    whole = decode(encode(image, "BMP"), Decoding(side, resize=resize)).astype(int)
    reduced = decode(encode(image, "JPEG", quality=95), Decoding(side, resize=resize)).astype(int)
    assert np.abs(whole - reduced).mean() < 2
    if resize == "crop":
        first = decode(encode(image, "JPEG", quality=95), Decoding(side, rules=1)).astype(int)
        assert np.abs(first - reduced).mean() < 2


def test_rules_1_are_the_pixels_of_version_0_1_0(encode: Encode) -> None:
    """The expected values are those that version 0.1.0 gave."""
    x, y = np.meshgrid(np.arange(12), np.arange(8))
    values = np.stack([x * 20, y * 30, (x + y) * 10, 255 - x * 20], -1).astype(np.uint8)
    expected = EXPECTED_0_1_0
    assert decode(encode(values), Decoding(4, rules=1)).tolist() == expected
    deep = (y * 257 * 30 + x * 100).astype(np.uint16)
    assert decode(encode(deep), Decoding(4, rules=1))[0].tolist() == EXPECTED_DEEP_0_1_0
    assert decode(encode(values[..., :3]), Decoding(4, channels=1, rules=1))[0].tolist() == EXPECTED_GREY_0_1_0


EXPECTED_0_1_0 = [
    [[50, 90, 130, 170], [50, 90, 130, 170], [50, 90, 130, 170], [50, 90, 130, 170]],
    [[21, 21, 21, 21], [75, 75, 75, 75], [135, 135, 135, 135], [189, 189, 189, 189]],
    [[32, 52, 72, 92], [50, 70, 90, 110], [70, 90, 110, 130], [88, 108, 128, 148]],
]
EXPECTED_DEEP_0_1_0 = [[22, 22, 23, 24], [76, 76, 77, 78], [136, 136, 137, 138], [190, 190, 191, 192]]
EXPECTED_GREY_0_1_0 = [[31, 45, 59, 74], [65, 79, 93, 107], [102, 116, 131, 145], [136, 150, 164, 179]]


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 0}, {"image_size": 8.0}, {"channels": 2}, {"resize": "squash"}, {"rules": 3},
        {"background": (0, 0)}, {"background": (0, 0, 256)}, {"background": "white"}, {"value_range": (1, 1)},
        {"value_range": (0, float("inf"))}, {"value_range": 255}, {"rules": 1, "resize": "pad"},
        {"rules": 1, "value_range": (0, 9)}, {"interpolation": "nearest"}, {"rules": 1, "interpolation": "bicubic"},
    ],
)  # fmt: skip
def test_a_decoding_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    key = next(iter(options))
    with pytest.raises(DataError, match=key):
        Decoding(**{"image_size": 8, **options})


def test_a_decoding_survives_json() -> None:
    import json

    decoding = Decoding(64, channels=1, resize="pad", background=(1, 2, 3), value_range=(0, 4095))
    for one in (decoding, Decoding(8, interpolation="bicubic")):
        assert Decoding.from_json(json.loads(json.dumps(one.to_json()))) == one
    # hashes of data and names of cache files of the versions before `interpolation` depend on these keys
    assert set(Decoding(8).to_json()) == {"image_size", "channels", "resize", "background", "value_range", "rules"}
    assert Decoding.from_json({"image_size": 8}) == Decoding(8)
    with pytest.raises(DataError, match="sharpen"):
        Decoding.from_json({"image_size": 8, "sharpen": True})
