"""Import of Ray Tune results: convert a finished ``ResultGrid`` to a run document for the database."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite, nan
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
    config: dict[str, Any] = dict(result.config or {})
    # None if the loggers of Tune were turned off: then only the last report is available
    table = result.metrics_dataframe
    rows: list[dict[str, Any]] = [dict(result.metrics or {})] if table is None else table.to_dict("records")
    curve = [
        (int(row["training_iteration"]), _metrics(row, reported_names)) for row in rows if "training_iteration" in row
    ]
    # (time of the report, seconds since the start of the trial): the start is not recorded
    reports = [(float(row["timestamp"]), float(row["time_total_s"])) for row in rows if "time_total_s" in row]
    end = max((time for time, _ in reports), default=None)
    return ImportedTrial(
        params=config,
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
    return {ours: float(row[theirs]) for ours, theirs in reported_names.items() if isfinite(row.get(theirs, nan))}


def _utc(seconds: float) -> datetime:
    """Return the UTC time of ``seconds`` since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
