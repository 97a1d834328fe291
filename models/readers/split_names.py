"""The names that people give to splits, and names that are no data."""

import re
import unicodedata

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "validate"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "tst"), "test"),
}
# written by archive tools and file managers, not by the user
IGNORED = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "@eadir", "$recycle.bin"})
IMAGE_SUFFIXES = frozenset(
    {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm", "jp2", "avif", "heic", "heif"}
)


def split_of(name: str) -> str | None:
    """Return the split that a name means, in any spelling and case; None for another name."""
    return SPLIT_NAMES.get(name.strip().lower())


def split_in(path: str) -> str | None:
    """Return the split that is a word of a path, as in ``data/train-00000-of-00004.parquet``; None without one.

    >>> split_in("shards/imagenet-Validation-0003.tar"), split_in("digits.tar")
    ('val', None)
    """
    # the last word decides: a split may be below a folder such as test-data
    return next((split for word in reversed(re.split(r"[^A-Za-z]+", path)) if (split := split_of(word))), None)


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is hidden or was made by an archive tool or file manager."""
    return name.startswith(".") or name.lower() in IGNORED


def normalised(name: str) -> str:
    """Return a name in the Unicode form NFC: file systems differ in how they store an accent."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
