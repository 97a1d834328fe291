"""Images of a manifest that do not exist: one error with their number, and a file that the first may mean."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..image_files.errors import DataError
from ..image_files.locations import Location
from .split_names import IMAGE_SUFFIXES, is_ignored

MAX_FOLDERS = 20  # below the folder of the manifest, in which a similar path is searched


def check_paths_exist(shown: Sequence[str], n_missing: int, n: int, where: str, base: Location) -> None:
    """Raise :class:`DataError` if ``n_missing`` of ``n`` images are missing; ``shown`` are the first."""
    if n_missing:
        more = f" and {n_missing - len(shown):,} more" if n_missing > len(shown) else ""
        similar = similar_path(shown[0], base) if isinstance(base, Path) else None
        hint = "" if similar is None else f"is the first one {similar}? "
        raise DataError(
            f"every image of {where} must exist, but {n_missing:,} of {n:,} do not: {', '.join(shown)}{more}; "
            f"paths are relative to {base}: {hint}correct them, or move the manifest"
        )


def similar_path(path: str, base: Path) -> str | None:
    """Return a file relative to ``base`` that ``path`` may mean; None without one.

    The file differs from ``path`` by letters in another case, by spaces around it, by a suffix such as ``.png`` that
    is missing, or by the first folders, as in a manifest of another machine.
    """
    parts = [part for part in path.strip().split("/") if part not in ("", ".", "..")]
    folders = [name for name in _names(base) if not is_ignored(name) and (base / name).is_dir()]
    places = [base, *(base / name for name in folders[:MAX_FOLDERS])]
    found = (_resolve(place, parts[start:]) for start in range(len(parts)) for place in places)
    file = next((file for file in found if file is not None), None)
    return None if file is None else str(PurePosixPath(file.relative_to(base)))


def _resolve(place: Path, parts: Sequence[str]) -> Path | None:
    """Return the file at ``parts`` below ``place``, with names that are alike; None without one."""
    for depth, part in enumerate(parts, start=1):
        names = _names(place)
        name = part if part in names else next((name for name in names if name.casefold() == part.casefold()), None)
        if name is None and depth == len(parts):
            name = next((name for name in names if _is_image_of(name, part)), None)
        if name is None:
            return None
        place /= name
    return place if place.is_file() else None


def _is_image_of(name: str, stem: str) -> bool:
    file = PurePosixPath(name)
    return file.suffix[1:].lower() in IMAGE_SUFFIXES and file.stem.casefold() == stem.casefold()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, and no paths, of a folder that may be large
    except OSError:
        return []
