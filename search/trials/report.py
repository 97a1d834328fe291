"""Trial reports: what a worker sends to the driver after a step, as one record; JSON inside Tune and the spool.

The first report of a trial by a worker has ``start`` and all epochs up to now, those of the checkpoint included. Later
ones have the epochs since. The last one is ``done`` and has the final metrics or the failure.
"""

import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...results.database.records import FailKind
from ...results.database.zero_shot_records import OF_ZERO_SHOT
from ..tasks.base import Diagnosis, FinalMetrics, StartMetrics

# what the store keeps of an epoch, in the order in which it is written
EPOCH_METRICS = (
    *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_accuracy_std", "lr", "seconds"),
    *OF_ZERO_SHOT,
)
KEY = "report"  # of the JSON in Tune's result


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch, by name; ``epoch`` counts from 1. Values may be infinite or NaN."""

    epoch: int
    values: Mapping[str, float]

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> "EpochMetrics":
        """The metrics in the fields of what a fit's ``step`` returned."""
        return cls(result["epoch"], {name: result[name] for name in EPOCH_METRICS if name in result})


@dataclass(frozen=True)
class TrialStart:
    """Where a worker began: after ``epoch`` epochs of a checkpoint, on this device of this process."""

    epoch: int
    device: str | None = None
    host: str | None = None
    pid: int | None = None

    @classmethod
    def here(cls, epoch: int, device: str = "cpu") -> "TrialStart":
        """The start in this process."""
        return cls(epoch, device, platform.node(), os.getpid())


@dataclass(frozen=True)
class Failure:
    """Why a trial failed: the kind, one sentence, and the traceback where there is one."""

    kind: FailKind
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class TrialReport:
    """What a worker has to report of its trial since its last report.

    ``problems`` are checkpoints that could not be read or written. ``proxies`` are scores of zero-cost proxies, or why
    one has none. ``latency`` is a measurement as JSON. ``latency_error`` and ``diagnosis_error`` say why there is none
    where there should be one; neither fails the trial.
    """

    epochs: tuple[EpochMetrics, ...] = ()
    done: bool = False
    start: TrialStart | None = None
    problems: tuple[str, ...] = ()
    proxies: Mapping[str, float | str] | None = None
    start_metrics: StartMetrics = field(default_factory=StartMetrics)
    final_metrics: FinalMetrics = field(default_factory=FinalMetrics)
    latency: Mapping[str, Any] | None = None
    latency_error: str | None = None
    diagnosis: Diagnosis | None = None
    diagnosis_error: str | None = None
    failure: Failure | None = None

    @property
    def epoch(self) -> int:
        """The last epoch reported; 0 where there is none."""
        return self.epochs[-1].epoch if self.epochs else 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON's own types, without what is empty."""
        empty = asdict(TrialReport())
        return {name: value for name, value in asdict(self).items() if value != empty[name]}

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> "TrialReport":
        """The inverse of :meth:`to_json`, from dictionaries or what JSON makes of them."""
        return cls(**{name: _READ[name](value) if name in _READ else value for name, value in report.items()})

    def to_tune(self) -> dict[str, Any]:
        """The result of a Tune trainable: what Tune's schedulers read, and the report as one string.

        One string, because Tune flattens and copies whatever structure it finds in a result. A failed trial has an
        accuracy of zero and no epoch: Tune demands its metric of every result.
        """
        metrics: dict[str, Any] = {"val_accuracy": 0.0}
        if self.epochs and self.failure is None:
            metrics = {"epoch": self.epoch, "val_accuracy": self.epochs[-1].values["val_accuracy"]}
        return {**metrics, "done": self.done, KEY: json.dumps(self.to_json(), default=_as_python)}

    @classmethod
    def from_tune(cls, result: Mapping[str, Any]) -> "TrialReport":
        """The report in a result of Tune's; an empty one where the trial has had none."""
        return cls.from_json(json.loads(result[KEY])) if KEY in result else cls()


def _as_python(value: Any) -> Any:
    """Return a NumPy or torch scalar or array as Python's own numbers: a task may report what it computed."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a trial's report must hold numbers, texts, lists and dictionaries, got {type(value).__name__}")


# how the fields that JSON cannot tell apart from dictionaries and lists are read
_READ: dict[str, Callable[[Any], Any]] = {
    "epochs": lambda epochs: tuple(EpochMetrics(**one) for one in epochs),
    "start": lambda start: TrialStart(**start),
    "problems": tuple,
    "start_metrics": lambda metrics: StartMetrics(**{**metrics, "lrs_found": tuple(metrics["lrs_found"])}),
    "final_metrics": lambda metrics: FinalMetrics(**metrics),
    "diagnosis": lambda diagnosis: Diagnosis(**diagnosis),
    "failure": lambda failure: Failure(**{**failure, "kind": FailKind(failure["kind"])}),
}


def report_of_flat_result(result: Mapping[str, Any]) -> TrialReport:
    """The report in a result as version 0.1.0 spooled it: one flat dictionary, with the keys that Tune adds."""
    epochs = result.get("epochs", [result] if "epoch" in result else [])
    start, diagnosis, failure = None, None, None
    if "began" in result:
        start = TrialStart(result["began"], result.get("device"), result.get("hostname"), result.get("pid"))
    if "examined" in result:
        diagnosis = Diagnosis(**result["examined"])
    if "fail_kind" in result:
        failure = Failure(FailKind(result["fail_kind"]), result["reason"], result.get("traceback", ""))
    return TrialReport(
        epochs=tuple(map(EpochMetrics.of, epochs)),
        done=result.get("done", False),
        start=start,
        problems=tuple(result.get("problems", ())),
        proxies=result.get("proxies"),
        start_metrics=StartMetrics(result.get("augmentation_cost"), tuple(result.get("lrs_found", ()))),
        final_metrics=FinalMetrics(result.get("test_accuracy"), result.get("predicted")),
        latency=result.get("measured"),
        latency_error=result.get("not_measured"),
        diagnosis=diagnosis,
        diagnosis_error=result.get("not_examined"),
        failure=failure,
    )
