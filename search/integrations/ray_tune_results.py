"""Import of Ray Tune results: convert a finished ``ResultGrid`` to a run document for the database."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from ...results.database.records import FINAL_METRICS, TrialState
from ...results.transfer.run_document import RunDocument
from ...spaces.architectures.architecture import Architecture
from ...spaces.metrics.selection import Selection
from .imported_run import ImportedTrial, Origin, Params, document_of

if TYPE_CHECKING:
    from ray.tune import Result, ResultGrid


def document_of_results(
    results: "ResultGrid",
    *,
    dataset: str,
    name: str,
    metrics: Mapping[str, str] | None = None,
    metric: str = "val_accuracy",
    searcher: str = "ray tune",
    architecture: Callable[[Params], Architecture] | None = None,
) -> RunDocument:
    """Return ``results`` as a run document.

    :func:`~archsieve.results.transfer.importer.import_documents` writes it to a database.

    Args:
        results: The results of ``Tuner.fit``.
        dataset: Name of the data set.
        name: Name of the run.
        metrics: For each metric of the database the name that the trials reported, as in ``{"val_accuracy": "acc"}``.
            By default they reported ``val_accuracy``, a fraction. Names such as ``f1_macro`` are metrics, too.
        metric: The metric that ranks the trials: a key of ``metrics``.
        searcher: Name of the searcher for the record of the run.
        architecture: A function that returns the architecture for a trial's configuration. Without it, the
            configuration must have the architecture as JSON in ``architecture``.

    The metrics of a trial are those of its step with the best ``metric``, or else of its last step. The other keys of
    the configuration become its recipe: ``recipe.NAME`` in a filter expression. Tune does not record whether a
    scheduler stopped a trial: such a trial counts as completed, with fewer epochs. Raises ``ValueError`` if there is no
    trial, a metric is unknown, or an architecture is missing.
    """
    reported_names = dict(metrics or {"val_accuracy": "val_accuracy"})
    others = [name for name in reported_names if name not in FINAL_METRICS]
    selection = Selection.of(metric, others)
    trials = [_imported(results[index], reported_names, selection) for index in range(len(results))]
    return document_of(name, trials, Origin("ray tune", searcher, dataset, architecture, selection))


def _imported(result: "Result", reported_names: Mapping[str, str], selection: Selection) -> ImportedTrial:
    """Convert the result of one trial."""
    config: Any = result.config or {}
    if not isinstance(config, Mapping):
        raise ValueError(f"the configuration of a trial must be a mapping, got {str(config)[:60]}; correct the results")
    # None if the loggers of Tune were turned off: then only the last report is available
    table = result.metrics_dataframe
    rows: list[dict[str, Any]] = [dict(result.metrics or {})] if table is None else table.to_dict("records")
    curve = [
        (_step(row["training_iteration"]), _metrics(row, reported_names)) for row in rows if "training_iteration" in row
    ]
    # (time of the report, seconds since the start of the trial): the start is not recorded
    reports = [
        (_number(row, "timestamp"), _number(row, "time_total_s"))
        for row in rows
        if "timestamp" in row and "time_total_s" in row
    ]
    end = max((time for time, _ in reports), default=None)
    return ImportedTrial(
        params=dict(config),
        state=TrialState.COMPLETED if result.error is None else TrialState.FAILED,
        metrics=_best([metrics for _, metrics in curve], selection),
        curve=curve,
        started_at=None if end is None else _utc(end - max(seconds for _, seconds in reports)),
        ended_at=None if end is None else _utc(end),
        # the last line of a traceback is the exception itself
        reason=None if result.error is None else str(result.error).strip().splitlines()[-1][:500],
        architecture=config.get("architecture"),
    )


def _best(curve: list[dict[str, float]], selection: Selection) -> dict[str, float]:
    """Return the metrics of the first step with the best selecting metric, or of the last if none has one."""
    scores = {step: score for step, metrics in enumerate(curve) if (score := selection.score(metrics)) is not None}
    return curve[max(scores, key=scores.__getitem__)] if scores else curve[-1] if curve else {}


def _metrics(row: Mapping[str, Any], reported_names: Mapping[str, str]) -> dict[str, float]:
    """Return the finite metrics of a report by their names in the database."""
    values = {ours: _number(row, theirs) for ours, theirs in reported_names.items() if row.get(theirs) is not None}
    return {name: value for name, value in values.items() if isfinite(value)}


def _number(row: Mapping[str, Any], name: str) -> float:
    """Return the entry ``name`` of a report; raise ``ValueError`` if it is not a number. It may be NaN."""
    try:
        return float(row[name])
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name} of a report must be a number, got {str(row[name])[:60]!r}; correct the results, or name another "
            "metric"
        ) from None


def _step(value: Any) -> int:
    """Return the number of a report as a step; raise ``ValueError`` if it is none."""
    number = _number({"training_iteration": value}, "training_iteration")
    if not (number.is_integer() and 1 <= number < 2**63):
        raise ValueError(f"training_iteration must be a whole number from 1 on, got {value!r}; correct the results")
    return int(number)


def _utc(seconds: float) -> datetime:
    """Return the UTC time of ``seconds`` since the epoch; raise ``ValueError`` if it is no time."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"timestamp and time_total_s must be seconds of a time, got {seconds:g}; correct the results"
        ) from None
