"""Checkpoint files: the last two epochs of a trial. A damaged file is always recognised.

A file has three parts: a line ``archsieve checkpoint 1 SHA256``, a line of JSON (the trial's identity and the epoch),
and the state. The checksum covers everything after the first line. The previous epoch stays until the next one is
written completely.

Torch is imported only to read or write a state, because the driver lists files without it.
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

from ...results.database.atomic_file import sync
from ...results.database.records import Trial
from ...results.database.sqlite_file import free_path
from ..cluster.fault_injection import fault

_MAGIC = b"archsieve checkpoint 1 "
_HEAD_BYTES = 512  # more than the two lines before the state


class BrokenCheckpointError(ValueError):
    """Raised for a checkpoint that is damaged or of another trial; the message names the file."""


@dataclass(frozen=True)
class Header:
    """The header of a checkpoint: the ``identity`` of the trial, and the last finished ``epoch``."""

    identity: str
    epoch: int


@dataclass(frozen=True)
class CheckpointDir:
    """The directory with the last checkpoints of one trial, on this machine or at a URL that fsspec supports."""

    url: str

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(self.url)
        return files, str(root)

    @property
    def local(self) -> bool:
        """Whether the directory is on this machine or mounted here."""
        return "file" in _protocols(self._filesystem[0])

    def epochs(self) -> list[int]:
        """Return the epochs that have a checkpoint, newest first."""
        stems = (name.removesuffix(".pt") for name in self.names() if name.endswith(".pt"))
        return sorted((int(stem) for stem in stems if stem.isdigit()), reverse=True)

    def names(self) -> list[str]:
        """Return the names of all files."""
        files, root = self._filesystem
        # fsspec caches listings; another process may have written since the last one.
        files.invalidate_cache()
        try:
            return [Path(path).name for path in files.ls(root, detail=False)]
        except FileNotFoundError:
            return []

    def path(self, epoch: int) -> str:
        """Return the path of the checkpoint of ``epoch``."""
        return f"{self._filesystem[1]}/{epoch}.pt"

    def write(self, header: Header, state: bytes) -> None:
        """Write a checkpoint atomically, then remove all but this one and the one before it."""
        header_line = json.dumps({"identity": header.identity, "epoch": header.epoch}).encode() + b"\n"
        digest = hashlib.sha256(header_line)
        digest.update(state)
        parts = (_MAGIC + digest.hexdigest().encode() + b"\n", header_line, state)
        if self.local:
            _set_aside(Path(self.path(header.epoch)))
            _write_file(Path(self.path(header.epoch)), parts)
        else:  # an object store shows an object only when its upload is complete
            self._filesystem[0].pipe_file(self.path(header.epoch), b"".join(parts))
        # Later epochs are removed, too: they are of another trial, or could not be used for this one.
        epochs = [epoch for epoch in self.epochs() if self.identity(f"{epoch}.pt") is not None]
        before = [epoch for epoch in epochs if epoch < header.epoch]
        for epoch in set(epochs) - {header.epoch, *before[:1]}:
            self._remove(self.path(epoch))

    def read(self, epoch: int, identity: str | None = None) -> tuple[Header, bytes]:
        """Read the checkpoint of ``epoch``: its header and its state.

        Raises ``BrokenCheckpointError`` when it cannot be read, is damaged, or is not of the trial ``identity``.
        """
        path = self.path(epoch)
        try:
            content = self._filesystem[0].cat_file(path)
        except OSError as error:
            raise BrokenCheckpointError(f"cannot read the checkpoint {path}: {error}") from error
        first, _, rest = content.partition(b"\n")
        if first != _MAGIC + hashlib.sha256(rest).hexdigest().encode():
            raise BrokenCheckpointError(f"the checkpoint {path} is damaged: its SHA-256 does not match its content")
        header_line, _, state = rest.partition(b"\n")
        header = Header(**json.loads(header_line))
        if identity not in (None, header.identity):
            raise BrokenCheckpointError(f"the checkpoint {path} belongs to another trial")
        return header, state

    def identity(self, name: str) -> str | None:
        """Return the identity in the header of the file ``name``; None for a file that is no checkpoint.

        An interrupted write may end before the identity: its text is then empty.
        """
        path = f"{self._filesystem[1]}/{name}"
        try:
            head = bytes(self._filesystem[0].cat_file(path, 0, _HEAD_BYTES))
        except OSError:
            return None
        first, _, rest = head.partition(b"\n")
        if not first.startswith(_MAGIC):
            return "" if name.endswith(".tmp") and not head else None
        try:
            return str(json.loads(rest.partition(b"\n")[0])["identity"])
        except (ValueError, KeyError, TypeError):
            return ""

    def own_names(self, identity: str) -> list[str]:
        """Return the names of the checkpoints of the trial ``identity``, those of interrupted writes included."""
        return [name for name in self.names() if self._is_of(name, identity)]

    def _is_of(self, name: str, identity: str) -> bool:
        stem, _, suffix = name.rpartition(".")
        if not stem.isdigit() or suffix not in ("pt", "tmp"):
            return False
        return self.identity(name) in ((identity,) if suffix == "pt" else (identity, ""))

    def clear(self, identity: str) -> None:
        """Remove the checkpoints of the trial ``identity``, which has ended, and the directory if it is empty then.

        The URL of a run may come from another person, so every other file stays.
        """
        root = self._filesystem[1]
        for name in self.own_names(identity):
            self._remove(f"{root}/{name}")
        if self.local and Path(root).is_dir() and not any(Path(root).iterdir()):
            Path(root).rmdir()

    def _remove(self, path: str) -> None:
        try:
            self._filesystem[0].rm_file(path)
        except FileNotFoundError:
            return


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run: a directory for each trial, by its id."""

    url: str

    def of_trial(self, trial: int) -> CheckpointDir:
        """Return the directory of the trial with this id."""
        return CheckpointDir(f"{self.url.rstrip('/')}/{trial}")

    def trials(self) -> Iterator[int]:
        """Return the ids of the trials that have a directory."""
        return (int(name) for name in CheckpointDir(self.url).names() if name.isdigit())


