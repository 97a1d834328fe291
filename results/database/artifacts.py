"""Artifacts: files that belong to trials, such as trained weights, and the checks of their size and SHA-256 digest."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .atomic_file import atomic_write
from .errors import RefusedError
from .schema import check_uri
from .writer import StoreWriter


def artifact_path(folder: Path, uri: str) -> Path:
    """Return the path of the artifact ``uri`` in ``folder``.

    Raises ``RefusedError`` if the path would be outside ``folder``, because of '..' or of a symbolic link. A database
    file may come from an untrusted source, so every path in it is checked again before the file is read or removed.
    """
    root = folder.resolve()
    try:
        # resolve() follows links, so that a link inside the folder cannot lead out of it.
        path = (root / check_uri(uri)).resolve()
    except ValueError as error:
        raise RefusedError(f"{error}; the file is neither read nor removed") from None
    if not path.is_relative_to(root):
        raise RefusedError(
            f"an artifact must be inside {root}, but {uri!r} leads to {path}; it is neither read nor removed"
        )
    return path


def file_problem(path: Path, size: int, sha256: str, *, deep: bool = True) -> str | None:
    """Return how the file at ``path`` differs from what was written, or None if it does not differ.

    ``size`` is in bytes. The content is read, and its SHA-256 digest compared, only if ``deep``.
    """
    if not path.is_file():
        return "does not exist"
    # The size comes first, because it needs no read of the file.
    if path.stat().st_size != size:
        return f"has {path.stat().st_size} bytes instead of {size}"
    if deep and _sha256(path) != sha256:
        return "has changed since it was written: its sha256 differs"
    return None


def write_artifact(store: StoreWriter, trial_id: int, kind: str, folder: Path, uri: str, content: bytes) -> None:
    """Write an artifact file of a trial, and its row in the database. A file of the same name is replaced.

    The file is written before the row: if the process is killed in between, the database names no missing file.
    """
    path = artifact_path(folder, uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_bytes(content)
    store.add_artifact(trial_id, kind, uri, len(content), hashlib.sha256(content).hexdigest())


def verified_path(folder: Path, artifact: Mapping[str, Any], *, deep: bool = True) -> Path:
    """Return the path of a row of ``store.artifacts``; raise ``ValueError`` if its size or SHA-256 digest differs.

    The digest is compared only if ``deep``.
    """
    path = artifact_path(folder, artifact["uri"])
    if (problem := file_problem(path, artifact["bytes"], artifact["sha256"], deep=deep)) is not None:
        raise ValueError(f"{path} {problem}; train the trial again, or restore the file from a copy")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
