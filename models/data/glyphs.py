"""The glyphs: characters drawn with the DejaVu faces that matplotlib ships; a class's text is its Unicode name.

A real zero-shot task with nothing to download: "LATIN SMALL LETTER E WITH ACUTE" is made of words that other
characters share. The faces are free (matplotlib's LICENSE_DEJAVU).
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
LEAST_FACES = 10  # a character with ink in fewer is left out
EM = 0.6875  # of the side: the size that characters are drawn at, unless they are too wide for the picture


def load_glyphs(request: Request) -> ZeroShotSource:
    """Grey pictures (N, 1, S, S), uint8, white ink on black, and the Unicode name of each class.

    The seed draws one face of each family for the tests. A limit keeps whole characters, drawn by the seed.
    """
    side = request.image_size or GLYPH_SIDE
    fonts = [ImageFont.truetype(_face_file(face), round(EM * side)) for face in FACES]
    characters = _characters()
    if request.limit is not None:
        kept = np.random.default_rng(request.seed).permutation(len(characters))
        characters = [characters[k] for k in sorted(kept[: max(2, request.limit // len(FACES))])]
    pictures: list[np.ndarray] = []
    names: list[str] = []
    labels: list[int] = []
    faces: list[int] = []
    for character, having in characters:
        drawn = [(face, _draw(character, fonts[face], side)) for face in having]
        inked = [(face, picture) for face, picture in drawn if picture.any()]
        if len(inked) < LEAST_FACES:
            continue
        pictures += [picture for _, picture in inked]
        faces += [face for face, _ in inked]
        labels += [len(names)] * len(inked)
        names.append(unicodedata.name(character))
    groups = torch.tensor(faces)
    held = torch.isin(groups, torch.tensor(held_out_faces(request.seed)))
    split = Split(torch.from_numpy(np.stack(pictures)).unsqueeze(1), torch.tensor(labels))
    return ZeroShotSource(tuple(names), tuple(names), split, held, held, groups)


def held_out_faces(seed: int) -> list[int]:
    """The places in ``FACES`` that are never trained on: one of each family, drawn by ``seed``."""
    rng = np.random.default_rng(seed)
    return [FACES.index(str(rng.choice(family))) for family in FAMILIES]


def _face_file(face: str) -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf")


def _characters() -> list[tuple[str, list[int]]]:
    """The named characters that enough faces have, in the order of their code points, and the faces that have them."""
    from matplotlib.ft2font import FT2Font

    having: dict[int, list[int]] = {}
    for place, face in enumerate(FACES):
        for code in FT2Font(_face_file(face)).get_charmap():
            having.setdefault(code, []).append(place)
    return [
        (chr(code), faces) for code, faces in sorted(having.items()) if len(faces) >= LEAST_FACES and _named(chr(code))
    ]


def _named(character: str) -> bool:
    try:
        return bool(unicodedata.name(character))
    except ValueError:
        return False


def _draw(character: str, font: ImageFont.FreeTypeFont, side: int) -> np.ndarray:
    """One picture: the baseline three quarters down, the ink centred from left to right, all of it inside."""
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
