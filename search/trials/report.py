"""Trial reports: what a worker sends to the driver after each step. A report is JSON inside Tune and in the spool.

The first report of a worker on a trial has ``start`` and all epochs so far, including those before the checkpoint.
Later reports have the epochs since the previous report. The last one has ``done`` set, and the final metrics or the
failure.
"""

import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...results.database.records import EPOCH_METRICS, FailKind
from ...spaces.metrics.selection import BY_ACCURACY, Selection
from ..schedulers.settings import SCORE
from ..tasks.base import Diagnosis, FinalMetrics, StartMetrics

KEY = "report"  # the key of the report in Tune's result


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch, by name; ``epoch`` counts from 1. Values may be infinite or NaN."""

    epoch: int
    values: Mapping[str, float]

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> "EpochMetrics":
        """Take the metrics from the fields of a fit's epoch result; fields without a value are left out."""
        values = {name: result[name] for name in EPOCH_METRICS if result.get(name) is not None}
        return cls(result["epoch"], {**values, **result.get("metrics", {})})


@dataclass(frozen=True)
class TrialStart:
    """Where a worker started a trial: after ``epoch`` epochs of a checkpoint, on a device of a process on a host."""

    epoch: int
    device: str | None = None
    host: str | None = None
    pid: int | None = None

    @classmethod
    def in_this_process(cls, epoch: int, device: str = "cpu") -> "TrialStart":
        """Return a start in this process."""
        return cls(epoch, device, platform.node(), os.getpid())


@dataclass(frozen=True)
class Failure:
    """Why a trial failed: the kind, the reason in one sentence, and the traceback, which may be empty."""

    kind: FailKind
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class TrialReport:
    """What happened in a trial since the worker's previous report.

    Args:
        epochs: the epochs that have ended.
        done: whether this is the last report of the trial.
        start: where the worker started; only in its first report.
        problems: descriptions of checkpoints that could not be read or written.
        proxies: the score of each zero-cost proxy, or the reason why it has none.
        start_metrics: measured with the first epoch.
        final_metrics: measured with the last epoch.
        latency: a latency measurement as JSON.
        latency_error: why a due measurement is missing; does not fail the trial.
        diagnosis: why the loss diverged or rose.
        diagnosis_error: why a due diagnosis is missing; does not fail the trial.
        failure: why the trial failed.
        predictions: of the validation images at the best epoch, as JSON; with the last epoch, or with every one if a
            scheduler may stop the trial after it.
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
    predictions: Mapping[str, Any] | None = None

    @property
    def epoch(self) -> int:
        """The last epoch in this report; 0 without epochs."""
        return self.epochs[-1].epoch if self.epochs else 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types, without empty fields."""
        empty = asdict(TrialReport())
        return {name: value for name, value in asdict(self).items() if value != empty[name]}

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> "TrialReport":
        """Build a report from the output of :meth:`to_json`, also after a round trip through JSON text."""
        return cls(**{name: _READ[name](value) if name in _READ else value for name, value in report.items()})

    def to_tune(self, selection: Selection = BY_ACCURACY) -> dict[str, Any]:
        """The result of a Tune trainable: what Tune's schedulers read, and the report as one string.

        One string, because Tune flattens and copies every structure in a result. A failed trial has the lowest score
        and no epoch: Tune requires its metric in every result.
        """
        metrics: dict[str, Any] = {SCORE: -math.inf}
        if self.epochs and self.failure is None:
            score = selection.of_epochs.score(self.epochs[-1].values)
            metrics = {"epoch": self.epoch, SCORE: -math.inf if score is None else score}
        return {**metrics, "done": self.done, KEY: json.dumps(self.to_json(), default=_as_python)}

    @classmethod
    def from_tune(cls, result: Mapping[str, Any]) -> "TrialReport":
        """Return the report in a result of Tune; an empty report if the result has none."""
        return cls.from_json(json.loads(result[KEY])) if KEY in result else cls()


def _as_python(value: Any) -> Any:
    """Return a NumPy or torch scalar or array as Python's own numbers: a task may report what it computed."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a trial's report must hold numbers, texts, lists and dictionaries, got {type(value).__name__}")


# JSON turns dataclasses into dictionaries and tuples into lists; these functions turn them back, by field.
_READ: dict[str, Callable[[Any], Any]] = {
    "epochs": lambda epochs: tuple(EpochMetrics(**one) for one in epochs),
    "start": lambda start: TrialStart(**start),
    "problems": tuple,
    "start_metrics": lambda metrics: StartMetrics(**{**metrics, "lrs_found": tuple(metrics["lrs_found"])}),
    "final_metrics": lambda metrics: FinalMetrics(**{**metrics, "problems": tuple(metrics.get("problems", ()))}),
    "diagnosis": lambda diagnosis: Diagnosis(**diagnosis),
    "failure": lambda failure: Failure(**{**failure, "kind": FailKind(failure["kind"])}),
}


def report_of_flat_result(result: Mapping[str, Any]) -> TrialReport:
    """Convert a result that version 0.1.0 spooled: one flat dictionary that includes the keys of Tune."""
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
