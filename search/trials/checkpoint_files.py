"""Checkpoint files: the last two epochs of a trial, whole or known to be broken.

Torch is imported when a state is read or written: the driver lists files without it.

A file is one line (``archsieve checkpoint 1 SHA256``), one line of JSON (whose it is, which epoch), then the state; the
sum is over all that follows the first line. The previous epoch stays until the next one is whole.
"""

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..cluster.fault_injection import fault

_FIRST = b"archsieve checkpoint 1 "


class BrokenCheckpointError(ValueError):
    """A checkpoint that is not whole, or another trial's; the message names the file."""


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself: ``identity`` is that of the trial, ``epoch`` the last one done."""

    identity: str
    epoch: int


@dataclass(frozen=True)
class CheckpointDir:
    """The directory of one trial's last epochs, on this machine or behind a URL that fsspec knows."""

    url: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(self.url)
        return files, str(root)

    @property
    def local(self) -> bool:
        """Whether it is a folder of this machine (or mounted there)."""
        return "file" in _protocols(self._place[0])

    def epochs(self) -> list[int]:
        """The epochs that have a file, the newest first."""
        stems = (name.removesuffix(".pt") for name in self.names() if name.endswith(".pt"))
        return sorted((int(stem) for stem in stems if stem.isdigit()), reverse=True)

    def names(self) -> list[str]:
        """The names of all files."""
        files, root = self._place
        files.invalidate_cache()
        try:
            return [Path(path).name for path in files.ls(root, detail=False)]
        except FileNotFoundError:
            return []

    def path(self, epoch: int) -> str:
        """The path of the checkpoint of ``epoch``."""
        return f"{self._place[1]}/{epoch}.pt"

    def write(self, header: Header, state: bytes) -> None:
        """Put a checkpoint down whole or not at all; then only it and the one before it stay."""
        told = json.dumps({"identity": header.identity, "epoch": header.epoch}).encode() + b"\n"
        digest = hashlib.sha256(told)
        digest.update(state)
        parts = (_FIRST + digest.hexdigest().encode() + b"\n", told, state)
        if self.local:
            _write_file(Path(self.path(header.epoch)), parts)
        else:  # an object store shows an object only when all of it has come
            self._place[0].pipe_file(self.path(header.epoch), b"".join(parts))
        there = self.epochs()
        before = [epoch for epoch in there if epoch < header.epoch]
        for epoch in set(there) - {header.epoch, *before[:1]}:
            self._remove(self.path(epoch))

    def read(self, epoch: int, identity: str | None = None) -> tuple[Header, bytes]:
        """The checkpoint of ``epoch``; ``BrokenCheckpointError`` where it is not whole or not of ``identity``."""
        path = self.path(epoch)
        try:
            whole = self._place[0].cat_file(path)
        except OSError as error:
            raise BrokenCheckpointError(f"the checkpoint {path} cannot be read: {error}") from error
        first, _, rest = whole.partition(b"\n")
        if first != _FIRST + hashlib.sha256(rest).hexdigest().encode():
            raise BrokenCheckpointError(f"the checkpoint {path} is not whole: its sum is not what it says")
        told, _, state = rest.partition(b"\n")
        header = Header(**json.loads(told))
        if identity not in (None, header.identity):
            raise BrokenCheckpointError(f"the checkpoint {path} is another trial's")
        return header, state

    def clear(self) -> None:
        """Remove all files: the trial has ended."""
        root = self._place[1]
        for name in self.names():
            self._remove(f"{root}/{name}")
        if self.local and Path(root).is_dir():
            Path(root).rmdir()

    def _remove(self, path: str) -> None:
        try:
            self._place[0].rm_file(path)
        except FileNotFoundError:
            return


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run: a directory for each trial, by its id."""

    url: str

    def of_trial(self, trial: int) -> CheckpointDir:
        """The directory of a trial."""
        return CheckpointDir(f"{self.url.rstrip('/')}/{trial}")

    def trials(self) -> Iterator[int]:
        """The trials that have a directory."""
        return (int(name) for name in CheckpointDir(self.url).names() if name.isdigit())


def checkpoints_of(folder: Path, url: str | None) -> Checkpoints:
    """The checkpoints of the run whose folder is ``folder``: in it, or under the ``url`` of its settings."""
    if url is None:
        return Checkpoints(str(folder.resolve() / "checkpoints"))
    return Checkpoints(f"{url if '://' in url else Path(url).resolve()}".rstrip("/") + f"/{folder.name}")


def identity_of(told: dict[str, Any]) -> str:
    """What tells a trial's checkpoints from any other's: its network, its recipe and its seed."""
    facts = {name: told[name] for name in ("architecture", "recipe", "seed")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _write_file(path: Path, parts: tuple[bytes, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    try:
        with partial.open("wb") as out:
            out.writelines(parts)
            out.flush()
            os.fsync(out.fileno())
        fault("ckpt_tmp_written")
        partial.replace(path)
    except OSError:  # a full disk most of all: give back what was taken
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    fault("ckpt_renamed")


def _sync_folder(folder: Path) -> None:
    """Make a rename last: without it a loss of power may undo it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


class LoadedCheckpoint(NamedTuple):
    """The newest whole state of a directory, or None; and what was wrong with newer ones, in words."""

    state: dict[str, Any] | None
    problems: list[str]


def save(checkpoint_dir: CheckpointDir, identity: str, epoch: int, state: dict[str, Any]) -> None:
    """Put down the state after ``epoch``; the one before stays until this one is whole."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    checkpoint_dir.write(Header(identity, epoch), buffer.getvalue())


def load(checkpoint_dir: CheckpointDir, identity: str) -> LoadedCheckpoint:
    """The newest state that is whole and of this trial. No code is run from a file."""
    import torch

    names, problems = checkpoint_dir.names(), []
    if any(name.endswith(".tmp") for name in names):
        problems.append(f"the writing of a checkpoint in {checkpoint_dir.url} was cut short")
    for epoch in checkpoint_dir.epochs():
        try:
            _, state = checkpoint_dir.read(epoch, identity)
            return LoadedCheckpoint(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True), problems)
        except (BrokenCheckpointError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            problems.append(str(error))
    return LoadedCheckpoint(None, problems)
