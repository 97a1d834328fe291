"""Records: what the store holds, as frozen values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from ...spaces.architectures.budget import Budget
from ...spaces.parameters.lookup import unknown

# What the store says of a network before it is trained, and after: by these names everywhere.
OWN_COSTS = ("params", "macs", "activations")  # an architecture's own; memory depends on the batch too
COSTS = (*OWN_COSTS, "memory_bytes")
IMPORTED = "imported_from"  # in the settings of a run that another tool made, instead of a search file's
FIGURES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "test_accuracy")


class TrialState(StrEnum):
    """Where a trial stands. Completed, stopped early and failed are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED_EARLY = "stopped_early"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def finished(self) -> bool:
        """Whether the trial ended with a result."""
        return self in FINISHED

    @property
    def final(self) -> bool:
        """Whether the trial will never run again."""
        return self in FINISHED or self is TrialState.FAILED


FINISHED = frozenset({TrialState.COMPLETED, TrialState.STOPPED_EARLY})


class FailKind(StrEnum):
    """Why a trial failed."""

    OOM = "oom"
    DIVERGED = "diverged"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    DATA = "data"
    DISK_FULL = "disk_full"
    USER_ERROR = "user_error"
    BUG = "bug"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One architecture with one recipe and one seed: what it costs and how well it did.

    ``trial`` is its id in the store, ``number`` its place 0..N-1 in ``run``. ``choices`` are the searcher's own
    coordinates (path -> option index or value). Accuracies are fractions in [0, 1] at ``best_epoch``; ``latency_ms``
    is the median forward pass as measured on its worker; times are UTC; ``duration_s`` adds up all attempts.
    ``source`` is the trial of an earlier run whose figures these are, where nothing had to be trained again.
    """

    trial: int
    run: str
    number: int
    state: TrialState
    fingerprint: str
    architecture: Mapping[str, Any] = field(hash=False)
    choices: Mapping[str, Any] = field(hash=False)
    recipe: Mapping[str, Any] = field(hash=False)
    seed: int
    params: int
    macs: int
    activations: int
    memory_bytes: int
    epochs_done: int = 0
    best_epoch: int | None = None
    val_accuracy: float | None = None
    val_loss: float | None = None
    train_accuracy: float | None = None
    train_loss: float | None = None
    test_accuracy: float | None = None
    latency_ms: float | None = None
    fail_kind: FailKind | None = None
    reason: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    device: str | None = None
    duration_s: float | None = None
    source: int | None = None

    @property
    def val_error(self) -> float | None:
        """``1 - val_accuracy``."""
        return None if self.val_accuracy is None else 1 - self.val_accuracy


def rank(trial: Trial) -> tuple[float, int, int, int]:
    """The order of merit, smallest first: validation accuracy, then fewer params, fewer macs, the lower id."""
    accuracy = float("-inf") if trial.val_accuracy is None else trial.val_accuracy
    return (-accuracy, trial.params, trial.macs, trial.trial)


@dataclass(frozen=True)
class History:
    """All trials of one run in the order of their numbers: what a searcher sees."""

    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        numbers = [trial.number for trial in self.trials]
        if numbers != sorted(set(numbers)) or len({trial.run for trial in self.trials}) > 1:
            raise ValueError(f"a history holds the trials of one run in order of number, but got {numbers}; sort them")

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    @cached_property
    def finished(self) -> tuple[Trial, ...]:
        """The trials that completed or were stopped early."""
        return tuple(trial for trial in self.trials if trial.state.finished)

    @cached_property
    def ended(self) -> tuple[Trial, ...]:
        """The trials that completed, were stopped early or failed: nothing changes them any more."""
        return tuple(trial for trial in self.trials if trial.state.final)

    @cached_property
    def unfinished(self) -> tuple[Trial, ...]:
        """The trials that are queued, running or interrupted."""
        return tuple(trial for trial in self.trials if not trial.state.final)

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """The architectures proposed so far, failed ones included."""
        return frozenset(trial.fingerprint for trial in self.trials)

    def best(self, budget: Budget | None = None) -> Trial | None:
        """The finished trial with the highest validation accuracy (see :func:`rank`), or ``None`` without one.

        With ``budget`` only what was measured in time; its other limits no trial of a search breaks.
        """
        asked = budget or Budget()
        scored = (t for t in self.finished if t.val_accuracy is not None and asked.in_time(t.latency_ms))
        return min(scored, key=rank, default=None)


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """A data set as it was split, identified by the hash of its content."""

    content_hash: str
    name: str
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    n_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    input_shape: tuple[int, ...] | None = None
    split_seed: int | None = None

    @classmethod
    def of(cls, entries: Mapping[str, Any]) -> "DatasetRecord":
        """The record of ``entries``; an unknown key is refused, the nearest named."""
        known = {f.name for f in fields(cls)}
        for name in entries:
            if name not in known:
                raise ValueError(unknown("data set key", name, known))
        values = dict(entries)
        for name in ("class_names", "input_shape"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One search: its settings and how far it came. ``counts`` are trials by state, ``version`` is archsieve's."""

    run_id: int
    name: str
    status: RunStatus
    config: Mapping[str, Any] = field(hash=False)
    searcher: str
    seed: int
    dataset: str
    dataset_hash: str
    created_at: datetime
    finished_at: datetime | None = None
    counts: Mapping[TrialState, int] = field(default_factory=dict, hash=False)
    version: str = ""

    @property
    def trials(self) -> int:
        """How many trials were proposed."""
        return sum(self.counts.values())
