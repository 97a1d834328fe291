"""The orientation of an image file: how its pixels must be turned before anyone looks at them."""

import re
import struct

from PIL import Image
from PIL.ExifTags import Base

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_SHORT = 3  # the TIFF type of the orientation tag: a 16-bit unsigned integer


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that an opened ``image`` needs, None if it has no readable orientation.

    Only this one tag is read. Pillow's ``getexif`` and ``exif_transpose`` parse and rewrite the whole block and fail
    for a damaged one, although its pixels are fine.
    """
    return TURNS.get(_orientation(image))


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns it while loading, as the tag is not in a block of its own
        return 1
    block = image.info.get("exif") or _raw_profile(image.info.get("Raw profile type exif"))
    return (_from_exif(block) if isinstance(block, bytes) else None) or _from_xmp(image.info)


def _from_exif(block: bytes) -> int | None:
    """Return the orientation in an EXIF block, which is a TIFF directory; None if it cannot be read."""
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}L", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for k in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHLH", block, start + 2 + 12 * k)
            if tag == Base.Orientation:
                return value if kind == _SHORT else None
    except struct.error:  # the block ends before the tag
        pass
    return None


def _from_xmp(info: dict[str | tuple[int, int], object]) -> int:
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    match = _XMP.search(xmp.encode() if isinstance(xmp, str) else xmp) if isinstance(xmp, str | bytes) else None
    return int(match[1]) if match else 1


def _raw_profile(text: object) -> bytes | None:
    """Return the EXIF block that older tools write into a PNG as hexadecimal text after three lines."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None
