"""Checkpoints: a fit's state on its trial's shelf, and back; for the worker or the driver that comes after a crash."""

import io
import pickle
import zipfile
from typing import Any, NamedTuple

import torch

from .checkpoint_files import BrokenCheckpointError, Header, Shelf


class Found(NamedTuple):
    """What lay on a shelf: the newest whole state, or None; and what was in its way, in words."""

    state: dict[str, Any] | None
    problems: list[str]


def save(shelf: Shelf, identity: str, epoch: int, state: dict[str, Any]) -> None:
    """Put down the state after ``epoch``; the one before stays until this one is whole."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    shelf.write(Header(identity, epoch), buffer.getvalue())


def load(shelf: Shelf, identity: str) -> Found:
    """The newest state that is whole and of this trial. No code is run from a file."""
    names, problems = shelf.names(), []
    if any(name.endswith(".tmp") for name in names):
        problems.append(f"the writing of a checkpoint in {shelf.url} was cut short")
    for epoch in shelf.epochs():
        try:
            _, state = shelf.read(epoch, identity)
            return Found(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True), problems)
        except (BrokenCheckpointError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            problems.append(str(error))
    return Found(None, problems)
