"""Checkpoints: a trial's last epoch on disk, whole or not at all, for the driver that comes after a crash."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` beside ``path``, then put it in its place: what was there before stays until the new is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """The state at ``path``, or None where there is none or it is not whole. No code is run from the file."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError):
        return None
    return state
