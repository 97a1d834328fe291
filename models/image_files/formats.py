"""Formats of image files: which are read, and what a file is that cannot be read."""

from typing import IO

from PIL import Image, ImageFile, TiffImagePlugin, features

# Only these are passed to Pillow. Other formats that it knows are obsolete, or run another program (EPS) or the
# operating system (WMF). TGA is last: it has no signature, so that many files could be taken for one.
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "QOI", "PCX", "SGI", "SUN", "DIB", "TGA",
)  # fmt: skip

_CONVERT = "convert it to PNG or JPEG"
_SIGNATURES = (
    (0, b"\x00\x00\x01\x00", "a Windows icon", _CONVERT),
    (0, b"%!PS", "PostScript, which is a program and is not run", _CONVERT),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript, which is a program and is not run", _CONVERT),
    (0, b"%PDF", "a PDF document", "convert its pages to PNG"),
    (0, b"8BPS", "a Photoshop document", _CONVERT),
    (128, b"DICM", "DICOM, which holds a medical image with its patient data", "convert it to 16-bit PNG"),
    (0, b"SIMPLE  =", "FITS, an astronomical image", "convert it to 16-bit PNG"),
    (0, b"\x89HDF", "HDF5", "convert it to PNG or TIFF"),
    (0, b"\x93NUMPY", "a NumPy array", "convert it to PNG or TIFF"),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (0, b"Rar!", "a RAR archive", "unpack it"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video", "extract its frames"),
    (4, b"ftypqt", "a QuickTime video", "extract its frames"),
    (4, b"ftypisom", "an MP4 video", "extract its frames"),
    (4, b"ftypmp4", "an MP4 video", "extract its frames"),
    (8, b"AVI ", "an AVI video", "extract its frames"),
    (0, b"\xff\x0a", "JPEG XL", _CONVERT),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL", _CONVERT),
    (0, b"version https://git-lfs", "a pointer of Git LFS and not the image itself", "run git lfs pull"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile", _CONVERT),
)
_BROKEN = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WEBP"}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
HEAD_BYTES = 512  # of a file, enough to name what it is


def open_image(stream: IO[bytes]) -> ImageFile.ImageFile:
    """Open an image without decoding it. Raises what Pillow raises; the caller names the file."""
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    # A format that was tried and does not fit is closed by Pillow only where it opened the file itself.
    return Image.open(stream, formats=(*FORMATS, "HEIF") if is_heif(head) and _register_heif() else FORMATS)


def is_heif(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is HEIC, which iPhones write."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in head[8:32]


def describe_unreadable(head: bytes, stream: IO[bytes]) -> tuple[str, str]:
    """Return what a file is that :func:`open_image` cannot open, and what to do with it.

    ``head`` are its first bytes and ``stream`` is the whole of it.
    """
    if not head:
        return "empty", "remove it"
    if is_heif(head) and _register_heif():
        return "a broken HEIC", "replace or remove it"
    if is_heif(head):
        return "HEIC, which needs pillow-heif", "pip install 'archsieve[heif]' or convert it to JPEG"
    if head[4:12] == b"ftypavif" and not features.check("avif"):
        return "AVIF, which this build of Pillow lacks", "pip install --upgrade pillow or convert it to JPEG"
    for offset, signature, what, cure in _SIGNATURES:
        if head[offset:].startswith(signature):
            return what, cure
    if broken := next((form for signature, form in _BROKEN.items() if head.startswith(signature)), None):
        return f"a broken {broken}", "replace or remove it"
    if head.startswith(_TIFF_HEADERS):
        return _describe_tiff(stream), "save it as a TIFF of 1, 3 or 4 bands of 8, 16 or 32 bits"
    return _describe_text(head)


def _describe_tiff(stream: IO[bytes]) -> str:
    """Return the kind of a TIFF by its directory, such as "a TIFF of 13 bands of 16 bits"."""
    try:
        stream.seek(0)
        directory = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
        stream.seek(directory.next)
        directory.load(stream)
        bands, bits = directory[TiffImagePlugin.SAMPLESPERPIXEL], directory[TiffImagePlugin.BITSPERSAMPLE]
        return f"a TIFF of {bands} bands of {bits[0] if isinstance(bits, tuple) else bits} bits"
    except Exception:  # any: the file is broken, and the caller only wants its name
        return "a broken TIFF"


def _describe_text(head: bytes) -> tuple[str, str]:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<svg", b"<?xml")) and (b"<svg" in start or b"svg" in head):
        return "SVG, which is a drawing and has no pixels", "convert it to PNG"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, which a failed download may leave", "download the image again"
    if not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "text", "remove it"
    return "none of the formats that are read", f"remove it, or {_CONVERT}"


def _register_heif() -> bool:
    """Return whether pillow-heif is installed; if so, let Pillow open HEIC with it."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def holds_full_size(image: Image.Image) -> bool:
    """Return whether a JPEG is progressive: its coefficients are held at full size, also if less is decoded."""
    return bool(image.info.get("progressive") or image.info.get("progression"))