def checkpoints_of(folder: Path, url: str | None) -> Checkpoints:
    """Return the checkpoints of the run in ``folder``: inside it, or below the ``url`` of ``resources.checkpoints``."""
    if url is None:
        return Checkpoints(str(folder.resolve() / "checkpoints"))
    # Runs may share one URL, so each gets a directory with the name of its folder.
    return Checkpoints(f"{url if '://' in url else Path(url).resolve()}".rstrip("/") + f"/{folder.name}")


def identity_of(trial: dict[str, Any]) -> str:
    """Return the identity of a trial's checkpoints: a hash of its architecture, recipe and seed."""
    content = {name: trial[name] for name in ("architecture", "recipe", "seed")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def identity_of_trial(trial: Trial) -> str:
    """Return the identity of the checkpoints of a trial of the database."""
    return identity_of({name: getattr(trial, name) for name in ("architecture", "recipe", "seed")})


def _set_aside(path: Path) -> None:
    """Rename a file that is no checkpoint: it is damaged, or of another person, and must not be overwritten."""
    try:
        with path.open("rb") as file:
            is_own = file.read(len(_MAGIC)) == _MAGIC
    except FileNotFoundError:
        return
    if not is_own and path.stat().st_size:
        path.rename(free_path(path.with_name(f"{path.name}-unknown")))


def _write_file(path: Path, parts: tuple[bytes, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A complete file under another name, then a rename: a crash at any moment leaves the old or the new checkpoint.
    partial = path.with_suffix(".tmp")
    try:
        with partial.open("wb") as out:
            out.writelines(parts)
            out.flush()
            os.fsync(out.fileno())
        fault("ckpt_tmp_written")
        partial.replace(path)
    except OSError:  # most often a full disk: free the space again
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)  # without this, a loss of power may undo the rename
    fault("ckpt_renamed")


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


class LoadedCheckpoint(NamedTuple):
    """The newest intact state of a directory, or None, and a description of each problem with newer ones."""

    state: dict[str, Any] | None
    problems: list[str]


def save(checkpoint_dir: CheckpointDir, identity: str, epoch: int, state: dict[str, Any]) -> None:
    """Write the state after ``epoch``. The previous checkpoint stays until this one is complete."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    checkpoint_dir.write(Header(identity, epoch), buffer.getvalue())


def load(checkpoint_dir: CheckpointDir, identity: str) -> LoadedCheckpoint:
    """Load the newest intact state of the trial ``identity``.

    ``weights_only=True`` makes torch refuse files with code in them.
    """
    import torch

    names, problems = checkpoint_dir.names(), []
    # A checkpoint is renamed when it is complete, so a file that still ends in .tmp is a partial one.
    if any(name.endswith(".tmp") for name in names):
        problems.append(f"writing a checkpoint in {checkpoint_dir.url} was interrupted")
    for epoch in checkpoint_dir.epochs():
        try:
            _, state = checkpoint_dir.read(epoch, identity)
            return LoadedCheckpoint(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True), problems)
        except (BrokenCheckpointError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            problems.append(str(error))
    return LoadedCheckpoint(None, problems)
