"""Glyphs: characters drawn with the DejaVu fonts that matplotlib ships; the text of a class is its Unicode name.

This is a real zero-shot task without a download: a name such as "LATIN SMALL LETTER E WITH ACUTE" consists of words
that occur in the names of other characters too. The fonts are free (matplotlib's LICENSE_DEJAVU).
"""

import unicodedata
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .dataset import Request, Split
from .shapes import GLYPH_SIDE
from .zero_shot import ZeroShotSource

FAMILIES = (
    ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
)
FACES = tuple(face for family in FAMILIES for face in family)
MIN_FACES = 10  # a character that fewer of the 12 faces can draw is left out
FONT_SIZE = 0.6875  # of the image side; a character that is too large for the image is drawn smaller


def load_glyphs(request: Request) -> ZeroShotSource:
    """Draw grey images (N, 1, S, S), uint8, white on black, and return them with the Unicode name of each class.

    The seed selects one face of each family for the test images. A limit keeps all images of some characters, selected
    by the seed.
    """
    side = request.image_size or GLYPH_SIDE
    fonts = [ImageFont.truetype(_face_file(face), round(FONT_SIZE * side)) for face in FACES]
    characters = _characters()
    if request.limit is not None:
        order = np.random.default_rng(request.seed).permutation(len(characters))
        # At least two characters, because a zero-shot split needs a seen and an unseen class.
        characters = [characters[k] for k in sorted(order[: max(2, request.limit // len(FACES))])]
    images: list[np.ndarray] = []
    names: list[str] = []
    labels: list[int] = []
    faces: list[int] = []
    for character, available_faces in characters:
        drawn = [(face, _draw(character, fonts[face], side)) for face in available_faces]
        # A font also lists characters without ink, such as spaces; they would give equal black images.
        inked = [(face, image) for face, image in drawn if image.any()]
        if len(inked) < MIN_FACES:
            continue
        images += [image for _, image in inked]
        faces += [face for face, _ in inked]
        labels += [len(names)] * len(inked)
        names.append(unicodedata.name(character))
    groups = torch.tensor(faces)
    in_test_face = torch.isin(groups, torch.tensor(held_out_faces(request.seed)))
    split = Split(torch.from_numpy(np.stack(images)).unsqueeze(1), torch.tensor(labels))
    return ZeroShotSource(tuple(names), tuple(names), split, in_test_face, in_test_face, groups)


def held_out_faces(seed: int) -> list[int]:
    """Return the indices in ``FACES`` that no network is trained on: one of each family, drawn by ``seed``."""
    rng = np.random.default_rng(seed)
    return [FACES.index(str(rng.choice(family))) for family in FAMILIES]


def _face_file(face: str) -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf")


def _characters() -> list[tuple[str, list[int]]]:
    """Return the named characters that enough faces have, in the order of code points, each with these faces."""
    from matplotlib.ft2font import FT2Font

    faces_of: dict[int, list[int]] = {}
    for index, face in enumerate(FACES):
        for code in FT2Font(_face_file(face)).get_charmap():
            faces_of.setdefault(code, []).append(index)
    return [
        (chr(code), faces) for code, faces in sorted(faces_of.items()) if len(faces) >= MIN_FACES and _named(chr(code))
    ]


def _named(character: str) -> bool:
    try:
        return bool(unicodedata.name(character))
    except ValueError:
        return False


def _draw(character: str, font: ImageFont.FreeTypeFont, side: int) -> np.ndarray:
    """Draw one image (side, side): the baseline at three quarters of the height, the ink centred horizontally.

    A character larger than the image is scaled down, and one that would cross an edge is moved inside.
    """
    left, top, right, bottom = font.getbbox(character, anchor="ls")
    baseline = 0.75 * side
    if right - left > side or bottom - top > side:
        font = font.font_variant(size=max(1, int(font.size * side / max(right - left, bottom - top))))
        left, top, right, bottom = font.getbbox(character, anchor="ls")
    canvas = Image.new("L", (side, side))
    x = (side - (right - left)) / 2 - left
    y = min(max(baseline, -top), side - bottom)
    ImageDraw.Draw(canvas).text((round(x), round(y)), character, fill=255, font=font, anchor="ls")
    return np.asarray(canvas)
