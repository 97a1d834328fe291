"""Checkpoint files: where a trial's last epoch lies, and how it goes. Imports no torch: the driver needs it too."""

import contextlib
from pathlib import Path


def drop(path: Path) -> None:
    """Remove the checkpoint of a trial that has ended."""
    for leftover in (path, path.with_suffix(".tmp")):
        with contextlib.suppress(FileNotFoundError):
            leftover.unlink()


def checkpoint_path(folder: Path, trial: int) -> Path:
    """Where the last epoch of a trial lies in the run's folder."""
    return folder / "checkpoints" / f"{trial}.pt"
