"""Zero-shot data sets by name: loaded, and their classes split into seen and unseen ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...spaces.parameters.lookup import look_up
from .dataset import Request
from .errors import DataError
from .glyphs import load_glyphs
from .shapes import ZERO_SHOT_DATASETS, check_image_size
from .zero_shot import ZeroShotData, ZeroShotSource, draw_unseen
from .zero_shot_folder import load_cub, load_flowers, load_folder

WITH_TEXTS: dict[str, Callable[[Request, Path], ZeroShotSource]] = {
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
    """The zero-shot data set ``name``: ``glyphs``, or pictures in ``path`` with a folder ``texts`` of ``CLASS.txt``.

    The classes named ``unseen`` are never trained on, or all but those named ``seen``, or a fraction drawn by ``seed``.
    ``limit`` keeps at most so many pictures of glyphs. Raises :class:`DataError` for data that cannot be used.
    """
    look_up(dict.fromkeys(ZERO_SHOT_DATASETS), name, "zero-shot data set")
    check_image_size(image_size)
    request = Request(Path(path) if path is not None else None, image_size, limit, seed, download)
    if name == "glyphs":
        source = load_glyphs(request)
    else:
        if texts is None:
            raise DataError(f"data set {name!r} needs texts, but got none; set texts to a folder of CLASS.txt")
        source = WITH_TEXTS[name](request, Path(texts))
    return ZeroShotData.of(
        name, source, draw_unseen(source.classes, fraction=unseen_fraction, seed=seed, seen=seen, unseen=unseen)
    )
