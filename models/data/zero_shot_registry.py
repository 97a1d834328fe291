"""Zero-shot data sets by name: load them and split their classes into seen and unseen ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...spaces.parameters.lookup import look_up
from ..image_files.errors import DataError
from .dataset import Request
from .glyphs import load_glyphs
from .shapes import ZERO_SHOT_DATASETS, check_image_size
from .zero_shot import ZeroShotData, ZeroShotSource, draw_unseen
from .zero_shot_folder import load_cub, load_flowers, load_folder

DATASETS_WITH_TEXTS: dict[str, Callable[[Request, Path], ZeroShotSource]] = {
    "imagefolder": load_folder,
    "cub-200": load_cub,
    "flowers102": load_flowers,
}


def load_zero_shot(
    name: str,
    *,
    path: str | Path | None = None,
    texts: str | Path | None = None,
    image_size: int | None = None,
    unseen_fraction: float = 0.2,
    seen: Sequence[str] | None = None,
    unseen: Sequence[str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    download: bool = False,
) -> ZeroShotData:
    """Load the zero-shot data set ``name``: ``glyphs``, or images in ``path`` with ``CLASS.txt`` files in ``texts``.

    No network is trained on the unseen classes. They are those listed in ``unseen``; without ``unseen`` all that are
    not listed in ``seen``; without both the fraction ``unseen_fraction``, drawn by ``seed``. ``limit`` keeps at most so
    many images of glyphs; other data sets ignore it. ``image_size`` is a side in pixels.

    Raises ``ValueError`` for an unknown name and :class:`DataError` for data that cannot be used.
    """
    look_up(dict.fromkeys(ZERO_SHOT_DATASETS), name, "zero-shot data set")  # raises for an unknown name
    check_image_size(image_size)
    request = Request(Path(path) if path is not None else None, image_size, limit, seed, download)
    if name == "glyphs":
        source = load_glyphs(request)
    else:
        if texts is None:
            raise DataError(f"data set {name!r} needs texts, but got none; set texts to a folder of CLASS.txt files")
        source = DATASETS_WITH_TEXTS[name](request, Path(texts))
    return ZeroShotData.of(
        name, source, draw_unseen(source.classes, fraction=unseen_fraction, seed=seed, seen=seen, unseen=unseen)
    )
