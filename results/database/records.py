"""Record classes: the contents of the results database as frozen dataclasses."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from ...spaces.architectures.budget import Budget
from ...spaces.metrics.registry import ACCURACY, stored_name
from ...spaces.metrics.selection import is_minimized
from ...spaces.parameters.lookup import unknown
from ...spaces.recipes.fidelity import FIDELITY_METRICS

# Names of costs and metrics. Database columns, attributes and JSON keys all use them.
OWN_COSTS = ("params", "macs", "activations")  # costs that depend on the architecture alone
COSTS = (*OWN_COSTS, "memory_bytes")  # the memory in training depends on the batch size too
DEVICE_COSTS = ("ram_bytes", "flash_bytes")  # of runs whose budget has ram, flash or precision
IMPORTED = "imported_from"  # key in the settings of a run that another tool made; such settings are no search file
TEST_PREFIX = "test_"  # of the names of metrics that were measured on test images
PREDICTIONS = "validation_predictions"  # kind of the event that holds what a trial predicts at its best epoch
ZERO_SHOT_METRICS = ("val_roc_auc", "val_h", "gamma")  # further metrics of each epoch of a zero-shot trial
# What every epoch has, in the order in which it is written; all others are metrics that a run was asked to record.
EPOCH_METRICS = (
    *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_accuracy_std", "lr", "seconds"),
    *ZERO_SHOT_METRICS,
    *FIDELITY_METRICS,  # of runs with search.fidelity
)
FINAL_METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "test_accuracy")


class TrialState(StrEnum):
    """State of a trial. Completed, stopped early and failed are final."""

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
    DEVICE_OFFLINE = "device_offline"
    USER_ERROR = "user_error"
    BUG = "bug"


# slots: a driver holds all trials of its run, and a dictionary of 40 attributes takes 1.3 kB more for each
@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One architecture with one recipe and one seed, with its costs and its metrics.

    ``trial`` is its id in the database, ``number`` its index 0..N-1 in ``run``. ``choices`` are the point in the
    search space (path -> option index or value). Accuracies are fractions in [0, 1] at ``best_epoch``. ``latency_ms``
    is the median latency of a forward pass, measured on the trial's worker. ``ram_bytes`` and ``flash_bytes`` are the
    costs on a device, in the precision of the run's budget; None if it names neither limits nor a precision. Times are
    UTC. ``duration_s`` is the sum over all attempts. ``source`` is the id of an earlier trial whose result this trial
    reuses without training.
    ``metric`` is the metric that selects in the trial's run, ``metrics`` are the values at ``best_epoch`` of this and
    the other recorded metrics, without the accuracy; ``minimized`` are the metrics of which a lower value is better.
    ``curve`` has the value to maximise after each epoch, minus infinity without one; empty where it was not read.
    """

    trial: int
    run: str
    number: int
    state: TrialState
    fingerprint: str
    # Mappings are not hashable, so they do not take part in the hash of the record.
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
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    fail_kind: FailKind | None = None
    reason: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    device: str | None = None
    duration_s: float | None = None
    source: int | None = None
    metric: str = ACCURACY
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    minimized: tuple[str, ...] = ()
    curve: tuple[float, ...] = ()

    @property
    def metric_value(self) -> float | None:
        """The value of the selecting metric at the best epoch, as it was measured."""
        return self.val_accuracy if self.metric == ACCURACY else self.metrics.get(self.metric)

    @property
    def score(self) -> float | None:
        """The value to maximise: that of the selecting metric, or its negative if a lower value is better."""
        return self.score_of(self.metric)

    def score_of(self, metric: str) -> float | None:
        """Return the value to maximise for ``metric``, a recorded metric; None if the trial has no value."""
        value = self.val_accuracy if stored_name(metric) == "val_accuracy" else self.metrics.get(metric)
        if value is None or not math.isfinite(value):
            return None
        return -value if is_minimized(metric, self.minimized) else value

    @property
    def val_error(self) -> float | None:
        """``1 - val_accuracy``."""
        return None if self.val_accuracy is None else 1 - self.val_accuracy


def rank(trial: Trial) -> tuple[float, int, int, int]:
    """Return the ranking key, smallest first: better selecting metric, fewer params, fewer macs, lower id.

    A trial without a value of its metric ranks last.
    """
    score = float("-inf") if trial.score is None else trial.score
    # The id makes the order total, so that the best trial does not depend on the order of the rows.
    return (-score, trial.params, trial.macs, trial.trial)


@dataclass(frozen=True)
class History:
    """All trials of one run, ordered by number: the input of a searcher."""

    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        numbers = [trial.number for trial in self.trials]
        if numbers != sorted(set(numbers)) or len({trial.run for trial in self.trials}) > 1:
            raise ValueError(
                f"a history must hold the trials of one run, ordered by number, but got numbers {numbers}; sort them"
            )

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    # cached_property works on a frozen dataclass, because it writes to __dict__ directly. Searchers read these
    # properties several times for one history.
    @cached_property
    def finished(self) -> tuple[Trial, ...]:
        """The trials that completed or were stopped early."""
        return tuple(trial for trial in self.trials if trial.state.finished)

    @cached_property
    def ended(self) -> tuple[Trial, ...]:
        """The trials that completed, were stopped early or failed; they never change again."""
        return tuple(trial for trial in self.trials if trial.state.final)

    @cached_property
    def unfinished(self) -> tuple[Trial, ...]:
        """The trials that are queued, running or interrupted."""
        return tuple(trial for trial in self.trials if not trial.state.final)

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all architectures proposed so far, including those that failed."""
        return frozenset(trial.fingerprint for trial in self.trials)

    def best(self, budget: Budget | None = None) -> Trial | None:
        """Return the best finished trial by :func:`rank`, or ``None`` if no finished trial has a value of its metric.

        Of ``budget``, only the latency limit applies: the search proposes no trial that exceeds another limit, but
        the latency is known only after the measurement.
        """
        limits = budget or Budget()
        candidates = (t for t in self.finished if t.score is not None and limits.meets_latency_limit(t.latency_ms))
        return min(candidates, key=rank, default=None)


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """A dataset with its split, identified by the hash of its content."""

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
        """Create the record from ``entries``; an unknown key raises ``ValueError`` with the most similar key."""
        known = {f.name for f in fields(cls)}
        for name in entries:
            if name not in known:
                raise ValueError(unknown("dataset key", name, known))
        values = dict(entries)
        # JSON has no tuples; a frozen record needs them.
        for name in ("class_names", "input_shape"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)


class RunStatus(StrEnum):
    """Status of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class RunSettings:
    """What the analysis of a single trial needs of its run. Reading it takes the same time for a run of any length."""

    run_id: int
    name: str
    dataset_hash: str
    config: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run of a search: its settings and progress.

    ``counts`` is the number of trials by state. ``version`` is the version of archsieve that created the run.
    """

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
        """The number of trials proposed so far."""
        return sum(self.counts.values())
