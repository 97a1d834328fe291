"""Zero-shot data sets by name: load them and split their classes into seen and unseen ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...spaces.parameters.lookup import look_up
from ..image_files.errors import DataError
from ..image_files.locations import Location, location
from .dataset import Request
from .glyphs import load_glyphs
from .shapes import ZERO_SHOT_DATASETS
from .zero_shot import ZeroShotData, ZeroShotSource, draw_unseen
from .zero_shot_folder import load_cub, load_flowers, load_folder

DATASETS_WITH_TEXTS: dict[str, Callable[[Request, Path], ZeroShotSource]] = {
    "images": load_folder,
    "imagefolder": load_folder,
    "cub-200": load_cub,
    "flowers102": load_flowers,
}


def load_zero_shot(
    name: str,
    *,
    path: str | Location | None = None,
    texts: str | Path | None = None,
    unseen_fraction: float = 0.2,
    seen: Sequence[str] | None = None,
    unseen: Sequence[str] | None = None,
    **options: Any,
) -> ZeroShotData:
    """Load the zero-shot data set ``name``: ``glyphs``, or images in ``path`` with ``CLASS.txt`` files in ``texts``.

    No network is trained on the unseen classes. They are those listed in ``unseen``; without ``unseen`` all that are
    not listed in ``seen``; without both the fraction ``unseen_fraction``, drawn by ``seed``. The ``options`` are the
    other fields of :class:`~archsieve.models.data.dataset.Request`; only glyphs have a ``limit``.

    Raises ``ValueError`` for an unknown name and :class:`DataError` for data that cannot be used.
    """
    look_up(dict.fromkeys(ZERO_SHOT_DATASETS), name, "zero-shot data set")  # raises for an unknown name
    request = Request(None if path is None else location(path), **options)
    if request.limit is not None and name != "glyphs":
        raise DataError(
            f"limit must be left out for data set {name!r}, but got {request.limit!r}; only glyphs takes it"
        )
    if name == "glyphs":
        source = load_glyphs(request)
    else:
        if texts is None:
            raise DataError(f"data set {name!r} needs texts, but got none; set texts to a folder of CLASS.txt files")
        source = DATASETS_WITH_TEXTS[name](request, Path(texts).expanduser())
    drawn = draw_unseen(source.classes, fraction=unseen_fraction, seed=request.seed, seen=seen, unseen=unseen)
    return ZeroShotData.of(name, source, drawn)
