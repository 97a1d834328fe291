"""Ray Tune results: a finished ``ResultGrid`` as a run of the database."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from ...results.database.records import TrialState
from ...results.transfer.run_document import Document
from ...spaces.architectures.architecture import Architecture
from .imported_run import ForeignTrial, Origin, Params, document_of

if TYPE_CHECKING:
    from ray.tune import Result, ResultGrid


def document_of_results(
    results: "ResultGrid",
    *,
    dataset: str,
    name: str,
    figures: Mapping[str, str] | None = None,
    searcher: str = "ray tune",
    architecture: Callable[[Params], Architecture] | None = None,
) -> Document:
    """``results`` as a run, to be brought in by :func:`~archsieve.results.transfer.importer.bring_in`.

    ``figures`` names what the trials reported, as in ``{"val_accuracy": "acc"}``; left out, they reported
    ``val_accuracy``, a fraction. A trial's figures are those of its best step by validation accuracy, or of its last.
    ``architecture`` makes a trial's network of its configuration; left out, the configuration has it as JSON under
    ``architecture``. The rest of the configuration becomes the recipe, ``recipe.NAME`` in a question. Tune does not
    say whether a scheduler stopped a trial: such a one counts as completed, with fewer epochs.
    """
    named = dict(figures or {"val_accuracy": "val_accuracy"})
    trials = [_foreign(results[place], named) for place in range(len(results))]
    return document_of(name, trials, Origin("ray tune", searcher, dataset, architecture))


def _foreign(result: "Result", named: Mapping[str, str]) -> ForeignTrial:
    config: dict[str, Any] = dict(result.config or {})
    table = result.metrics_dataframe  # None where Tune's loggers were off: then only the last report is known
    rows: list[dict[str, Any]] = [dict(result.metrics or {})] if table is None else table.to_dict("records")
    curve = [(int(row["training_iteration"]), _figures(row, named)) for row in rows if "training_iteration" in row]
    spans = [(float(row["timestamp"]), float(row["time_total_s"])) for row in rows if "time_total_s" in row]
    ended = max((at for at, _ in spans), default=None)
    return ForeignTrial(
        params=config,
        state=TrialState.COMPLETED if result.error is None else TrialState.FAILED,
        figures=_best([told for _, told in curve]),
        curve=curve,
        started_at=None if ended is None else _moment(ended - max(spent for _, spent in spans)),
        ended_at=None if ended is None else _moment(ended),
        reason=None if result.error is None else str(result.error).strip().splitlines()[-1][:500],
        architecture=config.get("architecture"),
    )


def _best(curve: list[dict[str, float]]) -> dict[str, float]:
    """The figures of the first step with the highest validation accuracy; of the last where none has one."""
    scored = [told for told in curve if "val_accuracy" in told]
    return max(scored, key=lambda told: told["val_accuracy"]) if scored else curve[-1] if curve else {}


def _figures(row: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, float]:
    return {ours: float(row[theirs]) for ours, theirs in named.items() if isfinite(row.get(theirs, nan))}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
