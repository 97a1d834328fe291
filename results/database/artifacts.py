"""Artifact files: where the files of trials lie, and that they are what was written."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .atomic_file import whole
from .errors import RefusedError
from .schema import check_uri
from .writer import Writing


def path_of(folder: Path, uri: str) -> Path:
    """Where the artifact lies below ``folder``; ``RefusedError`` where that would be outside, by '..' or a link.

    A store may come from anywhere: what it names is checked again before it is read or removed.
    """
    root = folder.resolve()
    try:
        path = (root / check_uri(uri)).resolve()
    except ValueError as error:
        raise RefusedError(f"{error}; the file is neither read nor removed") from None
    if not path.is_relative_to(root):
        raise RefusedError(f"an artifact lies in {root}, but {uri!r} leads to {path}; it is neither read nor removed")
    return path


def whats_wrong(path: Path, size: int, sha256: str, *, deep: bool = True) -> str | None:
    """Why the file at ``path`` is not what was written, or None; its content is read only where ``deep``."""
    if not path.is_file():
        return "is not there"
    if path.stat().st_size != size:
        return f"has {path.stat().st_size} bytes instead of {size}"
    if deep and _sha256(path) != sha256:
        return "is not what was written: its sha256 differs"
    return None


def keep_file(store: Writing, trial_id: int, kind: str, folder: Path, uri: str, content: bytes) -> None:
    """Write a file of a trial and the row that tells of it; one of that name is replaced, and never half of it."""
    path = path_of(folder, uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as draft:
        draft.write_bytes(content)
    store.add_artifact(trial_id, kind, uri, len(content), hashlib.sha256(content).hexdigest())


def checked(folder: Path, artifact: Mapping[str, Any]) -> Path:
    """The file of a row of ``store.artifacts``, once its size and sha256 are found to be right."""
    path = path_of(folder, artifact["uri"])
    if (wrong := whats_wrong(path, artifact["bytes"], artifact["sha256"])) is not None:
        raise ValueError(f"{path} {wrong}; train the trial again, or bring the file back")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
